/* SPDX-License-Identifier: Apache-2.0 */
/* NodeResourcesBalancedAllocation: better where resources would be used to an equal share: 100 less
 * the standard deviation of the shares. */
#include "scheduler/plugins/allocation.h"

struct args {
	struct weighted_resources resources;
};

static int parse_args(const struct jvalue *v, struct symbols *s, struct arena *a, const void **ret,
                      struct err *err)
{
	struct args *args = arena_new(a, struct args);
	*ret = args;
	return allocation_parse(jvalue_get(v, "resources"), s, a, &args->resources, err);
}

/* A pod that asks for nothing changes no balance. */
static enum status_code pre_score(const struct plugin_call *c, struct node_info *const *nodes,
                                  size_t n)
{
	(void)nodes;
	(void)n;
	const struct args *args = c->args;
	for (uint32_t i = 0; i < args->resources.n; i++) {
		const struct weighted_resource *r = &args->resources.at[i];
		const struct resources *ask = &c->pod->requests;
		int64_t asked = r->kind == RESOURCE_CPU         ? ask->milli_cpu
		                : r->kind == RESOURCE_MEMORY    ? ask->memory
		                : r->kind == RESOURCE_EPHEMERAL ? ask->ephemeral_storage
		                                                : resources_scalar(ask, r->scalar);
		if (asked)
			return STATUS_SUCCESS;
	}
	return STATUS_SKIP;
}

static double square_root(double x)
{
	double r = x > 1 ? x : 1;
	for (int i = 0; x > 0 && i < 64; i++) {
		double next = (r + x / r) / 2;
		if (next >= r)
			break;
		r = next;
	}
	return x > 0 ? r : 0;
}

static int64_t score(const struct plugin_call *c, const struct node_info *n)
{
	const struct args *args = c->args;
	double sum = 0, squares = 0, first = 0, last = 0;
	int count = 0;
	for (uint32_t i = 0; i < args->resources.n; i++) {
		struct allocation a = allocation_of(c, n, &args->resources.at[i], false);
		if (!a.total)
			continue;
		double share = (double)a.used / (double)a.total;
		share = share > 1 ? 1 : share;
		first = count ? first : share;
		last = share;
		sum += share;
		squares += share * share;
		count++;
	}
	double deviation = 0;
	if (count == 2)
		deviation = (first > last ? first - last : last - first) / 2;
	else if (count > 2)
		deviation = square_root(squares / count - (sum / count) * (sum / count));
	return (int64_t)((1 - deviation) * SCORE_MAX);
}

const struct plugin plugin_balanced_allocation = {
    .name = "NodeResourcesBalancedAllocation",
    .weight = 1,
    .parse_args = parse_args,
    .pre_score = pre_score,
    .score = score,
};
