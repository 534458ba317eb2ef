/* SPDX-License-Identifier: Apache-2.0 */
/* NodeUnschedulable: a cordoned node takes only pods that tolerate the taint of that name. */
#include "scheduler/plugins/plugins.h"

static bool refuses(const struct node_spec *n, const struct pod_info *p, const struct symbols *s)
{
	if (!n->unschedulable)
		return false;
	/* Who tolerates the key has interned it, so that an unknown key is not tolerated by name.
	 */
	const struct taint t = {
	    .key = symbols_find(s, "node.kubernetes.io/unschedulable"),
	    .value = symbols_find(s, ""),
	    .effect = EFFECT_NO_SCHEDULE,
	};
	return !pod_tolerates(p, &t);
}

static enum status_code filter(const struct plugin_call *c, const struct node_info *n,
                               struct reasons *why)
{
	if (!n->unschedulable || !refuses(n->spec, c->pod, c->symbols))
		return STATUS_SUCCESS;
	reasons_add(why, "node(s) were unschedulable");
	return STATUS_UNRESOLVABLE;
}

static enum hint on_node(const struct hint_call *c, const struct event *e)
{
	if (refuses(e->node, c->pod, c->symbols))
		return HINT_SKIP;
	return !e->old_node || e->old_node->unschedulable ? HINT_QUEUE : HINT_SKIP;
}

static const struct plugin_event events[] = {
    {EVENT_NODE_ADD | EVENT_NODE_TAINT, on_node}, {EVENT_POD_TOLERATION, NULL}, {0}};

const struct plugin plugin_node_unschedulable = {
    .name = "NodeUnschedulable", .filter = filter, .events = events};
