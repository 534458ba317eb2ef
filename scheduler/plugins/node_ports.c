/* SPDX-License-Identifier: Apache-2.0 */
/* NodePorts: the host ports that the pod asks for are free on the node. */
#include "scheduler/plugins/plugins.h"

static enum status_code pre_filter(const struct plugin_call *c, struct node_subset *subset,
                                   struct reasons *why)
{
	(void)subset;
	(void)why;
	return c->pod->n_ports ? STATUS_SUCCESS : STATUS_SKIP;
}

/* An address of all takes the port from every other one. */
static bool clash(const struct host_port *a, const struct host_port *b)
{
	return a->port == b->port && a->protocol == b->protocol &&
	       (a->ip == b->ip || !a->ip || !b->ip);
}

static enum status_code filter(const struct plugin_call *c, const struct node_info *n,
                               struct reasons *why)
{
	for (uint32_t i = 0; i < c->pod->n_ports; i++)
		for (size_t k = 0; k < n->ports.n; k++)
			if (clash(&c->pod->ports[i], &n->ports.at[k])) {
				reasons_add(
				    why,
				    "node(s) didn't have free ports for the requested pod ports");
				return STATUS_UNSCHEDULABLE;
			}
	return STATUS_SUCCESS;
}

static enum hint on_pod_delete(const struct hint_call *c, const struct event *e)
{
	const struct pod_info *gone = event_pod(e);
	for (uint32_t i = 0; i < c->pod->n_ports; i++)
		for (uint32_t k = 0; k < gone->n_ports; k++)
			if (clash(&c->pod->ports[i], &gone->ports[k]))
				return HINT_QUEUE;
	return HINT_SKIP;
}

static const struct plugin_event events[] = {
    {EVENT_POD_DELETE, on_pod_delete}, {EVENT_NODE_ADD, NULL}, {0}};

const struct plugin plugin_node_ports = {
    .name = "NodePorts", .pre_filter = pre_filter, .filter = filter, .events = events};
