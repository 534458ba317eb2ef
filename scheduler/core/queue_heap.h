/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A binary heap of the queue's items; each knows its place. */
#include "common/base/vec.h"
#include "scheduler/core/queue.h"

struct queue_heap {
	VEC(struct queue_item *) at;
	unsigned which; /* of the item's slots; an item may be in one heap of each */
	bool (*before)(const struct queue_item *a, const struct queue_item *b);
};

void queue_heap_push(struct queue_heap *h, struct queue_item *it);
void queue_heap_remove(struct queue_heap *h, struct queue_item *it);
/* The item's order may have changed. */
void queue_heap_fix(struct queue_heap *h, struct queue_item *it);
static inline struct queue_item *queue_heap_first(const struct queue_heap *h)
{
	return h->at.n ? h->at.at[0] : NULL;
}
