/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Intrusive doubly linked list. An empty head and an unlinked node point to themselves. */
#include <stdbool.h>
#include "common/base/cleanup.h"

struct list {
	struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_add_tail(struct list *head, struct list *n)
{
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}

static inline void list_add_head(struct list *head, struct list *n)
{
	list_add_tail(head->next, n);
}

/* Unlinking an unlinked node does nothing. */
static inline void list_del(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

#define list_entry(p, type, member) CONTAINER_OF(p, type, member)
#define list_first(head, type, member) list_entry((head)->next, type, member)
/* Safe against removal of the current element. */
#define LIST_FOREACH(head, it, type, member)                                                       \
	for (type *it = list_first(head, type, member),                                            \
		  *it##_next = list_entry(it->member.next, type, member);                          \
	     &it->member != (head);                                                                \
	     it = it##_next, it##_next = list_entry(it->member.next, type, member))
