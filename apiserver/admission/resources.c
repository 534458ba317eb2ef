/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/admission/resources.h"

bool resources_get(const struct resource_list *l, const char *name, struct quantity *ret)
{
	for (size_t i = 0; i < l->n; i++) {
		if (!strcmp(l->at[i]->key, name)) {
			*ret = quantity_of(l->at[i]->value->string);
			return true;
		}
	}
	return false;
}

bool resources_equal(const struct resource_list *a, const struct resource_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		struct quantity x = quantity_of(a->at[i]->value->string), y;

		if (!resources_get(b, a->at[i]->key, &y) || quantity_cmp(&x, &y) != 0)
			return false;
	}
	return true;
}

struct quantity *resource_sum_find(struct resource_sum *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->at[i].name, name))
			return &s->at[i].q;
	return NULL;
}

void resource_sum_add(struct resource_sum *s, const char *name, const struct quantity *q)
{
	struct quantity *have = resource_sum_find(s, name);

	if (have) {
		quantity_add(have, q);
	} else if (s->n < RESOURCES_MAX) {
		s->at[s->n].name = name;
		s->at[s->n++].q = *q;
	}
}

void resource_sum_max(struct resource_sum *s, const char *name, const struct quantity *q)
{
	struct quantity *have = resource_sum_find(s, name);

	if (!have)
		resource_sum_add(s, name, q);
	else if (quantity_cmp(have, q) < 0)
		*have = *q;
}

void resource_sum_add_list(struct resource_sum *s, const struct resource_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct quantity q = quantity_of(l->at[i]->value->string);

		resource_sum_add(s, l->at[i]->key, &q);
	}
}
