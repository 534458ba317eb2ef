/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/resource_sum.h"
#include "proto/core_v1.pb-c.h"

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

static void container_list(const CoreV1__Container *c, bool limits, struct resource_list *ret)
{
	const CoreV1__ResourceRequirements *r = c->resources;

	*ret = limits ? (struct resource_list)RESOURCES(r, limits)
	              : (struct resource_list)RESOURCES(r, requests);
}

static bool is_sidecar(const CoreV1__Container *c)
{
	return c->restart_policy && !strcmp(c->restart_policy, "Always");
}

/* A sidecar stays; every other init container runs beside the sidecars before it. */
static void add_init(const CoreV1__PodSpec *spec, bool limits, struct resource_sum *ret)
{
	struct resource_sum sidecars = {0}, peak = {0};

	for (size_t i = 0; i < spec->n_init_containers; i++) {
		const CoreV1__Container *c = spec->init_containers[i];
		struct resource_sum with;
		struct resource_list l;

		container_list(c, limits, &l);
		if (is_sidecar(c)) {
			resource_sum_add_list(&sidecars, &l);
			resource_sum_add_list(ret, &l);
		}
		with = sidecars;
		if (!is_sidecar(c))
			resource_sum_add_list(&with, &l);
		for (size_t k = 0; k < with.n; k++)
			resource_sum_max(&peak, with.at[k].name, &with.at[k].q);
	}
	for (size_t k = 0; k < peak.n; k++)
		resource_sum_max(ret, peak.at[k].name, &peak.at[k].q);
}

void pod_resources(const CoreV1__PodSpec *spec, bool limits, struct resource_sum *ret)
{
	const struct resource_list overhead = RESOURCES(spec, overhead);
	struct resource_list l;

	*ret = (struct resource_sum){0};
	for (size_t i = 0; i < spec->n_containers; i++) {
		container_list(spec->containers[i], limits, &l);
		resource_sum_add_list(ret, &l);
	}
	add_init(spec, limits, ret);
	if (spec->resources) {
		/* Said of the pod as a whole. */
		l = limits ? (struct resource_list)RESOURCES(spec->resources, limits)
		           : (struct resource_list)RESOURCES(spec->resources, requests);
		for (size_t i = 0; i < l.n; i++) {
			struct quantity q = quantity_of(l.at[i]->value->string);
			struct quantity *have = resource_sum_find(ret, l.at[i]->key);

			if (have)
				*have = q;
			else
				resource_sum_add(ret, l.at[i]->key, &q);
		}
	}
	for (size_t i = 0; i < overhead.n; i++) {
		struct quantity q = quantity_of(overhead.at[i]->value->string);

		if (!limits || resource_sum_find(ret, overhead.at[i]->key))
			resource_sum_add(ret, overhead.at[i]->key, &q);
	}
}
