/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/mvcc/watch_index.h"

enum { NOT_BUILT = SIZE_MAX };

void watch_index_init(struct watch_index *x, uint64_t seed)
{
	*x = (struct watch_index){0};
	map_init(&x->exact, seed);
}

void watch_index_deinit(struct watch_index *x)
{
	map_deinit(&x->exact);
	vec_deinit(&x->ranges);
}

void watch_index_add(struct watch_index *x, struct watch_entry *e)
{
	if (e->keys.has_end) {
		*vec_push(&x->ranges) = e;
		x->sorted = NOT_BUILT;
		return;
	}
	e->next = map_put(&x->exact, e->keys.key, e);
}

static void exact_remove(struct watch_index *x, struct watch_entry *e)
{
	struct watch_entry *first = map_get(&x->exact, e->keys.key);
	if (first == e) {
		if (e->next)
			map_put(&x->exact, e->keys.key, e->next);
		else
			map_del(&x->exact, e->keys.key);
		return;
	}
	for (; first; first = first->next) {
		if (first->next == e) {
			first->next = e->next;
			return;
		}
	}
}

void watch_index_remove(struct watch_index *x, struct watch_entry *e)
{
	if (!e->keys.has_end) {
		exact_remove(x, e);
		return;
	}
	for (size_t i = 0; i < x->ranges.n; i++) {
		if (x->ranges.at[i] == e) {
			vec_remove(&x->ranges, i);
			x->sorted = NOT_BUILT;
			return;
		}
	}
}

static int entry_cmp(const void *a, const void *b)
{
	const struct watch_entry *const *x = a, *const *y = b;
	return slice_cmp((*x)->keys.key, (*y)->keys.key);
}

static void max_take(struct watch_entry *e, bool unbounded, struct slice end)
{
	if (unbounded)
		e->max_unbounded = true;
	else if (slice_cmp(end, e->max_end) > 0)
		e->max_end = end;
}

/* The subtree of [from, to) has its root in the middle. */
static struct watch_entry *build(struct watch_index *x, size_t from, size_t to)
{
	if (from >= to)
		return NULL;
	size_t mid = from + (to - from) / 2;
	struct watch_entry *e = x->ranges.at[mid];
	e->max_end = e->keys.end;
	e->max_unbounded = e->keys.unbounded;
	struct watch_entry *child[] = {build(x, from, mid), build(x, mid + 1, to)};
	for (size_t i = 0; i < ARRAY_LEN(child); i++) {
		if (child[i])
			max_take(e, child[i]->max_unbounded, child[i]->max_end);
	}
	return e;
}

static void match_ranges(struct watch_index *x, size_t from, size_t to, struct slice key,
                         void (*match)(void *arg, struct watch_entry *e), void *arg)
{
	while (from < to) {
		size_t mid = from + (to - from) / 2;
		struct watch_entry *e = x->ranges.at[mid];
		if (!e->max_unbounded && slice_cmp(key, e->max_end) >= 0)
			return;
		match_ranges(x, from, mid, key, match, arg);
		if (slice_cmp(key, e->keys.key) < 0)
			return;
		if (e->keys.unbounded || slice_cmp(key, e->keys.end) < 0)
			match(arg, e);
		from = mid + 1;
	}
}

void watch_index_match(struct watch_index *x, struct slice key,
                       void (*match)(void *arg, struct watch_entry *e), void *arg)
{
	for (struct watch_entry *e = map_get(&x->exact, key); e; e = e->next)
		match(arg, e);
	if (x->sorted != x->ranges.n) {
		qsort(x->ranges.at, x->ranges.n, sizeof(*x->ranges.at), entry_cmp);
		build(x, 0, x->ranges.n);
		x->sorted = x->ranges.n;
	}
	match_ranges(x, 0, x->ranges.n, key, match, arg);
}
