/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/core/resources.h"

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

void resources_deinit(struct resources *r, struct symbols *s)
{
	for (size_t i = 0; i < r->n_scalars; i++)
		symbols_unref(s, r->scalars[i].name);
	free(r->scalars);
	*r = (struct resources){0};
}

static struct scalar *scalar_find(const struct resources *r, uint32_t name)
{
	for (size_t i = 0; i < r->n_scalars; i++)
		if (r->scalars[i].name == name)
			return &r->scalars[i];
	return NULL;
}

static struct scalar *scalar_get(struct resources *r, struct symbols *s, uint32_t name)
{
	struct scalar *found = scalar_find(r, name);
	if (found)
		return found;
	r->scalars = reallocarray(r->scalars, r->n_scalars + 1, sizeof(*r->scalars));
	if (!r->scalars)
		abort();
	size_t at = r->n_scalars++;
	for (; at > 0 && r->scalars[at - 1].name > name; at--)
		r->scalars[at] = r->scalars[at - 1];
	r->scalars[at] = (struct scalar){.name = name};
	symbols_ref(s, name);
	return &r->scalars[at];
}

int64_t resources_scalar(const struct resources *r, uint32_t name)
{
	const struct scalar *found = scalar_find(r, name);
	return found ? found->amount : 0;
}

bool resources_is_zero(const struct resources *r)
{
	for (size_t i = 0; i < r->n_scalars; i++)
		if (r->scalars[i].amount)
			return false;
	return !r->milli_cpu && !r->memory && !r->ephemeral_storage;
}

bool resources_equal(const struct resources *a, const struct resources *b)
{
	if (a->milli_cpu != b->milli_cpu || a->memory != b->memory || a->pods != b->pods ||
	    a->ephemeral_storage != b->ephemeral_storage)
		return false;
	for (size_t i = 0; i < a->n_scalars; i++)
		if (a->scalars[i].amount != resources_scalar(b, a->scalars[i].name))
			return false;
	for (size_t i = 0; i < b->n_scalars; i++)
		if (b->scalars[i].amount != resources_scalar(a, b->scalars[i].name))
			return false;
	return true;
}

void resources_set(struct resources *r, struct symbols *s, const char *name, const char *quantity)
{
	struct quantity q = quantity_of(quantity);
	if (!strcmp(name, "cpu")) {
		r->milli_cpu = quantity_milli(&q);
	} else if (!strcmp(name, "memory")) {
		r->memory = quantity_value(&q);
	} else if (!strcmp(name, "ephemeral-storage")) {
		r->ephemeral_storage = quantity_value(&q);
	} else if (!strcmp(name, "pods")) {
		r->pods = quantity_value(&q);
	} else {
		uint32_t symbol = symbols_get(s, name);
		scalar_get(r, s, symbol)->amount = quantity_value(&q);
		symbols_unref(s, symbol);
	}
}

typedef int64_t (*combine_fn)(int64_t, int64_t);

static void combine(struct resources *to, const struct resources *from, struct symbols *s,
                    combine_fn fn)
{
	to->milli_cpu = fn(to->milli_cpu, from->milli_cpu);
	to->memory = fn(to->memory, from->memory);
	to->ephemeral_storage = fn(to->ephemeral_storage, from->ephemeral_storage);
	to->pods = fn(to->pods, from->pods);
	for (size_t i = 0; i < from->n_scalars; i++) {
		struct scalar *one = scalar_get(to, s, from->scalars[i].name);
		one->amount = fn(one->amount, from->scalars[i].amount);
	}
}

/* Amounts that are back at nothing leave, so that names that nobody uses do not pile up. */
static void drop_zeros(struct resources *r, struct symbols *s)
{
	size_t n = 0;
	for (size_t i = 0; i < r->n_scalars; i++) {
		if (r->scalars[i].amount)
			r->scalars[n++] = r->scalars[i];
		else
			symbols_unref(s, r->scalars[i].name);
	}
	r->n_scalars = n;
}

void resources_add(struct resources *to, const struct resources *from, struct symbols *s)
{
	combine(to, from, s, add_sat);
}

void resources_sub(struct resources *to, const struct resources *from, struct symbols *s)
{
	combine(to, from, s, sub_sat);
	if (from->n_scalars)
		drop_zeros(to, s);
}

void resources_copy(struct resources *to, const struct resources *from, struct symbols *s)
{
	*to = (struct resources){0};
	combine(to, from, s, add_sat);
}

static void resources_max(struct resources *to, const struct resources *from, struct symbols *s)
{
	combine(to, from, s, max64);
}

static const char *text_of(const Quantity__Quantity *q)
{
	return q ? q->string : "";
}

static bool asks_for(const CoreV1__ResourceRequirements *r, const char *name)
{
	for (size_t i = 0; r && i < r->n_requests; i++)
		if (!strcmp(r->requests[i]->key, name))
			return true;
	return false;
}

/* How requests are summed up. */
struct summing {
	const CoreV1__Pod *pod;
	struct symbols *symbols;
	bool nonzero; /* containers that name no cpu or memory count as something */
};

