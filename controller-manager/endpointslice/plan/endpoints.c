/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "controller-manager/base/plan/pods.h"
#include "controller-manager/base/plan/services.h"
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

static size_t ports_of(const CoreV1__Service *svc, const CoreV1__Pod *pod, struct arena *a,
                       DiscoveryV1__EndpointPort ***ret)
{
	size_t n = 0;
	*ret = arena_array(a, DiscoveryV1__EndpointPort *, svc->spec->n_ports);
	for (size_t i = 0; i < svc->spec->n_ports; i++) {
		const CoreV1__ServicePort *from = svc->spec->ports[i];
		int32_t number;
		if (!service_port_of(pod, from, &number))
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

static DiscoveryV1__Endpoint *endpoint_of(const CoreV1__Service *svc, const struct slice_pod *sp,
                                          const char *address, struct arena *a)
{
	const CoreV1__Pod *pod = sp->pod;
	DiscoveryV1__Endpoint *e = arena_new(a, DiscoveryV1__Endpoint);
	DiscoveryV1__EndpointConditions *c = arena_new(a, DiscoveryV1__EndpointConditions);
	*e = (DiscoveryV1__Endpoint)DISCOVERY_V1__ENDPOINT__INIT;
	*c = (DiscoveryV1__EndpointConditions)DISCOVERY_V1__ENDPOINT_CONDITIONS__INIT;
	c->has_ready = c->has_serving = c->has_terminating = 1;
	c->serving = pod_is_ready(pod);
	c->terminating = pod->metadata->deletion_timestamp != NULL;
	c->ready = svc->spec->publish_not_ready_addresses || (c->serving && !c->terminating);
	e->conditions = c;
	e->n_addresses = 1;
	e->addresses = arena_array(a, char *, 1);
	e->addresses[0] = TEXT(address);
	e->target_ref = pod_reference(pod, a);
	if (*pod->spec->node_name)
		e->node_name = pod->spec->node_name;
	e->zone = TEXT(sp->zone);
	if (service_names_pod(svc, pod))
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
		const char *address = pod_address(sp->pod, address_type);
		DiscoveryV1__EndpointPort **ports;
		if (!address || pod_has_ended(sp->pod))
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
