/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How much of a node's resources is in use: what NodeResourcesFit and
 * NodeResourcesBalancedAllocation score by. */
#include "scheduler/plugins/plugins.h"

enum resource_kind { RESOURCE_CPU, RESOURCE_MEMORY, RESOURCE_EPHEMERAL, RESOURCE_SCALAR };

struct weighted_resource {
	enum resource_kind kind;
	uint32_t scalar;
	int64_t weight;
};

struct weighted_resources {
	uint32_t n;
	struct weighted_resource *at;
};

struct allocation {
	int64_t total, used; /* total 0: does not count; used with the pod */
};

/* From a list of {name, weight}; NULL: cpu and memory, 1 each. */
int allocation_parse(const struct jvalue *list, struct symbols *s, struct arena *a,
                     struct weighted_resources *ret, struct err *err);
/* nonzero: what names no request counts as something. */
struct allocation allocation_of(const struct plugin_call *c, const struct node_info *n,
                                const struct weighted_resource *r, bool nonzero);
