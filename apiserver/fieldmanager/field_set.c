/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/fieldmanager/field_set.h"

#include <stdlib.h>

/* --- order ----------------------------------------------------------------------------------- */

static bool starts_number(uint8_t c)
{
	return c == '-' || (c >= '0' && c <= '9');
}

/* Where the texts of two JSON scalars or objects begin to differ, and what stands there. */
static int json_text_cmp(struct slice a, struct slice b)
{
	size_t n = MIN(a.len, b.len), i = 0, token = 0;
	bool quoted = false;

	for (; i < n && a.data[i] == b.data[i]; i++) {
		uint8_t c = a.data[i];

		if (c == '"' && (!i || a.data[i - 1] != '\\'))
			quoted = !quoted;
		if (!quoted && !starts_number(c) && c != '.')
			token = i + 1;
	}
	if (quoted && i < n && (a.data[i] == '"' || b.data[i] == '"'))
		return a.data[i] == '"' ? -1 : 1; /* the shorter string is first */
	if (!quoted && token < a.len && token < b.len && starts_number(a.data[token]) &&
	    starts_number(b.data[token])) {
		char x[32] = {0}, y[32] = {0};

		memcpy(x, a.data + token, MIN(a.len - token, sizeof(x) - 1));
		memcpy(y, b.data + token, MIN(b.len - token, sizeof(y) - 1));
		double u = strtod(x, NULL), v = strtod(y, NULL);
		if (u != v)
			return u < v ? -1 : 1;
	}
	return slice_cmp(a, b);
}

int field_elem_cmp(const struct field_elem *a, const struct field_elem *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->kind == ELEM_FIELD)
		return slice_cmp(a->text, b->text);
	return slice_eq(a->text, b->text) ? 0 : json_text_cmp(a->text, b->text);
}

static int node_cmp(const void *a, const void *b)
{
	return field_elem_cmp(&((const struct field_node *)a)->elem,
	                      &((const struct field_node *)b)->elem);
}

/* --- building -------------------------------------------------------------------------------- */

void field_set_add(struct field_set *s, struct field_elem elem, bool member, struct field_set below,
                   struct arena *a)
{
	if (!member && !below.n)
		return;
	if (s->n == s->cap) {
		uint32_t cap = s->cap ? s->cap * 2 : 4;

		s->at = arena_grow(a, s->at, s->cap * sizeof(*s->at), cap * sizeof(*s->at));
		s->cap = cap;
	}
	s->at[s->n++] = (struct field_node){.elem = elem, .member = member, .below = below};
}

void field_set_sort(struct field_set *s)
{
	for (uint32_t i = 1; i < s->n; i++) {
		if (node_cmp(&s->at[i - 1], &s->at[i]) > 0) {
			qsort(s->at, s->n, sizeof(*s->at), node_cmp);
			return;
		}
	}
}

/* --- operations ------------------------------------------------------------------------------ */

const struct field_node *field_set_find(const struct field_set *s, const struct field_elem *elem)
{
	struct field_node key = {.elem = *elem};

	return s->n ? bsearch(&key, s->at, s->n, sizeof(key), node_cmp) : NULL;
}

enum operation { UNION, DIFFERENCE, INTERSECTION };

static struct field_set combine(struct field_set x, struct field_set y, enum operation op,
                                struct arena *a);

static void combine_nodes(const struct field_node *p, const struct field_node *q, enum operation op,
                          struct field_set *ret, struct arena *a)
{
	bool member = op == UNION        ? p->member || q->member
	              : op == DIFFERENCE ? p->member && !q->member
	                                 : p->member && q->member;

	field_set_add(ret, p->elem, member, combine(p->below, q->below, op, a), a);
}

/* Merges two sorted lists of nodes. Depth is that of the sets, which is limited. */
static struct field_set combine(struct field_set x, struct field_set y, enum operation op,
                                struct arena *a)
{
	struct field_set ret = {0};
	uint32_t i = 0, j = 0;

	if (!x.n)
		return op == UNION ? y : x;
	if (!y.n)
		return op == INTERSECTION ? y : x;
	while (i < x.n && j < y.n) {
		int order = node_cmp(&x.at[i], &y.at[j]);

		if (order == 0) {
			combine_nodes(&x.at[i++], &y.at[j++], op, &ret, a);
		} else if (order < 0) {
			if (op != INTERSECTION)
				field_set_add(&ret, x.at[i].elem, x.at[i].member, x.at[i].below, a);
			i++;
		} else {
			if (op == UNION)
				field_set_add(&ret, y.at[j].elem, y.at[j].member, y.at[j].below, a);
			j++;
		}
	}
	for (; op != INTERSECTION && i < x.n; i++)
		field_set_add(&ret, x.at[i].elem, x.at[i].member, x.at[i].below, a);
	for (; op == UNION && j < y.n; j++)
		field_set_add(&ret, y.at[j].elem, y.at[j].member, y.at[j].below, a);
	return ret;
}

struct field_set field_set_union(struct field_set x, struct field_set y, struct arena *a)
{
	return combine(x, y, UNION, a);
}

struct field_set field_set_difference(struct field_set x, struct field_set y, struct arena *a)
{
	return combine(x, y, DIFFERENCE, a);
}

struct field_set field_set_intersection(struct field_set x, struct field_set y, struct arena *a)
{
	return combine(x, y, INTERSECTION, a);
}

bool field_set_equal(const struct field_set *x, const struct field_set *y)
{
	if (x->n != y->n)
		return false;
	for (uint32_t i = 0; i < x->n; i++)
		if (node_cmp(&x->at[i], &y->at[i]) != 0 || x->at[i].member != y->at[i].member ||
		    !field_set_equal(&x->at[i].below, &y->at[i].below))
			return false;
	return true;
}

size_t field_set_size(const struct field_set *s)
{
	size_t n = 0;

	for (uint32_t i = 0; i < s->n; i++)
		n += s->at[i].member + field_set_size(&s->at[i].below);
	return n;
}

bool field_set_has(const struct field_set *s, const char *path)
{
	for (;;) {
		size_t n = strcspn(path, ".");
		struct field_elem elem = {ELEM_FIELD, slice_of(path, n)};
		const struct field_node *node = field_set_find(s, &elem);

		if (!node || !path[n])
			return node && node->member;
		s = &node->below;
		path += n + 1;
	}
}
