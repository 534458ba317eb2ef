/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/core/selector.h"

#include <string.h>

static bool among(const struct requirement *r, uint32_t value)
{
	for (uint32_t i = 0; i < r->n; i++)
		if (r->values[i] == value)
			return true;
	return false;
}

bool requirement_holds(const struct requirement *r, uint32_t value, const struct symbols *s)
{
	int64_t have, want;
	switch ((enum selector_op)r->op) {
	case SELECTOR_IN:
		return value && among(r, value);
	case SELECTOR_NOT_IN:
		return !value || !among(r, value);
	case SELECTOR_EXISTS:
		return value != 0;
	case SELECTOR_NOT_EXISTS:
		return value == 0;
	case SELECTOR_GREATER:
	case SELECTOR_LESS:
		if (r->n != 1 || !symbols_number(s, value, &have) ||
		    !symbols_number(s, r->values[0], &want))
			return false;
		return r->op == SELECTOR_GREATER ? have > want : have < want;
	case SELECTOR_INVALID:
		break;
	}
	return false;
}

bool selector_matches(const struct selector *sel, const struct label_list *labels,
                      const struct symbols *s)
{
	if (sel->nothing)
		return false;
	for (uint32_t i = 0; i < sel->n; i++)
		if (!requirement_holds(&sel->at[i], label_value(labels, sel->at[i].key), s))
			return false;
	return true;
}

uint32_t symbol_refs_get(struct symbol_refs *r, const char *text)
{
	uint32_t symbol = symbols_get(r->symbols, text);
	*vec_push(&r->at) = symbol;
	return symbol;
}

void symbol_refs_deinit(struct symbol_refs *r)
{
	VEC_FOREACH (&r->at, symbol)
		symbols_unref(r->symbols, *symbol);
	vec_deinit(&r->at);
}

static int u32_cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static enum selector_op op_of(const char *op)
{
	static const char *const names[] = {"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"};
	for (size_t i = 0; op && i < ARRAY_LEN(names); i++)
		if (!strcmp(op, names[i]))
			return (enum selector_op)i;
	return SELECTOR_INVALID;
}

void requirement_compile(struct symbol_refs *r, const char *key, const char *op,
                         char *const *values, size_t n, struct requirement *ret)
{
	*ret =
	    (struct requirement){.key = symbol_refs_get(r, key), .op = op_of(op), .n = (uint32_t)n};
	ret->values = n ? arena_array(r->arena, uint32_t, n) : NULL;
	for (size_t i = 0; i < n; i++)
		ret->values[i] = symbol_refs_get(r, values[i]);
	if (n > 1)
		qsort(ret->values, n, sizeof(*ret->values), u32_cmp);
}

static int requirement_cmp(const void *a, const void *b)
{
	const struct requirement *x = a, *y = b;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	if (x->op != y->op)
		return x->op < y->op ? -1 : 1;
	if (x->n != y->n)
		return x->n < y->n ? -1 : 1;
	return x->n ? memcmp(x->values, y->values, x->n * sizeof(*x->values)) : 0;
}

void selector_compile(struct symbol_refs *r, const MetaV1__LabelSelector *from,
                      struct selector *ret)
{
	*ret = (struct selector){.nothing = !from};
	if (!from)
		return;
	ret->n = (uint32_t)(from->n_match_labels + from->n_match_expressions);
	ret->at = arena_array(r->arena, struct requirement, ret->n);
	uint32_t n = 0;
	for (size_t i = 0; i < from->n_match_labels; i++)
		requirement_compile(r, from->match_labels[i]->key, "In",
		                    &from->match_labels[i]->value, 1, &ret->at[n++]);
	for (size_t i = 0; i < from->n_match_expressions; i++) {
		const MetaV1__LabelSelectorRequirement *e = from->match_expressions[i];
		requirement_compile(r, e->key, e->operator_, e->values, e->n_values, &ret->at[n++]);
	}
	if (n > 1)
		qsort(ret->at, n, sizeof(*ret->at), requirement_cmp);
}

void selector_require(struct symbol_refs *r, struct selector *sel, uint32_t key,
                      enum selector_op op, uint32_t value)
{
	uint32_t *values = arena_array(r->arena, uint32_t, 1);
	*values = value;
	struct requirement add = {.key = key, .op = op, .n = 1, .values = values};
	for (uint32_t i = 0; i < sel->n; i++)
		if (!requirement_cmp(&sel->at[i], &add))
			return;
	struct requirement *at = arena_array(r->arena, struct requirement, sel->n + 1);
	if (sel->n)
		memcpy(at, sel->at, sel->n * sizeof(*at));
	at[sel->n++] = add;
	sel->at = at;
	qsort(at, sel->n, sizeof(*at), requirement_cmp);
}
