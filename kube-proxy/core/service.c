/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/core/service.h"

#include <stdio.h>

#include "common/base/heap.h"

enum { AFFINITY_DEFAULT_S = 10800 };

static uint8_t protocol_of(const char *name)
{
	if (name && !strcmp(name, "UDP"))
		return PROTOCOL_UDP;
	if (name && !strcmp(name, "SCTP"))
		return PROTOCOL_SCTP;
	return PROTOCOL_TCP;
}

static char *dup_or_empty(const char *s)
{
	return heap_strdup(s ? s : "");
}

static bool equals(const char *s, const char *value)
{
	return s && !strcmp(s, value);
}

static char *join_key(const char *ns, const char *name)
{
	size_t n = strlen(ns) + strlen(name) + 2;
	char *key = heap_zalloc(n);
	snprintf(key, n, "%s/%s", ns, name);
	return key;
}

void service_free(struct service *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_ports; i++)
		free(s->ports[i].name);
	for (int f = 0; f < FAMILIES; f++) {
		free(s->family[f].external_ips);
		free(s->family[f].balancer_ips);
		free(s->family[f].source_ranges);
	}
	free(s->ports);
	free(s->key);
	free(s);
}

static void parse_cluster_ips(struct service *s, const CoreV1__ServiceSpec *spec)
{
	for (enum family f = 0; f < FAMILIES; f++) {
		struct service_family *out = &s->family[f];
		out->present = addr_parse(spec->cluster_ip, f, &out->cluster_ip);
		for (size_t i = 0; !out->present && i < spec->n_cluster_ips; i++)
			out->present = addr_parse(spec->cluster_ips[i], f, &out->cluster_ip);
	}
}

static void parse_external_ips(struct service *s, const CoreV1__ServiceSpec *spec)
{
	for (enum family f = 0; f < FAMILIES && spec->n_external_ips; f++) {
		struct service_family *out = &s->family[f];
		out->external_ips = heap_zalloc(spec->n_external_ips * sizeof(*out->external_ips));
		for (size_t i = 0; i < spec->n_external_ips; i++)
			if (addr_parse(spec->external_ips[i], f,
			               &out->external_ips[out->n_external_ips]))
				out->n_external_ips++;
	}
}

/* A balancer of mode Proxy passes traffic on to the nodes: its address is not ours to serve. */
static void parse_balancer_ips(struct service *s, const CoreV1__Service *svc)
{
	const CoreV1__LoadBalancerStatus *lb = svc->status ? svc->status->load_balancer : NULL;
	for (enum family f = 0; f < FAMILIES && lb && lb->n_ingress; f++) {
		struct service_family *out = &s->family[f];
		out->balancer_ips = heap_zalloc(lb->n_ingress * sizeof(*out->balancer_ips));
		for (size_t i = 0; i < lb->n_ingress; i++)
			if (!equals(lb->ingress[i]->ip_mode, "Proxy") &&
			    addr_parse(lb->ingress[i]->ip, f,
			               &out->balancer_ips[out->n_balancer_ips]))
				out->n_balancer_ips++;
	}
}

static void add_source_range(struct service_family *out, const struct cidr *c)
{
	size_t kept = 0;
	for (size_t i = 0; i < out->n_source_ranges; i++)
		if (out->source_ranges[i].bits <= c->bits &&
		    cidr_contains(&out->source_ranges[i], c->family, &c->addr))
			return;
	for (size_t i = 0; i < out->n_source_ranges; i++)
		if (!cidr_contains(c, c->family, &out->source_ranges[i].addr))
			out->source_ranges[kept++] = out->source_ranges[i];
	out->source_ranges[kept] = *c;
	out->n_source_ranges = kept + 1;
}