static void of_requirements(const struct summing *m, const CoreV1__ResourceRequirements *r,
                            struct resources *ret)
{
	*ret = (struct resources){0};
	for (size_t i = 0; r && i < r->n_requests; i++)
		resources_set(ret, m->symbols, r->requests[i]->key, text_of(r->requests[i]->value));
	if (m->nonzero && !asks_for(r, "cpu"))
		ret->milli_cpu = DEFAULT_MILLI_CPU;
	if (m->nonzero && !asks_for(r, "memory"))
		ret->memory = DEFAULT_MEMORY;
}

static const CoreV1__ContainerStatus *status_of(const CoreV1__Pod *pod, const char *name)
{
	for (size_t i = 0; pod->status && name && i < pod->status->n_container_statuses; i++)
		if (!strcmp(pod->status->container_statuses[i]->name, name))
			return pod->status->container_statuses[i];
	return NULL;
}

/* A resize that the node will never grant does not count. */
static bool is_infeasible(const CoreV1__Pod *pod)
{
	for (size_t i = 0; i < pod->status->n_conditions; i++) {
		const CoreV1__PodCondition *c = pod->status->conditions[i];
		if (!strcmp(c->type, "PodResizePending") && !strcmp(c->reason, "Infeasible"))
			return true;
	}
	return false;
}

static void of_container(const struct summing *m, const CoreV1__Container *c, struct resources *ret)
{
	of_requirements(m, c->resources, ret);
	const CoreV1__ContainerStatus *st = status_of(m->pod, c->name);
	if (!st || !st->resources)
		return;
	struct resources has = {0};
	for (size_t i = 0; i < st->n_allocated_resources; i++)
		resources_set(&has, m->symbols, st->allocated_resources[i]->key,
		              text_of(st->allocated_resources[i]->value));
	if (is_infeasible(m->pod) && st->n_allocated_resources) {
		resources_deinit(ret, m->symbols);
		*ret = (struct resources){0};
	}
	resources_max(ret, &has, m->symbols);
	resources_deinit(&has, m->symbols);
	for (size_t i = 0; i < st->resources->n_requests; i++)
		resources_set(&has, m->symbols, st->resources->requests[i]->key,
		              text_of(st->resources->requests[i]->value));
	resources_max(ret, &has, m->symbols);
	resources_deinit(&has, m->symbols);
}

static bool is_sidecar(const CoreV1__Container *c)
{
	return c->restart_policy && !strcmp(c->restart_policy, "Always");
}

/* Init containers run one after the other beside the sidecars that were started before them. */
static void init_peak(const struct summing *m, struct resources *sidecars, struct resources *peak)
{
	const CoreV1__PodSpec *spec = m->pod->spec;
	for (size_t i = 0; i < spec->n_init_containers; i++) {
		struct resources one;
		of_container(m, spec->init_containers[i], &one);
		if (is_sidecar(spec->init_containers[i])) {
			resources_add(sidecars, &one, m->symbols);
			resources_max(peak, sidecars, m->symbols);
		} else {
			resources_add(&one, sidecars, m->symbols);
			resources_max(peak, &one, m->symbols);
		}
		resources_deinit(&one, m->symbols);
	}
}

/* Requests of the pod itself replace the sums of its containers. */
static void pod_level(const struct summing *m, struct resources *ret)
{
	const CoreV1__ResourceRequirements *r = m->pod->spec->resources;
	for (size_t i = 0; r && i < r->n_requests; i++) {
		const char *name = r->requests[i]->key;
		if (!strcmp(name, "cpu") || !strcmp(name, "memory") ||
		    !strncmp(name, "hugepages-", 10))
			resources_set(ret, m->symbols, name, text_of(r->requests[i]->value));
	}
}

static void sum_up(const struct summing *m, struct resources *ret)
{
	const CoreV1__PodSpec *spec = m->pod->spec;
	struct resources sidecars = {0}, peak = {0}, overhead = {0}, one;
	*ret = (struct resources){0};
	for (size_t i = 0; i < spec->n_containers; i++) {
		of_container(m, spec->containers[i], &one);
		resources_add(ret, &one, m->symbols);
		resources_deinit(&one, m->symbols);
	}
	init_peak(m, &sidecars, &peak);
	resources_add(ret, &sidecars, m->symbols);
	resources_max(ret, &peak, m->symbols);
	pod_level(m, ret);
	for (size_t i = 0; i < spec->n_overhead; i++)
		resources_set(&overhead, m->symbols, spec->overhead[i]->key,
		              text_of(spec->overhead[i]->value));
	resources_add(ret, &overhead, m->symbols);
	resources_deinit(&overhead, m->symbols);
	resources_deinit(&sidecars, m->symbols);
	resources_deinit(&peak, m->symbols);
}

void resources_of_pod(const CoreV1__Pod *pod, struct symbols *s, struct resources *ret)
{
	sum_up(&(struct summing){pod, s, false}, ret);
	ret->pods = 1;
}

void resources_nonzero(const CoreV1__Pod *pod, struct symbols *s, int64_t *ret_milli_cpu,
                       int64_t *ret_memory)
{
	struct resources sum;
	sum_up(&(struct summing){pod, s, true}, &sum);
	*ret_milli_cpu = sum.milli_cpu;
	*ret_memory = sum.memory;
	resources_deinit(&sum, s);
}
