/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Hash map from bytes to a pointer. Keys are copied. Open addressing, SipHash-free: the hash is
 * keyed per map by `seed`, so that hostile keys cannot pile up on one slot when the seed is
 * random; pure cores leave it 0.
 *
 * Iteration order depends on the hash: sort before anything leaves a pure core. */
#include "common/base/slice.h"

struct map_slot {
	uint64_t hash; /* 0: never used */
	char *key;     /* NULL with hash != 0: removed */
	size_t key_len;
	void *value;
};

struct map {
	struct map_slot *slots;
	size_t cap, n, used; /* n live; used also counts removed slots */
	uint64_t seed;
};

void map_init(struct map *m, uint64_t seed);
/* Frees keys and slots; values are the caller's. */
void map_deinit(struct map *m);
/* The value, or NULL. */
void *map_get(const struct map *m, struct slice key);
/* Sets; returns the value that was there, or NULL. `value` must not be NULL. */
void *map_put(struct map *m, struct slice key, void *value);
/* Removes; returns the value that was there, or NULL. */
void *map_del(struct map *m, struct slice key);

static inline void *map_get_str(const struct map *m, const char *key)
{
	return map_get(m, slice_str(key));
}
static inline void *map_put_str(struct map *m, const char *key, void *value)
{
	return map_put(m, slice_str(key), value);
}
static inline void *map_del_str(struct map *m, const char *key)
{
	return map_del(m, slice_str(key));
}

/* Visits live slots; the map must not grow meanwhile (map_del of the current one is fine). */
#define MAP_FOREACH(m, it)                                                                         \
	for (struct map_slot *it = (m)->slots; it && it < (m)->slots + (m)->cap; it++)             \
		if (it->key)

uint64_t hash_bytes(const void *p, size_t n, uint64_t seed);