static void parse_source_ranges(struct service *s, const CoreV1__ServiceSpec *spec)
{
	size_t n = spec->n_load_balancer_source_ranges;
	for (enum family f = 0; f < FAMILIES && n; f++)
		s->family[f].source_ranges = heap_zalloc(n * sizeof(struct cidr));
	for (size_t i = 0; i < n; i++) {
		char text[ADDR_TEXT_BYTES + 8];
		struct cidr c;
		const char *raw = spec->load_balancer_source_ranges[i];
		raw += strspn(raw, " \t");
		snprintf(text, sizeof(text), "%.*s", (int)strcspn(raw, " \t"), raw);
		if (cidr_parse(text, &c))
			add_source_range(&s->family[c.family], &c);
	}
}

static uint32_t affinity_of(const CoreV1__ServiceSpec *spec)
{
	const CoreV1__ClientIPConfig *c =
	    spec->session_affinity_config ? spec->session_affinity_config->client_ip : NULL;
	if (!equals(spec->session_affinity, "ClientIP"))
		return 0;
	return c && c->has_timeout_seconds && c->timeout_seconds > 0 ? (uint32_t)c->timeout_seconds
	                                                             : AFFINITY_DEFAULT_S;
}

static void parse_ports(struct service *s, const CoreV1__ServiceSpec *spec)
{
	s->ports = heap_zalloc(spec->n_ports * sizeof(*s->ports));
	for (size_t i = 0; i < spec->n_ports; i++) {
		const CoreV1__ServicePort *p = spec->ports[i];
		bool node_port = p->node_port > 0 && p->node_port <= UINT16_MAX;
		if (p->port < 1 || p->port > UINT16_MAX)
			continue;
		s->ports[s->n_ports++] = (struct service_port){
		    .name = dup_or_empty(p->name),
		    .port = (uint16_t)p->port,
		    .node_port = (uint16_t)(node_port ? p->node_port : 0),
		    .protocol = protocol_of(p->protocol),
		};
		s->external |= node_port;
	}
}

struct service *service_parse(const CoreV1__Service *svc)
{
	const CoreV1__ServiceSpec *spec = svc->spec;
	if (!svc->metadata || !spec || equals(spec->type, "ExternalName") ||
	    equals(spec->cluster_ip, "None"))
		return NULL;
	struct service *s = heap_new(struct service);
	parse_cluster_ips(s, spec);
	if (!s->family[FAMILY_IPV4].present && !s->family[FAMILY_IPV6].present) {
		service_free(s);
		return NULL;
	}
	s->key = join_key(svc->metadata->namespace_, svc->metadata->name);
	s->internal_local = equals(spec->internal_traffic_policy, "Local");
	s->external_local = equals(spec->external_traffic_policy, "Local");
	s->affinity_s = affinity_of(spec);
	parse_external_ips(s, spec);
	if (equals(spec->type, "LoadBalancer")) {
		parse_balancer_ips(s, svc);
		parse_source_ranges(s, spec);
		if (s->external_local && spec->health_check_node_port > 0 &&
		    spec->health_check_node_port <= UINT16_MAX)
			s->health_port = (uint16_t)spec->health_check_node_port;
	}
	parse_ports(s, spec);
	for (enum family f = 0; f < FAMILIES; f++)
		s->external |= s->family[f].n_external_ips || s->family[f].n_balancer_ips;
	return s;
}

void endpoint_slice_free(struct endpoint_slice *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_ports; i++)
		free(s->ports[i].name);
	free(s->ports);
	free(s->endpoints);
	free(s->service_key);
	free(s->key);
	free(s);
}

static const char *service_label(const DiscoveryV1__EndpointSlice *slice)
{
	for (size_t i = 0; i < slice->metadata->n_labels; i++)
		if (!strcmp(slice->metadata->labels[i]->key, "kubernetes.io/service-name"))
			return slice->metadata->labels[i]->value;
	return NULL;
}

