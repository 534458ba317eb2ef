/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A copy-on-write B+tree of cache objects ordered by key.
 *
 * One thread mutates a `struct cache_tree`. tree_snapshot() is a reference to its root: it costs
 * one atomic increment, never changes, and may be read and released on any thread. A write copies
 * only those nodes on its path that a snapshot shares; without snapshots it works in place. Every
 * node knows the number and the weight of the objects below it, so that those of a range take
 * logarithmic time.
 *
 * Taking a snapshot while another thread mutates the same tree needs a lock of the caller's. */
#include "apiserver/cache/object.h"

struct cache_node;

struct cache_tree {
	struct cache_node *root; /* NULL when empty */
};

void cache_tree_deinit(struct cache_tree *t);
/* Inserts or replaces; takes a reference of its own. Returns the replaced object, whose reference
 * becomes the caller's, or NULL. */
struct cache_object *cache_tree_put(struct cache_tree *t, struct cache_object *o);
/* Removes; returns the object with its reference, or NULL. */
struct cache_object *cache_tree_del(struct cache_tree *t, struct slice key);
/* Borrowed; NULL when there is none. */
struct cache_object *cache_tree_get(const struct cache_tree *t, struct slice key);
struct cache_sum {
	size_t count;
	uint64_t weight; /* the objects' weights */
};
struct cache_sum cache_tree_sum(const struct cache_tree *t);
static inline size_t cache_tree_count(const struct cache_tree *t)
{
	return cache_tree_sum(t).count;
}

/* A reference to a root: a tree that nobody may put into or delete from. */
struct cache_tree cache_tree_snapshot(const struct cache_tree *t);

/* Of the objects with a key below `key`, so that what lies in [a, b) is a difference. */
struct cache_sum cache_tree_sum_below(const struct cache_tree *t, struct slice key);
static inline size_t cache_tree_rank(const struct cache_tree *t, struct slice key)
{
	return cache_tree_sum_below(t, key).count;
}

enum { CACHE_TREE_DEPTH_MAX = 24 };

/* Walks forward. Valid while the tree that it was set on is referenced and not mutated. */
struct cache_cursor {
	const struct cache_node *node[CACHE_TREE_DEPTH_MAX];
	uint16_t at[CACHE_TREE_DEPTH_MAX];
	int depth; /* -1: at the end */
};

/* Stands on the first object with a key >= `key`. */
void cache_cursor_seek(struct cache_cursor *c, const struct cache_tree *t, struct slice key);
/* The object under the cursor, borrowed, then moves on; NULL at the end. */
struct cache_object *cache_cursor_next(struct cache_cursor *c);

/* Checks order, fill and sums of a tree; for tests. */
bool cache_tree_valid(const struct cache_tree *t);
