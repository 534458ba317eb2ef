/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a list or watch selects: a namespace, a name, labels and fields; and what a change looks
 * like to a watcher with a selection (apiserver storage cacher: convertToWatchEvent). */
#include "apiserver/cache/ring.h"

struct label_selector;
struct field_selector;

struct cache_selection {
	struct slice key_prefix; /* "" or "ns/": keys start with it */
	struct slice key;        /* not empty: this key alone */
	/* NULL selects everything. Borrowed. */
	const struct label_selector *labels;
	const struct field_selector *fields;
};

bool cache_selection_matches(const struct cache_selection *s, const struct cache_object *o);
/* True when nothing but a namespace restricts it, so that counting needs no look at objects. */
bool cache_selection_is_range(const struct cache_selection *s);

/* What the watcher sees of an event, or false when nothing: an object that enters the selection is
 * ADDED, one that leaves it is DELETED. *ret_prev: it sees the previous state, not the present one;
 * either way at the revision of the event. */
bool cache_selection_event(const struct cache_selection *s, const struct cache_event *e,
                           enum cache_event_type *ret_type, bool *ret_prev);
