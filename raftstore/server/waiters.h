/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What waits, in the order in which it came, found by a key that grows. Taking the first is cheap,
 * so is taking one out of the middle; NULL is what was taken. */
#include <stdint.h>
#include "common/base/vec.h"

struct waiters {
	struct waiter {
		uint64_t key;
		void *item;
	} * at;
	size_t n, cap, head; /* before head: all taken */
};

static inline void waiters_push(struct waiters *w, uint64_t key, void *item)
{
	*vec_push(w) = (struct waiter){key, item};
}

/* The first that is there; NULL: none. */
static inline struct waiter *waiters_first(struct waiters *w)
{
	while (w->head < w->n && !w->at[w->head].item)
		w->head++;
	if (w->head == w->n) {
		w->head = w->n = 0;
		return NULL;
	}
	if (w->head >= 1024 && w->head > w->n / 2) {
		memmove(w->at, w->at + w->head, (w->n - w->head) * sizeof(*w->at));
		w->n -= w->head;
		w->head = 0;
	}
	return &w->at[w->head];
}

/* Takes the one of this key out; NULL: it is not there. */
static inline void *waiters_take(struct waiters *w, uint64_t key)
{
	size_t from = w->head, to = w->n;
	while (from < to) {
		size_t middle = from + (to - from) / 2;
		if (w->at[middle].key < key)
			from = middle + 1;
		else
			to = middle;
	}
	return from < w->n && w->at[from].key == key ? TAKE(w->at[from].item) : NULL;
}

#define WAITERS_FOREACH(w, it)                                         \
	for (struct waiter *it = (w)->at ? (w)->at + (w)->head : NULL; \
	     it && it < (w)->at + (w)->n; it++)                        \
		if (it->item)
