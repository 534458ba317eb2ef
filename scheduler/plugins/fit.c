/* SPDX-License-Identifier: Apache-2.0 */
/* NodeResourcesFit: what the pod asks for is free on the node; scored LeastAllocated over cpu and
 * memory, so that load spreads. */
#include "scheduler/plugins/plugins.h"

#include "scheduler/core/queue.h"

static void check(enum filter_code *code, struct filter_reasons *why, int64_t asked, int64_t total,
                  int64_t used, const char *reason)
{
	if (asked <= 0 || asked <= total - used)
		return;
	filter_reason(why, reason);
	if (asked > total && *code != FILTER_UNSCHEDULABLE)
		*code = FILTER_UNRESOLVABLE;
	else
		*code = FILTER_UNSCHEDULABLE;
}

static enum filter_code filter(const struct cycle_pod *pod, const struct node_info *node,
                               struct filter_reasons *why)
{
	const struct resources *ask = &pod->requests, *all = &node->allocatable,
	                       *used = &node->requested;
	enum filter_code code = FILTER_FITS;
	if ((int64_t)node->n_pods + 1 > all->pods) {
		filter_reason(why, "Too many pods");
		code = FILTER_UNSCHEDULABLE;
	}
	check(&code, why, ask->milli_cpu, all->milli_cpu, used->milli_cpu, "Insufficient cpu");
	check(&code, why, ask->memory, all->memory, used->memory, "Insufficient memory");
	check(&code, why, ask->ephemeral_storage, all->ephemeral_storage, used->ephemeral_storage,
	      "Insufficient ephemeral-storage");
	for (size_t i = 0; i < ask->n_scalars; i++) {
		const struct scalar *s = &ask->scalars[i];
		check(&code, why, s->amount, resources_scalar(all, s->name),
		      resources_scalar(used, s->name),
		      arena_printf(why->arena, "Insufficient %s", s->name));
	}
	return code;
}

/* The free share after the pod has come, 0..SCORE_MAX; a node without the resource has none. */
static int64_t least(int64_t total, int64_t used)
{
	if (total <= 0 || used > total)
		return 0;
	return (int64_t)((__int128)(total - used) * SCORE_MAX / total);
}

static int64_t score(const struct cycle_pod *pod, const struct node_info *node)
{
	const struct resources *all = &node->allocatable;
	return (least(all->milli_cpu, node->nonzero_milli_cpu + pod->nonzero_milli_cpu) +
	        least(all->memory, node->nonzero_memory + pod->nonzero_memory)) /
	       2;
}

const struct plugin plugin_fit = {
    .name = "NodeResourcesFit",
    .filter = filter,
    .score = score,
    .normalize = SCORE_AS_IS,
    .weight = 1,
    .help = QUEUE_NODE_ADD | QUEUE_NODE_ALLOCATABLE | QUEUE_POD_DELETE | QUEUE_POD_UPDATE,
};
