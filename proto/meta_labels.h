/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Label selectors (common/codec/labels.h) bound to API objects. */
#include "common/codec/labels.h"

struct MetaV1__LabelSelector;
struct MetaV1__ObjectMeta;

/* metav1.LabelSelectorAsSelector: NULL matches nothing, an empty one everything. */
_must_use_ int meta_label_selector(const struct MetaV1__LabelSelector *sel, struct arena *a,
                                   struct label_selector *ret, struct err *err);
/* Of meta->labels; NULL meta has no labels. */
bool meta_labels_match(const struct label_selector *sel, const struct MetaV1__ObjectMeta *meta);
const char *meta_label(const struct MetaV1__ObjectMeta *meta, const char *key); /* or NULL */
const char *meta_annotation(const struct MetaV1__ObjectMeta *meta, const char *key);

/* Any map<string, string> of a generated struct: `pb_map_get(s->selector, s->n_selector, "app")`.
 * All entries of such maps have the layout of struct pb_map_entry. */
const char *pb_map_get(const void *entries, size_t n, const char *key); /* NULL: absent */
/* All pairs of the map as a selector (a Service's spec.selector); trusted, not validated. */
struct label_selector pb_map_selector(const void *entries, size_t n, struct arena *a);
bool pb_map_match(const struct label_selector *sel, const void *entries, size_t n);
