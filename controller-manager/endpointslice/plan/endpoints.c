/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "controller-manager/endpointslice/plan/internal.h"

#define TEXT(s) ((char *)(uintptr_t)(s))

/* Ports */

static int text_cmp(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

const char *slice_ports_key(DiscoveryV1__EndpointPort *const *ports, size_t n, struct arena *a)
{
	const char **texts = arena_array(a, const char *, n), *key = "";
	for (size_t i = 0; i < n; i++)
		texts[i] =
		    arena_printf(a, "%s/%s/%d/%s;", ports[i]->name ? ports[i]->name : "",
		                 ports[i]->protocol ? ports[i]->protocol : "", ports[i]->port,
		                 ports[i]->app_protocol ? ports[i]->app_protocol : "");
	qsort(texts, n, sizeof(*texts), text_cmp);
	for (size_t i = 0; i < n; i++)
		key = arena_printf(a, "%s%s", key, texts[i]);
	return key;
}

static bool named_port(CoreV1__Container *const *containers, size_t n, bool sidecars_only,
                       const CoreV1__ServicePort *port, int32_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		const CoreV1__Container *c = containers[i];
		if (sidecars_only && (!c->restart_policy || strcmp(c->restart_policy, "Always")))
			continue;
		for (size_t k = 0; k < c->n_ports; k++)
			if (!strcmp(c->ports[k]->name, port->target_port->str_val) &&
			    !strcmp(c->ports[k]->protocol, port->protocol)) {
				*ret = c->ports[k]->container_port;
				return true;
			}
	}
	return false;
}

static bool port_of(const CoreV1__Pod *pod, const CoreV1__ServicePort *port, int32_t *ret)
{
	if (!port->target_port || port->target_port->type == 0) {
		*ret = port->target_port && port->target_port->int_val ? port->target_port->int_val
		                                                       : port->port;
		return true;
	}
	return named_port(pod->spec->containers, pod->spec->n_containers, false, port, ret) ||
	       named_port(pod->spec->init_containers, pod->spec->n_init_containers, true, port,
	                  ret);
}

static size_t ports_of(const CoreV1__Service *svc, const CoreV1__Pod *pod, struct arena *a,
                       DiscoveryV1__EndpointPort ***ret)
{
	size_t n = 0;
	*ret = arena_array(a, DiscoveryV1__EndpointPort *, svc->spec->n_ports);
	for (size_t i = 0; i < svc->spec->n_ports; i++) {
		const CoreV1__ServicePort *from = svc->spec->ports[i];
		int32_t number;
		if (!port_of(pod, from, &number))
			continue;
		DiscoveryV1__EndpointPort *p = arena_new(a, DiscoveryV1__EndpointPort);
		*p = (DiscoveryV1__EndpointPort)DISCOVERY_V1__ENDPOINT_PORT__INIT;
		p->name = from->name;
		p->protocol = from->protocol;
		p->has_port = 1;
		p->port = number;
		p->app_protocol = from->app_protocol;
		(*ret)[n++] = p;
	}
	return n;
}

/* Endpoints */

static bool is_ready(const CoreV1__Pod *pod)
{
	for (size_t i = 0; i < pod->status->n_conditions; i++)
		if (!strcmp(pod->status->conditions[i]->type, "Ready"))
			return !strcmp(pod->status->conditions[i]->status, "True");
	return false;
}

static const char *address_of(const CoreV1__Pod *pod, const char *address_type)
{
	bool v6 = !strcmp(address_type, "IPv6");
	for (size_t i = 0; i < pod->status->n_pod_ips; i++)
		if ((strchr(pod->status->pod_ips[i]->ip, ':') != NULL) == v6)
			return pod->status->pod_ips[i]->ip;
	return NULL;
}

static bool has_ended(const CoreV1__Pod *pod)
{
	return !strcmp(pod->status->phase, "Failed") || !strcmp(pod->status->phase, "Succeeded");
}

static CoreV1__ObjectReference *reference_to(const CoreV1__Pod *pod, struct arena *a)
{
	CoreV1__ObjectReference *ref = arena_new(a, CoreV1__ObjectReference);
	*ref = (CoreV1__ObjectReference)CORE_V1__OBJECT_REFERENCE__INIT;
	ref->kind = TEXT("Pod");
	ref->namespace_ = pod->metadata->namespace_;
	ref->name = pod->metadata->name;
	ref->uid = pod->metadata->uid;
	ref->api_version = ref->resource_version = ref->field_path = TEXT("");
	return ref;
}

static DiscoveryV1__Endpoint *endpoint_of(const CoreV1__Service *svc, const struct slice_pod *sp,
                                          const char *address, struct arena *a)
{
	const CoreV1__Pod *pod = sp->pod;
	DiscoveryV1__Endpoint *e = arena_new(a, DiscoveryV1__Endpoint);
	DiscoveryV1__EndpointConditions *c = arena_new(a, DiscoveryV1__EndpointConditions);
	*e = (DiscoveryV1__Endpoint)DISCOVERY_V1__ENDPOINT__INIT;
	*c = (DiscoveryV1__EndpointConditions)DISCOVERY_V1__ENDPOINT_CONDITIONS__INIT;
	c->has_ready = c->has_serving = c->has_terminating = 1;
	c->serving = is_ready(pod);
	c->terminating = pod->metadata->deletion_timestamp != NULL;
	c->ready = svc->spec->publish_not_ready_addresses || (c->serving && !c->terminating);
	e->conditions = c;
	e->n_addresses = 1;
	e->addresses = arena_array(a, char *, 1);
	e->addresses[0] = TEXT(address);
	e->target_ref = reference_to(pod, a);
	if (*pod->spec->node_name)
		e->node_name = pod->spec->node_name;
	e->zone = TEXT(sp->zone);
	if (*pod->spec->hostname && !strcmp(pod->spec->subdomain, svc->metadata->name))
		e->hostname = pod->spec->hostname;
	return e;
}

static struct slice_group *group_of(struct slice_groups *g, const char *key)
{
	for (size_t i = 0; i < g->n; i++)
		if (!strcmp(g->at[i].key, key))
			return &g->at[i];
	return NULL;
}

void slice_groups(const struct slice_input *in, const char *address_type, struct arena *a,
                  struct slice_groups *ret)
{
	*ret = (struct slice_groups){.at = arena_array(a, struct slice_group, in->n_pods)};
	for (size_t i = 0; i < in->n_pods; i++) {
		const struct slice_pod *sp = &in->pods[i];
		const char *address = address_of(sp->pod, address_type);
		DiscoveryV1__EndpointPort **ports;
		if (!address || has_ended(sp->pod))
			continue;
		if (!sp->node_known && !in->service->spec->publish_not_ready_addresses)
			continue;
		size_t n_ports = ports_of(in->service, sp->pod, a, &ports);
		const char *key = slice_ports_key(ports, n_ports, a);
		struct slice_group *g = group_of(ret, key);
		if (!g) {
			g = &ret->at[ret->n++];
			*g = (struct slice_group){
			    .key = key,
			    .ports = ports,
			    .n_ports = n_ports,
			    .endpoints = arena_array(a, DiscoveryV1__Endpoint *, in->n_pods)};
		}
		g->endpoints[g->n++] = endpoint_of(in->service, sp, address, a);
	}
}
