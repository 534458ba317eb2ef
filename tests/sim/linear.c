/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/linear.h"
#include <stdlib.h>
#include <string.h>
#include "common/base/vec.h"

/* Invocations and returns in order of time, as a linked list from which operations are lifted. */
struct node {
	size_t op;
	struct node *match; /* of an invocation: its return, NULL: unknown */
	struct node *next, *before;
	uint64_t time;
	bool is_return;
};

struct seen {
	uint64_t hash;
	size_t at; /* in `sets`, words; SIZE_MAX: empty */
};

struct choice {
	struct node *node;
	uint64_t value; /* before it */
};

struct search {
	const struct linear_op *ops;
	size_t n, words;
	struct node *nodes, head;
	uint64_t *done; /* a bit an operation */
	struct seen *table;
	size_t table_n, table_cap;
	VEC(uint64_t) sets; /* value, then the bits */
};

static int by_time(const void *a, const void *b)
{
	const struct node *x = a, *y = b;
	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	/* What returns at the moment of an invocation may have been at the same time. */
	if (x->is_return != y->is_return)
		return x->is_return ? 1 : -1;
	return (x->op > y->op) - (x->op < y->op);
}

static size_t list_make(struct search *s)
{
	size_t k = 0;
	s->nodes = calloc(2 * s->n + 1, sizeof(*s->nodes));
	for (size_t i = 0; i < s->n; i++) {
		s->nodes[k++] = (struct node){.op = i, .time = s->ops[i].invoked};
		if (s->ops[i].returned != LINEAR_UNKNOWN)
			s->nodes[k++] =
			    (struct node){.op = i, .time = s->ops[i].returned, .is_return = true};
	}
	qsort(s->nodes, k, sizeof(*s->nodes), by_time);
	struct node *last = &s->head;
	struct node **invoked = calloc(s->n + 1, sizeof(*invoked));
	for (size_t i = 0; i < k; i++) {
		struct node *x = &s->nodes[i];
		if (x->is_return)
			invoked[x->op]->match = x;
		else
			invoked[x->op] = x;
		last->next = x;
		x->before = last;
		last = x;
	}
	free(invoked);
	return k;
}

static void unlink_node(struct node *x)
{
	x->before->next = x->next;
	if (x->next)
		x->next->before = x->before;
}

static void relink_node(struct node *x)
{
	x->before->next = x;
	if (x->next)
		x->next->before = x;
}

static void lift(struct node *x)
{
	unlink_node(x);
	if (x->match)
		unlink_node(x->match);
}

static void unlift(struct node *x)
{
	if (x->match)
		relink_node(x->match);
	relink_node(x);
}

/* Can it come next, and what is the value then? An operation whose result nobody knows did what the
 * value said. */
static bool apply(const struct linear_op *o, uint64_t value, uint64_t *ret)
{
	bool known = o->returned != LINEAR_UNKNOWN;
	switch (o->kind) {
	case LINEAR_WRITE:
		*ret = o->value;
		return true;
	case LINEAR_READ:
		*ret = value;
		return !known || value == o->value;
	case LINEAR_SWAP:
		*ret = value == o->expected ? o->value : value;
		return !known || o->swapped == (value == o->expected);
	}
	return false;
}

static uint64_t hash_set(const struct search *s, uint64_t value)
{
	uint64_t h = value * 0x9e3779b97f4a7c15u;
	for (size_t i = 0; i < s->words; i++)
		h = (h ^ s->done[i] ^ h >> 32) * 0xbf58476d1ce4e5b9u;
	return h | 1;
}

static void table_grow(struct search *s)
{
	size_t cap = s->table_cap ? s->table_cap * 2 : 1024;
	struct seen *t = malloc(cap * sizeof(*t));
	for (size_t i = 0; i < cap; i++)
		t[i].at = SIZE_MAX;
	for (size_t i = 0; i < s->table_cap; i++) {
		if (s->table[i].at == SIZE_MAX)
			continue;
		size_t k = s->table[i].hash % cap;
		while (t[k].at != SIZE_MAX)
			k = (k + 1) % cap;
		t[k] = s->table[i];
	}
	free(s->table);
	s->table = t;
	s->table_cap = cap;
}

/* False: it was there before. */
static bool remember(struct search *s, uint64_t value)
{
	if (2 * s->table_n >= s->table_cap)
		table_grow(s);
	uint64_t h = hash_set(s, value);
	size_t k = h % s->table_cap, bytes = s->words * sizeof(uint64_t);
	for (; s->table[k].at != SIZE_MAX; k = (k + 1) % s->table_cap) {
		const uint64_t *set = s->sets.at + s->table[k].at;
		if (s->table[k].hash == h && set[0] == value && !memcmp(set + 1, s->done, bytes))
			return false;
	}
	s->table[k] = (struct seen){h, s->sets.n};
	s->table_n++;
	*vec_push(&s->sets) = value;
	for (size_t i = 0; i < s->words; i++)
		*vec_push(&s->sets) = s->done[i];
	return true;
}

static enum linear_result search(struct search *s, uint64_t steps_max)
{
	VEC(struct choice) stack = {0};
	uint64_t value = 0, steps = 0;
	enum linear_result result = LINEAR_YES;
	struct node *x = s->head.next;
	size_t left = 0; /* whose results are known, and which have to find their place */
	for (size_t i = 0; i < s->n; i++)
		left += s->ops[i].returned != LINEAR_UNKNOWN;
	while (left) {
		if (++steps > steps_max) {
			result = LINEAR_GIVEN_UP;
			break;
		}
		if (x && !x->is_return) {
			uint64_t next;
			size_t bit = x->op;
			if (apply(&s->ops[x->op], value, &next)) {
				s->done[bit / 64] |= 1ull << bit % 64;
				if (remember(s, next)) {
					*vec_push(&stack) = (struct choice){x, value};
					value = next;
					left -= s->ops[x->op].returned != LINEAR_UNKNOWN;
					lift(x);
					x = s->head.next;
					continue;
				}
				s->done[bit / 64] &= ~(1ull << bit % 64);
			}
			x = x->next;
			continue;
		}
		/* The next to return has found no place: the last choice was wrong. */
		if (!stack.n) {
			result = LINEAR_NO;
			break;
		}
		struct choice c = vec_pop(&stack);
		value = c.value;
		s->done[c.node->op / 64] &= ~(1ull << c.node->op % 64);
		left += s->ops[c.node->op].returned != LINEAR_UNKNOWN;
		unlift(c.node);
		x = c.node->next;
	}
	vec_deinit(&stack);
	return result;
}

enum linear_result linear_check(const struct linear_op *ops, size_t n, uint64_t steps_max)
{
	struct search s = {.ops = ops, .n = n, .words = n / 64 + 1};
	s.done = calloc(s.words, sizeof(*s.done));
	list_make(&s);
	enum linear_result r = search(&s, steps_max);
	free(s.done);
	free(s.nodes);
	free(s.table);
	vec_deinit(&s.sets);
	return r;
}
