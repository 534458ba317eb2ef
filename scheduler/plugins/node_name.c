/* SPDX-License-Identifier: Apache-2.0 */
/* NodeName: a pod that names its node fits there only. */
#include <string.h>

#include "scheduler/plugins/plugins.h"

static enum status_code filter(const struct plugin_call *c, const struct node_info *n,
                               struct reasons *why)
{
	if (!*c->pod->node_name || !strcmp(c->pod->node_name, n->name))
		return STATUS_SUCCESS;
	reasons_add(why, "node(s) didn't match the requested node name");
	return STATUS_UNRESOLVABLE;
}

static enum hint on_node(const struct hint_call *c, const struct event *e)
{
	bool same = !*c->pod->node_name || !strcmp(c->pod->node_name, e->node->name_text);
	return same ? HINT_QUEUE : HINT_SKIP;
}

static const struct plugin_event events[] = {{EVENT_NODE_ADD, on_node}, {0}};

const struct plugin plugin_node_name = {.name = "NodeName", .filter = filter, .events = events};
