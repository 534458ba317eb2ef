/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/core/queue.h"

#include <assert.h>

#include "common/base/map.h"
#include "common/base/vec.h"

enum place { ACTIVE, BACKOFF, UNSCHEDULABLE, GATED, IN_FLIGHT };

struct item {
	char *key;
	enum place place;
	int32_t priority;
	uint64_t since_ms;  /* entered the queue: the age that decides among equals */
	uint64_t seq;       /* breaks ties of since_ms */
	uint64_t ready_ms;  /* end of the back-off */
	uint64_t failed_ms; /* became unschedulable */
	unsigned attempts;
	unsigned help; /* events that can make it fit */
	unsigned seen; /* events while it was in flight */
	size_t slot;   /* in its heap */
};

/* A binary heap of items; `before` orders it. */
struct heap {
	VEC(struct item *) at;
	bool (*before)(const struct item *a, const struct item *b);
};

/* Items in no order; each knows its slot. */
struct bag {
	VEC(struct item *) at;
};

struct queue {
	struct queue_config config;
	struct map items;
	struct heap active, backoff;
	struct bag unschedulable, in_flight;
	size_t n_gated;
	uint64_t seq;
};

static bool active_before(const struct item *a, const struct item *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority;
	if (a->since_ms != b->since_ms)
		return a->since_ms < b->since_ms;
	return a->seq < b->seq;
}

static bool backoff_before(const struct item *a, const struct item *b)
{
	return a->ready_ms != b->ready_ms ? a->ready_ms < b->ready_ms : a->seq < b->seq;
}

static void heap_set(struct heap *h, size_t slot, struct item *it)
{
	h->at.at[slot] = it;
	it->slot = slot;
}

static void heap_up(struct heap *h, size_t slot)
{
	struct item *it = h->at.at[slot];
	for (; slot && h->before(it, h->at.at[(slot - 1) / 2]); slot = (slot - 1) / 2)
		heap_set(h, slot, h->at.at[(slot - 1) / 2]);
	heap_set(h, slot, it);
}

static void heap_down(struct heap *h, size_t slot)
{
	struct item *it = h->at.at[slot];
	for (size_t child; (child = slot * 2 + 1) < h->at.n; slot = child) {
		if (child + 1 < h->at.n && h->before(h->at.at[child + 1], h->at.at[child]))
			child++;
		if (!h->before(h->at.at[child], it))
			break;
		heap_set(h, slot, h->at.at[child]);
	}
	heap_set(h, slot, it);
}

static void heap_push(struct heap *h, struct item *it)
{
	*vec_push(&h->at) = it;
	heap_up(h, h->at.n - 1);
}

static void heap_remove(struct heap *h, struct item *it)
{
	size_t slot = it->slot;
	struct item *last = vec_pop(&h->at);
	if (last == it)
		return;
	heap_set(h, slot, last);
	heap_up(h, slot);
	heap_down(h, last->slot);
}

static void bag_push(struct bag *b, struct item *it)
{
	it->slot = b->at.n;
	*vec_push(&b->at) = it;
}

static void bag_remove(struct bag *b, struct item *it)
{
	size_t slot = it->slot;
	vec_swap_remove(&b->at, slot);
	if (slot < b->at.n)
		b->at.at[slot]->slot = slot;
}

struct queue *queue_new(const struct queue_config *config)
{
	struct queue *q = calloc(1, sizeof(*q));
	if (!q)
		abort();
	q->config = *config;
	q->active.before = active_before;
	q->backoff.before = backoff_before;
	return q;
}

static void item_free(struct item *it)
{
	free(it->key);
	free(it);
}

void queue_free(struct queue *q)
{
	if (!q)
		return;
	MAP_FOREACH (&q->items, it)
		item_free(it->value);
	map_deinit(&q->items);
	vec_deinit(&q->active.at);
	vec_deinit(&q->backoff.at);
	vec_deinit(&q->unschedulable.at);
	vec_deinit(&q->in_flight.at);
	free(q);
}

/* Takes the item out of the place where it stands. */
static void leave(struct queue *q, struct item *it)
{
	switch (it->place) {
	case ACTIVE:
		heap_remove(&q->active, it);
		break;
	case BACKOFF:
		heap_remove(&q->backoff, it);
		break;
	case UNSCHEDULABLE:
		bag_remove(&q->unschedulable, it);
		break;
	case GATED:
		q->n_gated--;
		break;
	case IN_FLIGHT:
		bag_remove(&q->in_flight, it);
		break;
	}
}

