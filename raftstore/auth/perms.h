/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A set of keys as ranges: sorted, disjoint, ranges that touch made one, so that a request that
 * spans several permissions is found in one of them. */
#include "common/base/arena.h"
#include "raftstore/mvcc/mvcc.h"

struct perms {
	struct key_range *at; /* each has an end or no bound */
	size_t n;
};

/* Sorts `ranges` in place and merges them into *ret; slices are borrowed, new ones are in the
 * arena. A range without an end is its one key, an empty one is left out. */
void perms_merge(struct key_range *ranges, size_t n, struct arena *a, struct perms *ret);
/* Is every key of the range in the set? Of an empty range, its first key. */
bool perms_cover(const struct perms *p, const struct key_range *keys);
