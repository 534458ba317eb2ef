/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/plugins/allocation.h"

#include <string.h>

int allocation_parse(const struct jvalue *list, struct symbols *s, struct arena *a,
                     struct weighted_resources *ret, struct err *err)
{
	if (list && list->kind != JVALUE_ARRAY)
		return err_set(err, ERR_INVALID, "resources: must be a list");
	if (!list || !list->n) {
		ret->n = 2;
		ret->at = arena_array(a, struct weighted_resource, 2);
		ret->at[0] = (struct weighted_resource){RESOURCE_CPU, 0, 1};
		ret->at[1] = (struct weighted_resource){RESOURCE_MEMORY, 0, 1};
		return 0;
	}
	ret->n = list->n;
	ret->at = arena_array(a, struct weighted_resource, list->n);
	for (uint32_t i = 0; i < list->n; i++) {
		const struct jvalue *one = jvalue_at(list, i);
		const char *name = jvalue_get_str(one, "name", "");
		struct weighted_resource *r = &ret->at[i];
		r->weight = jvalue_get_int(one, "weight", 1);
		if (r->weight < 1 || r->weight > 100)
			return err_set(err, ERR_INVALID,
			               "resource weight of %s not in valid range [1, 100]", name);
		if (!strcmp(name, "cpu")) {
			r->kind = RESOURCE_CPU;
		} else if (!strcmp(name, "memory")) {
			r->kind = RESOURCE_MEMORY;
		} else if (!strcmp(name, "ephemeral-storage")) {
			r->kind = RESOURCE_EPHEMERAL;
		} else {
			r->kind = RESOURCE_SCALAR;
			r->scalar = symbols_get(s, name);
		}
	}
	return 0;
}

struct allocation allocation_of(const struct plugin_call *c, const struct node_info *n,
                                const struct weighted_resource *r, bool nonzero)
{
	const struct resources *all = &n->allocatable, *used = &n->requested,
	                       *ask = &c->pod->requests;
	switch (r->kind) {
	case RESOURCE_CPU:
		if (nonzero)
			return (struct allocation){all->milli_cpu, n->nonzero_milli_cpu +
			                                               c->pod->nonzero_milli_cpu};
		return (struct allocation){all->milli_cpu, used->milli_cpu + ask->milli_cpu};
	case RESOURCE_MEMORY:
		if (nonzero)
			return (struct allocation){all->memory,
			                           n->nonzero_memory + c->pod->nonzero_memory};
		return (struct allocation){all->memory, used->memory + ask->memory};
	case RESOURCE_EPHEMERAL:
		return (struct allocation){all->ephemeral_storage,
		                           used->ephemeral_storage + ask->ephemeral_storage};
	case RESOURCE_SCALAR:
		break;
	}
	int64_t asked = resources_scalar(ask, r->scalar);
	if (!asked)
		return (struct allocation){0};
	return (struct allocation){resources_scalar(all, r->scalar),
	                           resources_scalar(used, r->scalar) + asked};
}
