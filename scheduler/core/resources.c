/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/core/resources.h"

#include <stdbool.h>
#include <string.h>

#include "common/codec/quantity.h"

enum { DEFAULT_MILLI_CPU = 100, DEFAULT_MEMORY = 200 * 1024 * 1024 };

static int64_t add_sat(int64_t a, int64_t b)
{
	int64_t r;
	if (__builtin_add_overflow(a, b, &r))
		return b > 0 ? INT64_MAX : INT64_MIN;
	return r;
}

static int64_t sub_sat(int64_t a, int64_t b)
{
	int64_t r;
	if (__builtin_sub_overflow(a, b, &r))
		return b < 0 ? INT64_MAX : INT64_MIN;
	return r;
}

static int64_t max64(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

void resources_deinit(struct resources *r)
{
	for (size_t i = 0; i < r->n_scalars; i++)
		free(r->scalars[i].name);
	free(r->scalars);
	*r = (struct resources){0};
}

static struct scalar *scalar_find(const struct resources *r, const char *name)
{
	for (size_t i = 0; i < r->n_scalars; i++)
		if (!strcmp(r->scalars[i].name, name))
			return &r->scalars[i];
	return NULL;
}

static struct scalar *scalar_get(struct resources *r, const char *name)
{
	struct scalar *s = scalar_find(r, name);
	if (s)
		return s;
	r->scalars = reallocarray(r->scalars, r->n_scalars + 1, sizeof(*r->scalars));
	if (!r->scalars)
		abort();
	size_t at = r->n_scalars++;
	for (; at > 0 && strcmp(r->scalars[at - 1].name, name) > 0; at--)
		r->scalars[at] = r->scalars[at - 1];
	r->scalars[at] = (struct scalar){.name = strdup(name)};
	if (!r->scalars[at].name)
		abort();
	return &r->scalars[at];
}

int64_t resources_scalar(const struct resources *r, const char *name)
{
	const struct scalar *s = scalar_find(r, name);
	return s ? s->amount : 0;
}

void resources_copy(struct resources *to, const struct resources *from)
{
	*to = *from;
	to->scalars = NULL;
	to->n_scalars = 0;
	for (size_t i = 0; i < from->n_scalars; i++)
		scalar_get(to, from->scalars[i].name)->amount = from->scalars[i].amount;
}

void resources_set(struct resources *r, const char *name, const char *quantity)
{
	struct quantity q = quantity_of(quantity);
	if (!strcmp(name, "cpu"))
		r->milli_cpu = quantity_milli(&q);
	else if (!strcmp(name, "memory"))
		r->memory = quantity_value(&q);
	else if (!strcmp(name, "ephemeral-storage"))
		r->ephemeral_storage = quantity_value(&q);
	else if (!strcmp(name, "pods"))
		r->pods = quantity_value(&q);
	else
		scalar_get(r, name)->amount = quantity_value(&q);
}

typedef int64_t (*combine_fn)(int64_t, int64_t);

static void combine(struct resources *to, const struct resources *from, combine_fn fn)
{
	to->milli_cpu = fn(to->milli_cpu, from->milli_cpu);
	to->memory = fn(to->memory, from->memory);
	to->ephemeral_storage = fn(to->ephemeral_storage, from->ephemeral_storage);
	to->pods = fn(to->pods, from->pods);
	for (size_t i = 0; i < from->n_scalars; i++) {
		struct scalar *s = scalar_get(to, from->scalars[i].name);
		s->amount = fn(s->amount, from->scalars[i].amount);
	}
}

void resources_add(struct resources *to, const struct resources *from)
{
	combine(to, from, add_sat);
}

void resources_sub(struct resources *to, const struct resources *from)
{
	combine(to, from, sub_sat);
}

void resources_max(struct resources *to, const struct resources *from)
{
	combine(to, from, max64);
}

static void of_requirements(const CoreV1__ResourceRequirements *r, struct resources *ret)
{
	*ret = (struct resources){0};
	for (size_t i = 0; r && i < r->n_requests; i++)
		resources_set(ret, r->requests[i]->key,
		              r->requests[i]->value ? r->requests[i]->value->string : "");
}

static bool is_sidecar(const CoreV1__Container *c)
{
	return c->restart_policy && !strcmp(c->restart_policy, "Always");
}

/* Init containers run one after the other beside the sidecars that were started before them. */
static void init_peak(const CoreV1__PodSpec *spec, struct resources *sidecars,
                      struct resources *peak)
{
	for (size_t i = 0; i < spec->n_init_containers; i++) {
		struct resources one;
		of_requirements(spec->init_containers[i]->resources, &one);
		if (is_sidecar(spec->init_containers[i])) {
			resources_add(sidecars, &one);
			resources_max(peak, sidecars);
		} else {
			resources_add(&one, sidecars);
			resources_max(peak, &one);
		}
		resources_deinit(&one);
	}
}

/* Requests of the pod itself replace the sums of its containers. */
static void pod_level(const CoreV1__ResourceRequirements *r, struct resources *ret)
{
	for (size_t i = 0; r && i < r->n_requests; i++) {
		const char *name = r->requests[i]->key;
		if (!strcmp(name, "cpu") || !strcmp(name, "memory") ||
		    !strncmp(name, "hugepages-", 10))
			resources_set(ret, name,
			              r->requests[i]->value ? r->requests[i]->value->string : "");
	}
}

void resources_of_pod(const CoreV1__PodSpec *spec, struct resources *ret)
{
	struct resources sidecars = {0}, peak = {0}, one;
	*ret = (struct resources){0};
	for (size_t i = 0; i < spec->n_containers; i++) {
		of_requirements(spec->containers[i]->resources, &one);
		resources_add(ret, &one);
		resources_deinit(&one);
	}
	init_peak(spec, &sidecars, &peak);
	resources_add(ret, &sidecars);
	resources_max(ret, &peak);
	pod_level(spec->resources, ret);
	struct resources overhead = {0};
	for (size_t i = 0; i < spec->n_overhead; i++)
		resources_set(&overhead, spec->overhead[i]->key,
		              spec->overhead[i]->value ? spec->overhead[i]->value->string : "");
	resources_add(ret, &overhead);
	ret->pods = 1;
	resources_deinit(&overhead);
	resources_deinit(&sidecars);
	resources_deinit(&peak);
}

static bool asks_for(const CoreV1__ResourceRequirements *r, const char *name)
{
	for (size_t i = 0; r && i < r->n_requests; i++)
		if (!strcmp(r->requests[i]->key, name))
			return true;
	return false;
}

void resources_nonzero(const CoreV1__PodSpec *spec, int64_t *ret_milli_cpu, int64_t *ret_memory)
{
	struct resources sum;
	resources_of_pod(spec, &sum);
	for (size_t i = 0; i < spec->n_containers; i++) {
		const CoreV1__ResourceRequirements *r = spec->containers[i]->resources;
		if (!asks_for(r, "cpu") && !asks_for(spec->resources, "cpu"))
			sum.milli_cpu = add_sat(sum.milli_cpu, DEFAULT_MILLI_CPU);
		if (!asks_for(r, "memory") && !asks_for(spec->resources, "memory"))
			sum.memory = add_sat(sum.memory, DEFAULT_MEMORY);
	}
	*ret_milli_cpu = sum.milli_cpu;
	*ret_memory = sum.memory;
	resources_deinit(&sum);
}
