/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/core/wanted.h"

#include "common/base/heap.h"

/* One port of the service. */
struct port_plan {
	const struct service_port *port;
	struct endpoint_choice *choice;
};

static struct element *emit(struct wanted *w, enum set_id set)
{
	struct element *e = vec_push(&w->list);
	*e = (struct element){.set = (uint8_t)set};
	return e;
}

static void emit_shape(struct wanted *w, const struct shape *s)
{
	struct element *e = emit(w, SET_CHAINS);
	e->shape = *s;
	e->verdict = VERDICT_GOTO;
	memcpy(e->key, s, sizeof(*s));
}

static void emit_key(struct wanted *w, enum set_id set, const struct frontend *fe,
                     enum verdict verdict)
{
	struct element *e = emit(w, set);
	words_frontend(w->family, fe, e->key);
	e->verdict = (uint8_t)verdict;
}

/* --- endpoints of a port --- */

static int find_cmp(const void *a, const void *b)
{
	return backend_cmp(a, &((const struct endpoint *)b)->backend);
}

/* Orders `list`, which is in order of address, so that endpoints that are in the kernel keep their
 * number, where that is below the new count; the others fill the holes. `probe`: the first element
 * that there may be. */
static void keep_numbers(const struct wanted *w, const struct element *probe, unsigned key_words,
                         endpoint_list *list)
{
	uint32_t first = probe->key[key_words];
	if (!list->n || !w->have->n)
		return;
	size_t at = elements_lower_bound(w->have, probe);
	struct endpoint *out = heap_zalloc(list->n * sizeof(*out));
	bool *placed = heap_zalloc(list->n), *filled = heap_zalloc(list->n);
	for (; at < w->have->n; at++) {
		const struct element *e = &w->have->at[at];
		uint32_t i = e->key[key_words] - first;
		if (e->set != probe->set || memcmp(e->key, probe->key, key_words * 4) ||
		    e->key[key_words] < first || i >= list->n)
			break;
		struct backend b = backend_of_words(w->family, e->value);
		struct endpoint *here = bsearch(&b, list->at, list->n, sizeof(*here), find_cmp);
		if (!here || placed[here - list->at])
			continue;
		out[i] = *here;
		filled[i] = placed[here - list->at] = true;
	}
	for (size_t i = 0, from = 0; i < list->n; i++) {
		if (filled[i])
			continue;
		while (placed[from])
			from++;
		out[i] = list->at[from++];
	}
	free(list->at);
	list->at = out;
	list->cap = list->n;
	free(placed);
	free(filled);
}

/* A pod can reach itself here when it is on this node, or when traffic of other nodes' pods comes
 * by unmasqueraded (external traffic policy Local). */
static bool may_hairpin(const struct wanted *w, const struct endpoint *e)
{
	return !e->remote || (w->svc->external_local && w->svc->external);
}

/* The endpoints behind one frontend. */
static void emit_endpoints(struct wanted *w, const struct frontend *fe, const endpoint_list *from,
                           bool local)
{
	endpoint_list list = {0};
	struct element probe = {.set = fe->node_port ? SET_NODE_PORT_BACKENDS : SET_BACKENDS};
	unsigned key_words = words_frontend(w->family, fe, probe.key);
	uint32_t first = local ? LOCAL_BACKENDS : 0;
	probe.key[key_words] = first;
	vec_reserve(&list, from->n);
	VEC_FOREACH (from, ep)
		list.at[list.n++] = *ep;
	keep_numbers(w, &probe, key_words, &list);
	for (size_t i = 0; i < list.n; i++) {
		struct element *e = vec_push(&w->list);
		*e = probe;
		e->key[key_words] = first + (uint32_t)i;
		words_backend(w->family, &list.at[i].backend, e->value);
	}
	vec_deinit(&list);
}

static void emit_hairpins(struct wanted *w, const endpoint_list *list)
{
	VEC_FOREACH (list, ep) {
		if (!may_hairpin(w, ep))
			continue;
		struct element *e = emit(w, SET_HAIRPIN);
		unsigned n = words_addr(w->family, &ep->backend.addr, e->key);
		words_addr(w->family, &ep->backend.addr, e->key + n);
	}
}

/* --- frontends of a port --- */

static bool claim(struct wanted *w, const struct frontend *fe)
{
	if (w->claim(w->arg, fe))
		return true;
	w->denied = true;
	return false;
}

static void emit_dispatch(struct wanted *w, const struct frontend *fe, const struct shape *s)
{
	struct element *e = emit(w, fe->node_port ? SET_NODE_PORTS : SET_SERVICE_IPS);
	words_frontend(w->family, fe, e->key);
	e->verdict = VERDICT_GOTO;
	e->shape = *s;
	emit_shape(w, s);
	if (!s->affinity_s)
		return;
	struct shape record = {.source = SOURCE_RECORD, .affinity_s = s->affinity_s};
	e = emit(w, fe->node_port ? SET_STICKY_NODE_PORTS : SET_STICKY_SERVICES);
	words_frontend(w->family, fe, e->key);
	e->verdict = VERDICT_GOTO;
	e->shape = record;
	emit_shape(w, &record);
}

static void emit_refusal(struct wanted *w, const struct frontend *fe, enum verdict verdict)
{
	emit_key(w, fe->node_port ? SET_NO_ENDPOINT_NODE_PORTS : SET_NO_ENDPOINT_SERVICES, fe,
	         verdict);
}

