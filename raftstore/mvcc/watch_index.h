/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which watchers a key concerns: a map of exact keys, and an interval tree of ranges that lies in a
 * sorted array (each node's subtree knows its greatest end), built again when it is asked after a
 * change. Not thread-safe. */
#include "common/base/map.h"
#include "common/base/vec.h"
#include "raftstore/mvcc/mvcc.h"

/* Embed it in the watcher; keys belong to the watcher and must not change while it is added. */
struct watch_entry {
	struct key_range keys;
	struct watch_entry *next; /* of the same exact key */
	struct slice max_end;     /* of the subtree; has no bound when max_unbounded */
	bool max_unbounded;
};

struct watch_index {
	struct map exact; /* key -> first struct watch_entry of a chain */
	VEC(struct watch_entry *) ranges;
	size_t sorted; /* ranges before it are in order and built; == n: nothing to do */
};

void watch_index_init(struct watch_index *x, uint64_t seed);
void watch_index_deinit(struct watch_index *x);
void watch_index_add(struct watch_index *x, struct watch_entry *e);
void watch_index_remove(struct watch_index *x, struct watch_entry *e);
/* Calls each entry that the key concerns, in no certain order. The index must not change
 * meanwhile. */
void watch_index_match(struct watch_index *x, struct slice key,
                       void (*match)(void *arg, struct watch_entry *e), void *arg);
