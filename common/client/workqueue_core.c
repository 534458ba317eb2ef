/* SPDX-License-Identifier: Apache-2.0 */
/* client-go's queue as one state a key: a key is `dirty` when it must be processed, `busy` while it
 * is in a hand. It stands in the ready ring when it is dirty and not busy. */
#include <string.h>
#include "common/client/workqueue.h"

enum { BASE_MS = 5, MAX_MS = 1000000 };

struct workqueue_item {
	bool dirty, busy;
	unsigned requeues; /* failures in a row */
	uint64_t due_ms, sequence;
	uint64_t dirty_ms, taken_ms; /* since when it waits, is in a hand */
	size_t place;                /* in the heap of waiting ones, from 1; 0: not there */
	char key[];
};

void workqueue_core_init(struct workqueue_core *q)
{
	*q = (struct workqueue_core){.base_ms = BASE_MS, .max_ms = MAX_MS};
	map_init(&q->items, 0);
}

void workqueue_core_deinit(struct workqueue_core *q)
{
	MAP_FOREACH (&q->items, slot)
		free(slot->value);
	map_deinit(&q->items);
	vec_deinit(&q->ready);
	vec_deinit(&q->waiting);
}

static struct workqueue_item *item_of(struct workqueue_core *q, const char *key)
{
	struct workqueue_item *it = map_get_str(&q->items, key);
	if (!it) {
		size_t n = strlen(key) + 1;
		it = calloc(1, sizeof *it + n);
		if (!it)
			abort();
		memcpy(it->key, key, n);
		map_put_str(&q->items, key, it);
	}
	return it;
}

/* Forgets a key that nothing is known about. */
static void drop_if_idle(struct workqueue_core *q, struct workqueue_item *it)
{
	if (it->dirty || it->busy || it->place || it->requeues)
		return;
	map_del_str(&q->items, it->key);
	free(it);
}

/* --- the ready ones --- */

static void make_ready(struct workqueue_core *q, struct workqueue_item *it)
{
	if (it->dirty)
		return;
	it->dirty = true;
	it->dirty_ms = q->now_ms;
	q->adds++;
	if (!it->busy)
		*vec_push(&q->ready) = it;
}

void workqueue_core_add(struct workqueue_core *q, const char *key)
{
	make_ready(q, item_of(q, key));
}

size_t workqueue_core_length(const struct workqueue_core *q)
{
	return q->ready.n - q->head;
}

const char *workqueue_core_take(struct workqueue_core *q)
{
	if (!workqueue_core_length(q))
		return NULL;
	struct workqueue_item *it = q->ready.at[q->head++];
	if (q->head == q->ready.n) {
		q->head = q->ready.n = 0;
	} else if (q->head > 64 && q->head > q->ready.n / 2) {
		memmove(q->ready.at, q->ready.at + q->head,
		        (q->ready.n - q->head) * sizeof(*q->ready.at));
		q->ready.n -= q->head;
		q->head = 0;
	}
	it->dirty = false;
	it->busy = true;
	it->taken_ms = q->now_ms;
	q->waited_ms = q->now_ms - it->dirty_ms;
	return it->key;
}

void workqueue_core_done(struct workqueue_core *q, const char *key)
{
	struct workqueue_item *it = map_get_str(&q->items, key);
	if (!it || !it->busy)
		return;
	it->busy = false;
	q->worked_ms = q->now_ms - it->taken_ms;
	if (it->dirty)
		*vec_push(&q->ready) = it;
	drop_if_idle(q, it);
}

/* --- the waiting ones: a heap by due time --- */

static bool before(const struct workqueue_item *a, const struct workqueue_item *b)
{
	return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->sequence < b->sequence;
}

static void set_place(struct workqueue_core *q, size_t place, struct workqueue_item *it)
{
	q->waiting.at[place - 1] = it;
	it->place = place;
}

static void sift(struct workqueue_core *q, struct workqueue_item *it)
{
	size_t place = it->place;
	for (; place > 1 && before(it, q->waiting.at[place / 2 - 1]); place /= 2)
		set_place(q, place, q->waiting.at[place / 2 - 1]);
	for (;;) {
		size_t child = place * 2;
		if (child > q->waiting.n)
			break;
		if (child < q->waiting.n && before(q->waiting.at[child], q->waiting.at[child - 1]))
			child++;
		if (!before(q->waiting.at[child - 1], it))
			break;
		set_place(q, place, q->waiting.at[child - 1]);
		place = child;
	}
	set_place(q, place, it);
}

static void take_first(struct workqueue_core *q)
{
	struct workqueue_item *first = q->waiting.at[0], *last = vec_pop(&q->waiting);
	if (last != first) {
		last->place = 1;
		sift(q, last);
	}
	first->place = 0;
}

void workqueue_core_add_after(struct workqueue_core *q, const char *key, uint64_t now_ms,
                              uint64_t delay_ms)
{
	struct workqueue_item *it = item_of(q, key);
	uint64_t due = delay_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + delay_ms;
	if (!delay_ms) {
		make_ready(q, it);
		return;
	}
	/* A key that waits already comes at the earlier of both times. */
	if (it->place && it->due_ms <= due)
		return;
	it->due_ms = due;
	it->sequence = ++q->sequence;
	if (!it->place) {
		*vec_push(&q->waiting) = it;
		it->place = q->waiting.n;
	}
	sift(q, it);
}

uint64_t workqueue_core_tick(struct workqueue_core *q, uint64_t now_ms)
{
	while (q->waiting.n && q->waiting.at[0]->due_ms <= now_ms) {
		struct workqueue_item *it = q->waiting.at[0];
		take_first(q);
		make_ready(q, it);
	}
	return q->waiting.n ? q->waiting.at[0]->due_ms : UINT64_MAX;
}

/* --- back-off --- */

void workqueue_core_add_rate_limited(struct workqueue_core *q, const char *key, uint64_t now_ms)
{
	struct workqueue_item *it = item_of(q, key);
	uint64_t wait = it->requeues < 40 ? q->base_ms << it->requeues : q->max_ms;
	it->requeues++;
	q->retries++;
	workqueue_core_add_after(q, key, now_ms, MIN(wait, q->max_ms));
}

void workqueue_core_forget(struct workqueue_core *q, const char *key)
{
	struct workqueue_item *it = map_get_str(&q->items, key);
	if (!it)
		return;
	it->requeues = 0;
	drop_if_idle(q, it);
}

unsigned workqueue_core_requeues(const struct workqueue_core *q, const char *key)
{
	const struct workqueue_item *it = map_get_str(&q->items, key);
	return it ? it->requeues : 0;
}
