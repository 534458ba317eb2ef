/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/core/topology.h"

struct topology *topology_new(struct symbols *s, uint32_t key)
{
	struct topology *t = calloc(1, sizeof(*t));
	if (!t)
		abort();
	t->key = key;
	symbols_ref(s, key);
	return t;
}

void topology_free(struct topology *t, struct symbols *s)
{
	if (!t)
		return;
	VEC_FOREACH (&t->values, v)
		if (v->n_nodes)
			symbols_unref(s, v->symbol);
	symbols_unref(s, t->key);
	vec_deinit(&t->value_of);
	vec_deinit(&t->values);
	vec_deinit(&t->unused);
	map_deinit(&t->by_symbol);
	free(t);
}

static struct slice key_of(const uint32_t *symbol)
{
	return slice_of(symbol, sizeof(*symbol));
}

static int32_t value_take(struct topology *t, struct symbols *s, uint32_t symbol)
{
	uintptr_t known = (uintptr_t)map_get(&t->by_symbol, key_of(&symbol));
	uint32_t number;
	if (known) {
		number = (uint32_t)(known - 1);
	} else {
		if (t->unused.n) {
			number = vec_pop(&t->unused);
		} else {
			number = (uint32_t)t->values.n;
			*vec_push(&t->values) = (struct topology_value){0};
		}
		t->values.at[number] = (struct topology_value){.symbol = symbol};
		symbols_ref(s, symbol);
		map_put(&t->by_symbol, key_of(&symbol), (void *)(uintptr_t)(number + 1));
	}
	t->values.at[number].n_nodes++;
	return (int32_t)number;
}

static void value_drop(struct topology *t, struct symbols *s, int32_t number)
{
	struct topology_value *v = &t->values.at[number];
	if (--v->n_nodes)
		return;
	map_del(&t->by_symbol, key_of(&v->symbol));
	symbols_unref(s, v->symbol);
	*vec_push(&t->unused) = (uint32_t)number;
}

void topology_set(struct topology *t, struct symbols *s, uint32_t id,
                  const struct label_list *labels)
{
	while (t->value_of.n <= id)
		*vec_push(&t->value_of) = -1;
	uint32_t symbol = labels ? label_value(labels, t->key) : 0;
	int32_t old = t->value_of.at[id];
	t->value_of.at[id] = symbol ? value_take(t, s, symbol) : -1;
	if (old >= 0)
		value_drop(t, s, old);
}
