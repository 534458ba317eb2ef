/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/base/plan/hash.h"

/* FNV-1a. */
static uint32_t add(uint32_t hash, const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ ((const uint8_t *)p)[i]) * 16777619U;
	return hash;
}

const char *name_hash(struct slice bytes, const int32_t *collisions, struct arena *a)
{
	static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
	uint32_t hash = add(2166136261U, bytes.data, bytes.len);
	if (collisions)
		hash = add(hash, collisions, sizeof(*collisions));
	char *text = arena_printf(a, "%u", hash);
	for (char *c = text; *c; c++)
		*c = alphabet[(unsigned char)*c % (sizeof(alphabet) - 1)];
	return text;
}
