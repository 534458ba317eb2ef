/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/core/service.h"

#include <stdio.h>

bool ipv4_parse(const char *text, uint32_t *ret)
{
	uint8_t out[4];
	for (int part = 0; part < 4; part++) {
		unsigned value = 0, digits = 0;
		if (*text == '0' && text[1] >= '0' && text[1] <= '9')
			return false;
		for (; *text >= '0' && *text <= '9' && digits < 4; text++, digits++)
			value = value * 10 + (unsigned)(*text - '0');
		if (!digits || value > 255)
			return false;
		out[part] = (uint8_t)value;
		if (part < 3 && *text++ != '.')
			return false;
	}
	if (*text)
		return false;
	memcpy(ret, out, 4);
	return true;
}

static uint8_t protocol_of(const char *name)
{
	if (name && !strcmp(name, "UDP"))
		return PROXY_UDP;
	if (name && !strcmp(name, "SCTP"))
		return PROXY_SCTP;
	return PROXY_TCP;
}

static char *dup_or_empty(const char *s)
{
	char *copy = strdup(s ? s : "");
	if (!copy)
		abort();
	return copy;
}

static char *join_key(const char *ns, const char *name)
{
	size_t n = strlen(ns) + strlen(name) + 2;
	char *key = malloc(n);
	if (!key)
		abort();
	snprintf(key, n, "%s/%s", ns, name);
	return key;
}

static void *zalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);
	if (!p)
		abort();
	return p;
}

void service_free(struct service *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_ports; i++)
		free(s->ports[i].name);
	free(s->ports);
	free(s->external_ips);
	free(s->key);
	free(s);
}

static void add_external_ip(struct service *s, const char *text)
{
	uint32_t ip;
	if (text && ipv4_parse(text, &ip))
		s->external_ips[s->n_external_ips++] = ip;
}

static void parse_external_ips(struct service *s, const CoreV1__Service *svc)
{
	const CoreV1__LoadBalancerStatus *lb = svc->status ? svc->status->load_balancer : NULL;
	s->external_ips =
	    zalloc(svc->spec->n_external_ips + (lb ? lb->n_ingress : 0), sizeof(*s->external_ips));
	for (size_t i = 0; i < svc->spec->n_external_ips; i++)
		add_external_ip(s, svc->spec->external_ips[i]);
	for (size_t i = 0; lb && i < lb->n_ingress; i++)
		add_external_ip(s, lb->ingress[i]->ip);
}

struct service *service_parse(const CoreV1__Service *svc)
{
	const CoreV1__ServiceSpec *spec = svc->spec;
	uint32_t ip;
	if (!svc->metadata || !spec || !spec->cluster_ip || !ipv4_parse(spec->cluster_ip, &ip) ||
	    (spec->type && !strcmp(spec->type, "ExternalName")))
		return NULL;
	struct service *s = zalloc(1, sizeof(*s));
	s->key = join_key(svc->metadata->namespace_, svc->metadata->name);
	s->cluster_ip = ip;
	s->internal_local =
	    spec->internal_traffic_policy && !strcmp(spec->internal_traffic_policy, "Local");
	s->external_local =
	    spec->external_traffic_policy && !strcmp(spec->external_traffic_policy, "Local");
	parse_external_ips(s, svc);
	s->ports = zalloc(spec->n_ports, sizeof(*s->ports));
	for (size_t i = 0; i < spec->n_ports; i++) {
		const CoreV1__ServicePort *p = spec->ports[i];
		if (p->port < 1 || p->port > 65535)
			continue;
		s->ports[s->n_ports++] = (struct service_port){
		    .name = dup_or_empty(p->name),
		    .port = (uint16_t)p->port,
		    .node_port =
		        (uint16_t)(p->node_port > 0 && p->node_port < 65536 ? p->node_port : 0),
		    .protocol = protocol_of(p->protocol),
		};
	}
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

/* A condition that is not told counts as the API says: ready unless told otherwise, serving as
 * ready, not terminating. */
static struct slice_endpoint endpoint_of(const DiscoveryV1__Endpoint *e, const char *node_name)
{
	const DiscoveryV1__EndpointConditions *c = e->conditions;
	struct slice_endpoint out = {.ready = true};
	if (c && c->has_ready)
		out.ready = c->ready;
	out.serving = c && c->has_serving ? c->serving : out.ready;
	out.terminating = c && c->has_terminating && c->terminating;
	out.local = node_name && e->node_name && !strcmp(e->node_name, node_name);
	return out;
}

struct endpoint_slice *endpoint_slice_parse(const DiscoveryV1__EndpointSlice *slice,
                                            const char *node_name)
{
	const char *service = slice->metadata ? service_label(slice) : NULL;
	if (!service || (slice->address_type && strcmp(slice->address_type, "IPv4")))
		return NULL;
	struct endpoint_slice *s = zalloc(1, sizeof(*s));
	s->key = join_key(slice->metadata->namespace_, slice->metadata->name);
	s->service_key = join_key(slice->metadata->namespace_, service);
	s->endpoints = zalloc(slice->n_endpoints, sizeof(*s->endpoints));
	for (size_t i = 0; i < slice->n_endpoints; i++) {
		const DiscoveryV1__Endpoint *e = slice->endpoints[i];
		struct slice_endpoint out = endpoint_of(e, node_name);
		/* Consumers use the first address only; the others are undefined by the API. */
		if (e->n_addresses && ipv4_parse(e->addresses[0], &out.ip))
			s->endpoints[s->n_endpoints++] = out;
	}
	s->ports = zalloc(slice->n_ports, sizeof(*s->ports));
	for (size_t i = 0; i < slice->n_ports; i++) {
		const DiscoveryV1__EndpointPort *p = slice->ports[i];
		if (!p->has_port || p->port < 1 || p->port > 65535)
			continue;
		s->ports[s->n_ports++] = (struct slice_port){.name = dup_or_empty(p->name),
		                                             .port = (uint16_t)p->port,
		                                             .protocol = protocol_of(p->protocol)};
	}
	return s;
}
