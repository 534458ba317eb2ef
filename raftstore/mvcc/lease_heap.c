/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/mvcc/lease_heap.h"

static struct slice id_key(const int64_t *id)
{
	return slice_of(id, sizeof(*id));
}

void lease_heap_init(struct lease_heap *h, uint64_t seed)
{
	*h = (struct lease_heap){0};
	map_init(&h->by_id, seed);
}

void lease_heap_deinit(struct lease_heap *h)
{
	VEC_FOREACH (&h->heap, t)
		free(*t);
	vec_deinit(&h->heap);
	map_deinit(&h->by_id);
}

struct lease_timer *lease_heap_find(const struct lease_heap *h, int64_t id)
{
	return map_get(&h->by_id, id_key(&id));
}

static void set(struct lease_heap *h, size_t i, struct lease_timer *t)
{
	h->heap.at[i] = t;
	t->place = i;
}

static void up(struct lease_heap *h, size_t i)
{
	struct lease_timer *t = h->heap.at[i];
	while (i) {
		size_t parent = (i - 1) / 2;
		if (h->heap.at[parent]->expires_ms <= t->expires_ms)
			break;
		set(h, i, h->heap.at[parent]);
		i = parent;
	}
	set(h, i, t);
}

static void down(struct lease_heap *h, size_t i)
{
	struct lease_timer *t = h->heap.at[i];
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= h->heap.n)
			break;
		if (child + 1 < h->heap.n &&
		    h->heap.at[child + 1]->expires_ms < h->heap.at[child]->expires_ms)
			child++;
		if (t->expires_ms <= h->heap.at[child]->expires_ms)
			break;
		set(h, i, h->heap.at[child]);
		i = child;
	}
	set(h, i, t);
}

void lease_heap_move(struct lease_heap *h, struct lease_timer *t, uint64_t expires_ms)
{
	t->expires_ms = expires_ms;
	up(h, t->place);
	down(h, t->place);
}

struct lease_timer *lease_heap_put(struct lease_heap *h, int64_t id, int64_t granted_s,
                                   uint64_t expires_ms)
{
	struct lease_timer *t = lease_heap_find(h, id);
	if (!t) {
		t = calloc(1, sizeof(*t));
		if (!t)
			abort();
		t->id = id;
		map_put(&h->by_id, id_key(&id), t);
		t->place = h->heap.n;
		t->expires_ms = UINT64_MAX;
		*vec_push(&h->heap) = t;
	}
	t->granted_s = granted_s;
	t->saved_s = 0;
	t->revoking = t->renewed = false;
	lease_heap_move(h, t, expires_ms);
	return t;
}

void lease_heap_remove(struct lease_heap *h, int64_t id)
{
	struct lease_timer *t = map_del(&h->by_id, id_key(&id));
	if (!t)
		return;
	struct lease_timer *last = vec_pop(&h->heap);
	if (last != t) {
		set(h, t->place, last);
		lease_heap_move(h, last, last->expires_ms);
	}
	free(t);
}

struct lease_timer *lease_heap_first(const struct lease_heap *h)
{
	return h->heap.n ? h->heap.at[0] : NULL;
}

uint64_t lease_timer_left_ms(const struct lease_timer *t, uint64_t now_ms)
{
	return t->expires_ms <= now_ms ? 0 : t->expires_ms - now_ms;
}
