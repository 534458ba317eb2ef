/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/core/resources.h"

#include <string.h>

#include "kubelet/core/make.h"
#include "kubelet/core/plan.h"

/* Entries of any resource list: they have one layout. */
typedef CoreV1__ResourceRequirements__RequestsEntry entry;

static const char *find(entry *const *list, size_t n, const char *resource)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i]->key, resource) && list[i]->value)
			return list[i]->value->string;
	return NULL;
}

const char *container_resource(const CoreV1__ResourceRequirements *r, bool limit,
                               const char *resource)
{
	if (!r)
		return NULL;
	return limit ? find((void *)r->limits, r->n_limits, resource)
	             : find(r->requests, r->n_requests, resource);
}

static void raise(struct quantity *max, const struct quantity *q)
{
	if (quantity_cmp(max, q) < 0)
		*max = *q;
}

/* The containers' sum; *all is false when one of them says nothing. */
static bool sum_of(const CoreV1__PodSpec *s, bool limit, const char *resource, struct quantity *ret,
                   bool *all)
{
	struct quantity sum = {0}, sidecars = {0}, peak = {0};
	bool any = false;
	*all = true;
	for (size_t i = 0; i < s->n_containers; i++) {
		const char *text = container_resource(s->containers[i]->resources, limit, resource);
		struct quantity q = quantity_of(text);
		quantity_add(&sum, &q);
		any |= text != NULL;
		*all &= text != NULL;
	}
	for (size_t i = 0; i < s->n_init_containers; i++) {
		const CoreV1__Container *c = s->init_containers[i];
		const char *text = container_resource(c->resources, limit, resource);
		struct quantity q = quantity_of(text);
		any |= text != NULL;
		if (container_is_sidecar(c)) {
			quantity_add(&sidecars, &q);
			quantity_add(&sum, &q);
			*all &= text != NULL;
			raise(&peak, &sidecars);
		} else {
			quantity_add(&q, &sidecars);
			raise(&peak, &q);
		}
	}
	raise(&sum, &peak);
	*ret = sum;
	return any;
}

bool pod_resource(const CoreV1__Pod *pod, bool limit, const char *resource, struct quantity *ret)
{
	const CoreV1__PodSpec *s = pod->spec;
	bool all, any = sum_of(s, limit, resource, ret, &all);
	const char *own = container_resource(s->resources, limit, resource);
	if (own)
		*ret = quantity_of(own);
	else if (limit && !all)
		return false;
	if (!own && !any)
		return false;
	const char *overhead = find((void *)s->overhead, s->n_overhead, resource);
	struct quantity q = quantity_of(overhead);
	quantity_add(ret, &q);
	return true;
}

static const char *const names[] = {"cpu", "ephemeral-storage", "memory"};

enum { N_NAMES = sizeof(names) / sizeof(*names) };

static size_t fill(const CoreV1__Pod *pod, bool limit, entry ***list, struct arena *a)
{
	size_t n = 0;
	struct quantity q;
	*list = arena_array(a, entry *, N_NAMES);
	for (size_t i = 0; i < N_NAMES; i++) {
		char text[QUANTITY_BYTES];
		if (!pod_resource(pod, limit, names[i], &q))
			continue;
		quantity_format_text(&q, text);
		entry *e = MAKE(a, entry, CORE_V1__RESOURCE_REQUIREMENTS__REQUESTS_ENTRY__INIT);
		e->key = TEXT(names[i]);
		e->value = MAKE(a, Quantity__Quantity, QUANTITY__QUANTITY__INIT);
		e->value->string = arena_strdup(a, text);
		(*list)[n++] = e;
	}
	return n;
}

void pod_resources_status(const CoreV1__Pod *pod, CoreV1__PodStatus *s, struct arena *a)
{
	entry **list;
	s->n_allocated_resources = fill(pod, false, &list, a);
	s->allocated_resources = (void *)list;
	s->resources = MAKE(a, CoreV1__ResourceRequirements, CORE_V1__RESOURCE_REQUIREMENTS__INIT);
	s->resources->n_requests = s->n_allocated_resources;
	s->resources->requests = list;
	s->resources->n_limits = fill(pod, true, &list, a);
	s->resources->limits = (void *)list;
}