static void parse_hints(const DiscoveryV1__EndpointHints *h, const char *node_name,
                        const char *zone, struct slice_endpoint *out)
{
	if (!h)
		return;
	if (h->n_for_nodes)
		out->node_hint = HINT_ELSEWHERE;
	for (size_t i = 0; i < h->n_for_nodes; i++)
		if (equals(h->for_nodes[i]->name, node_name))
			out->node_hint = HINT_HERE;
	if (h->n_for_zones)
		out->zone_hint = HINT_ELSEWHERE;
	for (size_t i = 0; i < h->n_for_zones; i++)
		if (*zone && equals(h->for_zones[i]->name, zone))
			out->zone_hint = HINT_HERE;
}

/* A condition that is not told counts as the API says: ready unless told otherwise, serving as
 * ready, not terminating. */
static struct slice_endpoint parse_endpoint(const DiscoveryV1__Endpoint *e, const char *node_name,
                                            const char *zone)
{
	const DiscoveryV1__EndpointConditions *c = e->conditions;
	struct slice_endpoint out = {.ready = true};
	if (c && c->has_ready)
		out.ready = c->ready;
	out.serving = c && c->has_serving ? c->serving : out.ready;
	out.terminating = c && c->has_terminating && c->terminating;
	out.local = equals(e->node_name, node_name);
	out.remote = e->node_name && *e->node_name && !out.local;
	parse_hints(e->hints, node_name, zone, &out);
	return out;
}

int slice_port_cmp(uint8_t protocol, const char *name, const struct slice_port *p)
{
	int r = (protocol > p->protocol) - (protocol < p->protocol);
	return r ? r : strcmp(name, p->name);
}

static int port_sort_cmp(const void *a, const void *b)
{
	const struct slice_port *x = a, *y = b;
	int r = slice_port_cmp(x->protocol, x->name, y);
	return r ? r : (x->port > y->port) - (x->port < y->port);
}

static void parse_slice_ports(struct endpoint_slice *s, const DiscoveryV1__EndpointSlice *slice)
{
	s->ports = heap_zalloc(slice->n_ports * sizeof(*s->ports));
	for (size_t i = 0; i < slice->n_ports; i++) {
		const DiscoveryV1__EndpointPort *p = slice->ports[i];
		if (!p->has_port || p->port < 1 || p->port > UINT16_MAX)
			continue;
		s->ports[s->n_ports++] = (struct slice_port){.name = dup_or_empty(p->name),
		                                             .port = (uint16_t)p->port,
		                                             .protocol = protocol_of(p->protocol)};
	}
	if (s->n_ports)
		qsort(s->ports, s->n_ports, sizeof(*s->ports), port_sort_cmp);
}

struct endpoint_slice *endpoint_slice_parse(const DiscoveryV1__EndpointSlice *slice,
                                            const char *node_name, const char *zone)
{
	const char *service = slice->metadata ? service_label(slice) : NULL;
	bool ipv6 = equals(slice->address_type, "IPv6");
	if (!service || !*service || (!ipv6 && !equals(slice->address_type, "IPv4")))
		return NULL;
	struct endpoint_slice *s = heap_new(struct endpoint_slice);
	s->family = ipv6 ? FAMILY_IPV6 : FAMILY_IPV4;
	s->key = join_key(slice->metadata->namespace_, slice->metadata->name);
	s->service_key = join_key(slice->metadata->namespace_, service);
	s->endpoints = heap_zalloc(slice->n_endpoints * sizeof(*s->endpoints));
	for (size_t i = 0; i < slice->n_endpoints; i++) {
		const DiscoveryV1__Endpoint *e = slice->endpoints[i];
		struct slice_endpoint out = parse_endpoint(e, node_name, zone);
		/* Consumers use the first address only; the others are undefined by the API. */
		if (e->n_addresses && addr_parse(e->addresses[0], s->family, &out.addr))
			s->endpoints[s->n_endpoints++] = out;
	}
	parse_slice_ports(s, slice);
	return s;
}
