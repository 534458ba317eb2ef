/* SPDX-License-Identifier: Apache-2.0 */
/* NodeName: a pod that names its node fits there only. */
#include "scheduler/plugins/plugins.h"

#include "scheduler/core/queue.h"

static enum filter_code filter(const struct cycle_pod *pod, const struct node_info *node,
                               struct filter_reasons *why)
{
	const char *name = pod->pod->spec->node_name;
	if (!name || !*name || !strcmp(name, node->name))
		return FILTER_FITS;
	filter_reason(why, "node(s) didn't match the requested node name");
	return FILTER_UNRESOLVABLE;
}

const struct plugin plugin_node_name = {
    .name = "NodeName", .filter = filter, .help = QUEUE_NODE_ADD};
