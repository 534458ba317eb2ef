/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/map.h"

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 r = (unsigned __int128)a * b;
	return (uint64_t)r ^ (uint64_t)(r >> 64);
}

/* A multiply-fold hash over 8-byte words (the wyhash family's step). */
uint64_t hash_bytes(const void *p, size_t n, uint64_t seed)
{
	const uint8_t *at = p;
	uint64_t h = seed ^ 0x9e3779b97f4a7c15u ^ (n * 0xa0761d6478bd642fu);
	for (; n >= 8; n -= 8, at += 8) {
		uint64_t w;
		memcpy(&w, at, 8);
		h = mix(h ^ w, 0xe7037ed1a0b428dbu);
	}
	uint64_t w = 0;
	if (n)
		memcpy(&w, at, n);
	h = mix(h ^ w, 0x8ebc6af09c88c6e3u);
	return h ^ (h >> 32);
}

static uint64_t key_hash(const struct map *m, struct slice key)
{
	uint64_t h = hash_bytes(key.data, key.len, m->seed);
	return h ? h : 1;
}

void map_init(struct map *m, uint64_t seed)
{
	*m = (struct map){.seed = seed};
}

void map_deinit(struct map *m)
{
	for (size_t i = 0; i < m->cap; i++)
		free(m->slots[i].key);
	free(m->slots);
	*m = (struct map){.seed = m->seed};
}

static struct map_slot *find(const struct map *m, uint64_t hash, struct slice key)
{
	if (!m->cap)
		return NULL;
	for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct map_slot *s = &m->slots[i];
		if (!s->hash)
			return NULL;
		if (s->key && s->hash == hash && s->key_len == key.len &&
		    memcmp(s->key, key.data, key.len) == 0)
			return s;
	}
}

static struct map_slot *free_slot(struct map *m, uint64_t hash)
{
	for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1))
		if (!m->slots[i].key)
			return &m->slots[i];
}

static void rehash(struct map *m)
{
	struct map old = *m;
	size_t cap = 16;
	while (cap < old.n * 2 + 2)
		cap *= 2;
	m->cap = cap;
	m->slots = calloc(cap, sizeof(*m->slots));
	if (!m->slots)
		abort();
	m->used = old.n;
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].key)
			*free_slot(m, old.slots[i].hash) = old.slots[i];
	free(old.slots);
}

void *map_get(const struct map *m, struct slice key)
{
	struct map_slot *s = find(m, key_hash(m, key), key);
	return s ? s->value : NULL;
}

void *map_put(struct map *m, struct slice key, void *value)
{
	uint64_t hash = key_hash(m, key);
	struct map_slot *s = find(m, hash, key);
	if (s) {
		void *old = s->value;
		s->value = value;
		return old;
	}
	if ((m->used + 1) * 4 > m->cap * 3)
		rehash(m);
	s = free_slot(m, hash);
	if (!s->hash)
		m->used++;
	char *copy = malloc(key.len + 1);
	if (!copy)
		abort();
	if (key.len)
		memcpy(copy, key.data, key.len);
	copy[key.len] = 0;
	*s = (struct map_slot){.hash = hash, .key = copy, .key_len = key.len, .value = value};
	m->n++;
	return NULL;
}

void *map_del(struct map *m, struct slice key)
{
	struct map_slot *s = find(m, key_hash(m, key), key);
	if (!s)
		return NULL;
	void *old = s->value;
	free(s->key);
	s->key = NULL;
	s->value = NULL;
	m->n--;
	return old;
}
