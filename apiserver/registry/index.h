/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A set of strings in an arena that remembers a number with each: duplicates and references are
 * found in one look, however long the lists of a hostile object are. Keys are borrowed. Internal to
 * registry/. */
#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"

struct index {
	struct arena *arena;
	struct index_slot {
		const char *key; /* NULL: free */
		uint64_t hash;
		uint32_t value;
	} * slots;
	size_t cap, n;
};

#define INDEX_IN(a) ((struct index){.arena = (a)})

/* False when the key is there already: its number stays. */
bool index_add(struct index *ix, const char *key, uint32_t value);
/* The number of a key, or -1. */
int64_t index_find(const struct index *ix, const char *key);
static inline bool index_has(const struct index *ix, const char *key)
{
	return index_find(ix, key) >= 0;
}
