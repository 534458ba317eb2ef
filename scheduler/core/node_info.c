/* SPDX-License-Identifier: Apache-2.0 */
/* The sums of one node, and copies of them to try things out on. */
#include <string.h>

#include "scheduler/core/cluster.h"

void node_info_set_spec(struct node_info *n, struct node_spec *spec)
{
	n->spec = spec;
	n->n_taints = spec ? spec->n_taints : 0;
	n->unschedulable = spec && spec->unschedulable;
	n->allocatable = spec ? spec->allocatable : (struct resources){0};
}

static void add_ports(struct node_info *n, const struct pod_info *p)
{
	for (uint32_t i = 0; i < p->n_ports; i++)
		*vec_push(&n->ports) = p->ports[i];
}

static void remove_ports(struct node_info *n, const struct pod_info *p)
{
	for (uint32_t i = 0; i < p->n_ports; i++)
		for (size_t k = 0; k < n->ports.n; k++)
			if (n->ports.at[k].port == p->ports[i].port &&
			    n->ports.at[k].ip == p->ports[i].ip &&
			    n->ports.at[k].protocol == p->ports[i].protocol) {
				vec_swap_remove(&n->ports, k);
				break;
			}
}

void node_info_add(struct node_info *n, const struct pod_info *p)
{
	resources_add(&n->requested, &p->requests, n->symbols);
	n->nonzero_milli_cpu += p->nonzero_milli_cpu;
	n->nonzero_memory += p->nonzero_memory;
	add_ports(n, p);
	*vec_push(&n->pods) = pod_info_ref(p);
}

bool node_info_remove(struct node_info *n, const struct pod_info *p)
{
	for (size_t i = n->pods.n; i-- > 0;) {
		if (n->pods.at[i] != p)
			continue;
		vec_remove(&n->pods, i);
		resources_sub(&n->requested, &p->requests, n->symbols);
		n->nonzero_milli_cpu -= p->nonzero_milli_cpu;
		n->nonzero_memory -= p->nonzero_memory;
		remove_ports(n, p);
		pod_info_unref(p);
		return true;
	}
	return false;
}

void node_info_copy(struct node_info *to, const struct node_info *from)
{
	*to = (struct node_info){
	    .name = from->name,
	    .id = from->id,
	    .order = from->order,
	    .symbols = from->symbols,
	    .nonzero_milli_cpu = from->nonzero_milli_cpu,
	    .nonzero_memory = from->nonzero_memory,
	};
	node_info_set_spec(to, from->spec);
	resources_copy(&to->requested, &from->requested, from->symbols);
	vec_reserve(&to->pods, from->pods.n);
	VEC_FOREACH (&from->pods, p)
		*vec_push(&to->pods) = pod_info_ref(*p);
	VEC_FOREACH (&from->ports, port)
		*vec_push(&to->ports) = *port;
	VEC_FOREACH (&from->nominated, p)
		*vec_push(&to->nominated) = pod_info_ref(*p);
}

void node_info_copy_deinit(struct node_info *n)
{
	resources_deinit(&n->requested, n->symbols);
	VEC_FOREACH (&n->pods, p)
		pod_info_unref(*p);
	VEC_FOREACH (&n->nominated, p)
		pod_info_unref(*p);
	vec_deinit(&n->pods);
	vec_deinit(&n->nominated);
	vec_deinit(&n->ports);
}