static void cluster_frontend(struct wanted *w, const struct port_plan *p, const struct frontend *fe)
{
	const struct service *svc = w->svc;
	size_t n = svc->internal_local ? p->choice->local.n : p->choice->cluster.n;
	struct element *e = emit(w, SET_CLUSTER_IPS);
	words_addr(w->family, &fe->addr, e->key);
	if (!n) {
		emit_refusal(w, fe, p->choice->any ? VERDICT_DROP : VERDICT_REJECT);
		return;
	}
	emit_endpoints(w, fe, svc->internal_local ? &p->choice->local : &p->choice->cluster,
	               svc->internal_local);
	emit_dispatch(w, fe,
	              &(struct shape){.source = SOURCE_CLUSTER,
	                              .local = svc->internal_local,
	                              .n = (uint32_t)n,
	                              .affinity_s = svc->affinity_s});
}

/* An external IP, a balancer's IP or a node port. False when it is not this port's. */
static bool outer_frontend(struct wanted *w, const struct port_plan *p, const struct frontend *fe)
{
	const struct service *svc = w->svc;
	bool local = svc->external_local;
	if (!claim(w, fe))
		return false;
	if (!p->choice->any) {
		emit_refusal(w, fe, VERDICT_REJECT);
		return true;
	}
	size_t n = local ? p->choice->local.n : p->choice->cluster.n;
	struct shape s = {.source = fe->node_port ? SOURCE_NODE_PORT : SOURCE_EXTERNAL,
	                  .local = local,
	                  .policy = local,
	                  .n = (uint32_t)n,
	                  .n_far = local ? (uint32_t)p->choice->cluster.n : 0,
	                  .affinity_s = svc->affinity_s};
	emit_endpoints(w, fe, &p->choice->cluster, false);
	emit_dispatch(w, fe, &s);
	if (local) {
		emit_endpoints(w, fe, &p->choice->local, true);
		struct shape far = shape_short_cut(&s);
		emit_shape(w, &far);
	}
	if (!n)
		emit_refusal(w, fe, VERDICT_DROP);
	return true;
}

static void emit_source(struct wanted *w, const struct frontend *fe, const struct cidr *range)
{
	struct element *e = emit(w, SET_FIREWALL_SOURCES);
	struct addr last = cidr_last(range);
	unsigned n = words_frontend(w->family, fe, e->key);
	words_addr(w->family, &range->addr, e->key + n);
	words_addr(w->family, &last, e->value);
}

/* A balancer's address is often one of this host: what the host sends there loops back with that
 * address as its source, and must pass when the host itself may. */
static bool loops_back(const struct wanted *w, const struct service_family *sf,
                       const struct addr *balancer_ip)
{
	bool allowed = false;
	for (size_t i = 0; i < sf->n_source_ranges; i++) {
		if (cidr_contains(&sf->source_ranges[i], w->family, balancer_ip))
			return false;
		VEC_FOREACH (&w->config->node_ips, ip)
			allowed |= cidr_contains(&sf->source_ranges[i], ip->family, &ip->addr);
	}
	return allowed;
}

static void firewall(struct wanted *w, const struct service_family *sf, const struct frontend *fe)
{
	if (!sf->n_source_ranges)
		return;
	emit_key(w, SET_FIREWALL_IPS, fe, VERDICT_NONE);
	for (size_t i = 0; i < sf->n_source_ranges; i++)
		emit_source(w, fe, &sf->source_ranges[i]);
	if (loops_back(w, sf, &fe->addr))
		emit_source(w, fe,
		            &(struct cidr){.addr = fe->addr,
		                           .family = (uint8_t)w->family,
		                           .bits = (uint8_t)(addr_bytes(w->family) * 8)});
}

static void port_elements(struct wanted *w, const struct service_port *port,
                          struct endpoint_choice *choice)
{
	const struct service_family *sf = &w->svc->family[w->family];
	struct frontend fe = {
	    .addr = sf->cluster_ip, .port = port->port, .protocol = port->protocol};
	struct port_plan p = {.port = port, .choice = choice};
	/* Without its cluster IP a port has nothing. */
	if (!claim(w, &fe))
		return;
	endpoints_choose(w->svc, port, w->slices, w->family, choice);
	emit_hairpins(w, &choice->cluster);
	emit_hairpins(w, &choice->local);
	cluster_frontend(w, &p, &fe);
	/* Balancers first: an address that is an external IP as well is still guarded. */
	for (size_t i = 0; i < sf->n_balancer_ips; i++) {
		fe.addr = sf->balancer_ips[i];
		if (!addr_cmp(&fe.addr, &sf->cluster_ip) || outer_frontend(w, &p, &fe))
			firewall(w, sf, &fe);
	}
	for (size_t i = 0; i < sf->n_external_ips; i++) {
		fe.addr = sf->external_ips[i];
		outer_frontend(w, &p, &fe);
	}
	if (port->node_port)
		outer_frontend(w, &p,
		               &(struct frontend){.port = port->node_port,
		                                  .protocol = port->protocol,
		                                  .node_port = true});
}

void wanted_elements(struct wanted *w)
{
	struct endpoint_choice choice = {0};
	vec_clear(&w->list);
	w->denied = false;
	if (w->svc && w->svc->family[w->family].present)
		for (size_t i = 0; i < w->svc->n_ports; i++)
			port_elements(w, &w->svc->ports[i], &choice);
	endpoint_choice_deinit(&choice);
	elements_sort(&w->list);
}
