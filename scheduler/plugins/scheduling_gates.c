/* SPDX-License-Identifier: Apache-2.0 */
/* SchedulingGates: a pod with spec.schedulingGates stays out of the queue until all are removed
 * (KEP-3521). */
#include "scheduler/plugins/plugins.h"

static enum status_code pre_enqueue(const struct pod_info *pod, struct reasons *why)
{
	if (!pod->gated)
		return STATUS_SUCCESS;
	reasons_add(why, "waiting for scheduling gates");
	return STATUS_UNRESOLVABLE;
}

static const struct plugin_event events[] = {{EVENT_POD_GATES, NULL}, {0}};

const struct plugin plugin_scheduling_gates = {
    .name = "SchedulingGates", .pre_enqueue = pre_enqueue, .events = events};
