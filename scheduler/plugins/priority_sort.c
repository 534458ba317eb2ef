/* SPDX-License-Identifier: Apache-2.0 */
/* PrioritySort: higher priority first, then who has waited longer. */
#include "scheduler/plugins/plugins.h"

static int queue_sort(const struct pod_info *a, uint64_t a_since_ms, const struct pod_info *b,
                      uint64_t b_since_ms)
{
	if (a->priority != b->priority)
		return a->priority > b->priority ? -1 : 1;
	return (a_since_ms > b_since_ms) - (a_since_ms < b_since_ms);
}

const struct plugin plugin_priority_sort = {.name = "PrioritySort", .queue_sort = queue_sort};
