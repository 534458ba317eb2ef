/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/index.h"

#include <string.h>

#include "common/base/map.h"

static struct index_slot *slot_of(const struct index *ix, const char *key, uint64_t hash)
{
	size_t i = hash & (ix->cap - 1);

	while (ix->slots[i].key && (ix->slots[i].hash != hash || strcmp(ix->slots[i].key, key)))
		i = (i + 1) & (ix->cap - 1);
	return &ix->slots[i];
}

static void grow(struct index *ix)
{
	struct index old = *ix;

	ix->cap = old.cap ? old.cap * 2 : 16;
	ix->slots = arena_array(ix->arena, struct index_slot, ix->cap);
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].key)
			*slot_of(ix, old.slots[i].key, old.slots[i].hash) = old.slots[i];
}

bool index_add(struct index *ix, const char *key, uint32_t value)
{
	uint64_t hash = hash_bytes(key, strlen(key), 0);
	struct index_slot *s;

	if (ix->n * 2 >= ix->cap)
		grow(ix);
	s = slot_of(ix, key, hash);
	if (s->key)
		return false;
	*s = (struct index_slot){key, hash, value};
	ix->n++;
	return true;
}

int64_t index_find(const struct index *ix, const char *key)
{
	struct index_slot *s;

	if (!ix->cap)
		return -1;
	s = slot_of(ix, key, hash_bytes(key, strlen(key), 0));
	return s->key ? (int64_t)s->value : -1;
}
