/* SPDX-License-Identifier: Apache-2.0 */
/* NodeResourcesBalancedAllocation: better where cpu and memory would be used to an equal share.
 * With two resources, upstream's standard deviation of the shares is half their distance. */
#include "scheduler/plugins/plugins.h"

enum { PARTS = 1000000 };

/* The used share in millionths, at most all. */
static int64_t share(int64_t total, int64_t used)
{
	if (total <= 0 || used >= total)
		return PARTS;
	return (int64_t)((__int128)used * PARTS / total);
}

static int64_t score(const struct cycle_pod *pod, const struct node_info *node)
{
	const struct resources *all = &node->allocatable, *used = &node->requested;
	/* A pod that asks for nothing changes no balance. */
	if (!pod->requests.milli_cpu && !pod->requests.memory)
		return 0;
	int64_t cpu = share(all->milli_cpu, used->milli_cpu + pod->requests.milli_cpu);
	int64_t memory = share(all->memory, used->memory + pod->requests.memory);
	int64_t distance = cpu > memory ? cpu - memory : memory - cpu;
	return (PARTS - distance / 2) * SCORE_MAX / PARTS;
}

const struct plugin plugin_balanced_allocation = {
    .name = "NodeResourcesBalancedAllocation",
    .score = score,
    .normalize = SCORE_AS_IS,
    .weight = 1,
};
