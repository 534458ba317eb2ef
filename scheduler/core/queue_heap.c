/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/core/queue_heap.h"

static void set(struct queue_heap *h, size_t place, struct queue_item *it)
{
	h->at.at[place] = it;
	it->slot[h->which] = place;
}

static void up(struct queue_heap *h, size_t place)
{
	struct queue_item *it = h->at.at[place];
	for (; place && h->before(it, h->at.at[(place - 1) / 2]); place = (place - 1) / 2)
		set(h, place, h->at.at[(place - 1) / 2]);
	set(h, place, it);
}

static void down(struct queue_heap *h, size_t place)
{
	struct queue_item *it = h->at.at[place];
	for (size_t child; (child = place * 2 + 1) < h->at.n; place = child) {
		if (child + 1 < h->at.n && h->before(h->at.at[child + 1], h->at.at[child]))
			child++;
		if (!h->before(h->at.at[child], it))
			break;
		set(h, place, h->at.at[child]);
	}
	set(h, place, it);
}

void queue_heap_push(struct queue_heap *h, struct queue_item *it)
{
	*vec_push(&h->at) = it;
	up(h, h->at.n - 1);
}

void queue_heap_fix(struct queue_heap *h, struct queue_item *it)
{
	up(h, it->slot[h->which]);
	down(h, it->slot[h->which]);
}

void queue_heap_remove(struct queue_heap *h, struct queue_item *it)
{
	size_t place = it->slot[h->which];
	struct queue_item *last = vec_pop(&h->at);
	if (last == it)
		return;
	set(h, place, last);
	queue_heap_fix(h, last);
}
