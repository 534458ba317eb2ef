/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/core/endpoints.h"

void endpoint_choice_deinit(struct endpoint_choice *c)
{
	vec_deinit(&c->cluster);
	vec_deinit(&c->local);
}

int backend_cmp(const struct backend *a, const struct backend *b)
{
	int r = addr_cmp(&a->addr, &b->addr);
	return r ? r : (a->port > b->port) - (a->port < b->port);
}

static int endpoint_cmp(const void *a, const void *b)
{
	return backend_cmp(&((const struct endpoint *)a)->backend,
	                   &((const struct endpoint *)b)->backend);
}

/* The first of the slice's ports with this protocol and name. */
static size_t first_port(const struct endpoint_slice *s, const struct service_port *port)
{
	size_t low = 0, high = s->n_ports;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (slice_port_cmp(port->protocol, port->name, &s->ports[middle]) > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void add_slice(const struct endpoint_slice *s, uint16_t port, endpoint_list *out)
{
	vec_reserve(out, s->n_endpoints);
	for (size_t i = 0; i < s->n_endpoints; i++) {
		const struct slice_endpoint *e = &s->endpoints[i];
		out->at[out->n++] = (struct endpoint){
		    .backend = {e->addr, port},
		    .ready = e->ready,
		    .serving = e->serving,
		    .terminating = e->terminating,
		    .local = e->local,
		    .remote = e->remote,
		    .node_hint = e->node_hint,
		    .zone_hint = e->zone_hint,
		};
	}
}

/* Slices that overlap tell of one endpoint twice, for instance while it moves from one to the
 * other: it serves when either says so. */
static void merge_twins(endpoint_list *l)
{
	size_t n = 0;
	if (l->n)
		qsort(l->at, l->n, sizeof(*l->at), endpoint_cmp);
	for (size_t i = 0; i < l->n; i++) {
		struct endpoint *e = &l->at[i], *last = n ? &l->at[n - 1] : NULL;
		if (!last || endpoint_cmp(last, e)) {
			l->at[n++] = *e;
			continue;
		}
		if (!last->ready && e->ready) {
			last->node_hint = e->node_hint;
			last->zone_hint = e->zone_hint;
		}
		last->ready |= e->ready;
		last->serving |= e->serving;
		last->terminating &= e->terminating;
		last->local |= e->local;
		last->remote &= e->remote;
	}
	l->n = n;
}

static void collect(const struct service_port *port, const slice_list *slices, enum family f,
                    endpoint_list *out)
{
	VEC_FOREACH (slices, it) {
		const struct endpoint_slice *s = *it;
		if (s->family != f)
			continue;
		for (size_t i = first_port(s, port);
		     i < s->n_ports && !slice_port_cmp(port->protocol, port->name, &s->ports[i]);
		     i++)
			if (i == 0 || s->ports[i].port != s->ports[i - 1].port ||
			    slice_port_cmp(port->protocol, port->name, &s->ports[i - 1]))
				add_slice(s, s->ports[i].port, out);
	}
	merge_twins(out);
}

enum topology { TOPOLOGY_ALL, TOPOLOGY_NODE, TOPOLOGY_ZONE };

static enum topology topology_of(const endpoint_list *all)
{
	bool every_node = true, every_zone = true, this_node = false, this_zone = false;
	VEC_FOREACH (all, e) {
		if (!e->ready)
			continue;
		every_node &= e->node_hint != HINT_NONE;
		every_zone &= e->zone_hint != HINT_NONE;
		this_node |= e->node_hint == HINT_HERE;
		this_zone |= e->zone_hint == HINT_HERE;
	}
	if (every_node && this_node)
		return TOPOLOGY_NODE;
	return every_zone && this_zone ? TOPOLOGY_ZONE : TOPOLOGY_ALL;
}

static bool hinted(const struct endpoint *e, enum topology t)
{
	return t == TOPOLOGY_ALL || (t == TOPOLOGY_NODE ? e->node_hint : e->zone_hint) == HINT_HERE;
}

static bool fades(const struct endpoint *e)
{
	return e->serving && e->terminating;
}

static void choose_cluster(const endpoint_list *all, endpoint_list *out)
{
	enum topology t = topology_of(all);
	VEC_FOREACH (all, e)
		if (e->ready && hinted(e, t))
			*vec_push(out) = *e;
	if (out->n)
		return;
	VEC_FOREACH (all, e)
		if (fades(e))
			*vec_push(out) = *e;
}

static void choose_local(const endpoint_list *all, endpoint_list *out)
{
	VEC_FOREACH (all, e)
		if (e->ready && e->local)
			*vec_push(out) = *e;
	if (out->n)
		return;
	VEC_FOREACH (all, e)
		if (fades(e) && e->local)
			*vec_push(out) = *e;
}

void endpoints_choose(const struct service *svc, const struct service_port *port,
                      const slice_list *slices, enum family f, struct endpoint_choice *ret)
{
	endpoint_list all = {0};
	vec_clear(&ret->cluster);
	vec_clear(&ret->local);
	ret->any = false;
	collect(port, slices, f, &all);
	VEC_FOREACH (&all, e)
		ret->any |= e->ready || fades(e);
	if (!svc->internal_local || svc->external)
		choose_cluster(&all, &ret->cluster);
	if (svc->internal_local || (svc->external_local && svc->external))
		choose_local(&all, &ret->local);
	vec_deinit(&all);
}

static int addr_sort_cmp(const void *a, const void *b)
{
	return addr_cmp(a, b);
}

static size_t local_ready(const slice_list *slices, enum family f)
{
	VEC(struct addr) found = {0};
	VEC_FOREACH (slices, it)
		for (size_t i = 0; (*it)->family == f && i < (*it)->n_endpoints; i++)
			if ((*it)->endpoints[i].local && (*it)->endpoints[i].ready)
				*vec_push(&found) = (*it)->endpoints[i].addr;
	size_t n = 0;
	if (found.n)
		qsort(found.at, found.n, sizeof(*found.at), addr_sort_cmp);
	for (size_t i = 0; i < found.n; i++)
		n += i == 0 || addr_cmp(&found.at[i - 1], &found.at[i]) != 0;
	vec_deinit(&found);
	return n;
}

size_t endpoints_local_ready(const slice_list *slices)
{
	return MAX(local_ready(slices, FAMILY_IPV4), local_ready(slices, FAMILY_IPV6));
}