static void enter(struct queue *q, struct item *it, enum place place)
{
	it->place = place;
	switch (place) {
	case ACTIVE:
		heap_push(&q->active, it);
		break;
	case BACKOFF:
		heap_push(&q->backoff, it);
		break;
	case UNSCHEDULABLE:
		bag_push(&q->unschedulable, it);
		break;
	case GATED:
		q->n_gated++;
		break;
	case IN_FLIGHT:
		bag_push(&q->in_flight, it);
		break;
	}
}

static void wake(struct queue *q, struct item *it, uint64_t now_ms)
{
	enter(q, it, it->ready_ms > now_ms ? BACKOFF : ACTIVE);
}

void queue_add(struct queue *q, const char *key, int32_t priority, bool gated, uint64_t now_ms)
{
	struct item *it = map_get_str(&q->items, key);
	if (it && it->place == IN_FLIGHT) {
		it->priority = priority;
		it->seen |= QUEUE_POD_UPDATE;
		return;
	}
	if (it) {
		leave(q, it);
	} else {
		it = calloc(1, sizeof(*it));
		if (!it || !(it->key = strdup(key)))
			abort();
		it->since_ms = now_ms;
		it->seq = q->seq++;
		map_put_str(&q->items, key, it);
	}
	it->priority = priority;
	if (gated)
		enter(q, it, GATED);
	else
		wake(q, it, now_ms);
}

void queue_remove(struct queue *q, const char *key)
{
	struct item *it = map_del_str(&q->items, key);
	if (!it)
		return;
	leave(q, it);
	item_free(it);
}

const char *queue_pop(struct queue *q, uint64_t now_ms)
{
	queue_tick(q, now_ms);
	if (!q->active.at.n)
		return NULL;
	struct item *it = q->active.at.at[0];
	leave(q, it);
	enter(q, it, IN_FLIGHT);
	it->attempts++;
	it->seen = 0;
	return it->key;
}

void queue_done(struct queue *q, const char *key)
{
	queue_remove(q, key);
}

static uint64_t backoff_of(const struct queue *q, unsigned attempts)
{
	uint64_t ms = q->config.initial_backoff_ms;
	for (unsigned i = 1; i < attempts && ms < q->config.max_backoff_ms; i++)
		ms *= 2;
	return MIN(ms, q->config.max_backoff_ms);
}

void queue_failed(struct queue *q, const char *key, unsigned help, bool error, uint64_t now_ms)
{
	struct item *it = map_get_str(&q->items, key);
	if (!it || it->place != IN_FLIGHT)
		return;
	leave(q, it);
	it->help = help | QUEUE_POD_UPDATE;
	it->failed_ms = now_ms;
	it->ready_ms = now_ms + backoff_of(q, it->attempts);
	if (error || (it->seen & it->help))
		wake(q, it, now_ms);
	else
		enter(q, it, UNSCHEDULABLE);
}

void queue_event(struct queue *q, unsigned events, uint64_t now_ms)
{
	if (!events)
		return;
	VEC_FOREACH (&q->in_flight.at, it)
		(*it)->seen |= events;
	for (size_t i = 0; i < q->unschedulable.at.n;) {
		struct item *it = q->unschedulable.at.at[i];
		if (!(it->help & events)) {
			i++;
			continue;
		}
		leave(q, it);
		wake(q, it, now_ms);
	}
}

void queue_tick(struct queue *q, uint64_t now_ms)
{
	while (q->backoff.at.n && q->backoff.at.at[0]->ready_ms <= now_ms) {
		struct item *it = q->backoff.at.at[0];
		leave(q, it);
		enter(q, it, ACTIVE);
	}
	for (size_t i = 0; i < q->unschedulable.at.n;) {
		struct item *it = q->unschedulable.at.at[i];
		if (it->failed_ms + q->config.unschedulable_ms > now_ms) {
			i++;
			continue;
		}
		leave(q, it);
		wake(q, it, now_ms);
	}
}

uint64_t queue_deadline(const struct queue *q)
{
	uint64_t at = q->active.at.n ? 0 : UINT64_MAX;
	if (q->backoff.at.n)
		at = MIN(at, q->backoff.at.at[0]->ready_ms);
	VEC_FOREACH (&q->unschedulable.at, it)
		at = MIN(at, (*it)->failed_ms + q->config.unschedulable_ms);
	return at;
}

struct queue_counts queue_counts(const struct queue *q)
{
	return (struct queue_counts){q->active.at.n, q->backoff.at.n, q->unschedulable.at.n,
	                             q->n_gated, q->in_flight.at.n};
}
