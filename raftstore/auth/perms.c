/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/auth/perms.h"

static int by_key(const void *va, const void *vb)
{
	const struct key_range *a = va, *b = vb;
	return slice_cmp(a->key, b->key);
}

/* One key is the range up to its successor, which is the key with a zero byte behind it. */
static void point_to_range(struct key_range *r, struct arena *a)
{
	uint8_t *end = arena_alloc(a, r->key.len + 1);
	if (r->key.len)
		memcpy(end, r->key.data, r->key.len);
	end[r->key.len] = 0;
	r->end = slice_of(end, r->key.len + 1);
	r->has_end = true;
}

static bool is_empty(const struct key_range *r)
{
	return r->has_end && !r->unbounded && slice_cmp(r->key, r->end) >= 0;
}

void perms_merge(struct key_range *ranges, size_t n, struct arena *a, struct perms *ret)
{
	*ret = (struct perms){.at = arena_array(a, struct key_range, n)};
	if (n)
		qsort(ranges, n, sizeof(*ranges), by_key);
	for (size_t i = 0; i < n; i++) {
		struct key_range r = ranges[i];
		if (!r.has_end)
			point_to_range(&r, a);
		if (is_empty(&r))
			continue;
		struct key_range *last = ret->n ? &ret->at[ret->n - 1] : NULL;
		if (!last || (!last->unbounded && slice_cmp(last->end, r.key) < 0)) {
			ret->at[ret->n++] = r;
		} else if (!last->unbounded && (r.unbounded || slice_cmp(r.end, last->end) > 0)) {
			last->end = r.end;
			last->unbounded = r.unbounded;
		}
	}
}

bool perms_cover(const struct perms *p, const struct key_range *keys)
{
	size_t from = 0, to = p->n;
	while (from < to) {
		size_t mid = from + (to - from) / 2;
		if (slice_cmp(p->at[mid].key, keys->key) <= 0)
			from = mid + 1;
		else
			to = mid;
	}
	if (!from)
		return false;
	const struct key_range *r = &p->at[from - 1];
	if (r->unbounded)
		return true;
	if (!keys->has_end || is_empty(keys))
		return slice_cmp(keys->key, r->end) < 0;
	return !keys->unbounded && slice_cmp(keys->end, r->end) <= 0;
}
