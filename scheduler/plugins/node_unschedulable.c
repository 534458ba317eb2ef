/* SPDX-License-Identifier: Apache-2.0 */
/* NodeUnschedulable: a cordoned node takes only pods that tolerate the taint of that name. */
#include "scheduler/plugins/plugins.h"

#include "scheduler/core/queue.h"

static enum filter_code filter(const struct cycle_pod *pod, const struct node_info *node,
                               struct filter_reasons *why)
{
	if (!node->unschedulable ||
	    tolerates(pod->pod->spec, "node.kubernetes.io/unschedulable", "", "NoSchedule"))
		return FILTER_FITS;
	filter_reason(why, "node(s) were unschedulable");
	return FILTER_UNRESOLVABLE;
}

const struct plugin plugin_node_unschedulable = {.name = "NodeUnschedulable",
                                                 .filter = filter,
                                                 .help = QUEUE_NODE_ADD | QUEUE_NODE_TAINT |
                                                         QUEUE_POD_UPDATE};
