/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Keeps a sink in step with one collection of the apiserver (client-go tools/cache, Reflector).
 *
 * Guarantees:
 *   - It lists once, item by item as they stream in, then watches from the list's resourceVersion;
 *     a watch that ends resumes from the last version it saw, and bookmarks move that on without an
 *     object, so that a quiet collection does not fall behind what the server remembers.
 *   - It lists again when the server has forgotten that version (410), then not from a cache: what
 *     it knows never goes back in time.
 *   - A list that breaks off leaves no trace but its items: nothing counts as gone before a whole
 *     list has come.
 *   - Failures are retried with exponential back-off and jitter (800 ms to 30 s, as client-go, but
 * at most 2 s while no apiserver answers); success begins anew.
 *
 * Its transport is a client, or anything else with the same two calls. */
#include "common/base/rng.h"
#include "common/client/client.h"

struct reflector_transport {
	void *self;
	void *(*list)(void *self, const struct client_list_options *o,
	              const struct client_list_ops *ops, void *arg);
	void *(*watch)(void *self, const struct client_list_options *o,
	               const struct client_watch_ops *ops, void *arg);
	void (*drop)(void *self, void *stream);
};

struct reflector_sink {
	/* A list begins; its items follow (upsert each), then list_end (remove what was not among
	 * them), or, when it broke off, another list_begin. */
	void (*list_begin)(void *arg);
	void (*item)(struct slice object, void *arg);
	void (*list_end)(void *arg);
	/* One change. DELETED carries the last state. */
	void (*event)(enum client_event_type type, struct slice object, int64_t revision,
	              void *arg);
	void *arg;
};

struct reflector {
	struct reflector_transport transport;
	struct reflector_sink sink;
	const char *name; /* for the log */
	const char *label_selector, *field_selector;
	struct loop_timer retry;
	struct rng rng;
	void *stream; /* open list or watch */
	bool watching, running, synced;
	bool list_fresh;           /* the next list must not come from a cache */
	char resource_version[24]; /* "" before the first list */
	uint64_t backoff_ms, watch_began_ms;
	bool watch_saw_event;
	unsigned failures; /* in a row */
};

/* The strings must outlive the reflector. */
void reflector_init(struct reflector *r, struct loop *loop, const struct reflector_transport *t,
                    const struct reflector_sink *sink, const char *name, const char *label_selector,
                    const char *field_selector);
void reflector_start(struct reflector *r);
void reflector_stop(struct reflector *r);
