/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What kube-proxy keeps of a Service and of an EndpointSlice: the few fields that decide rules,
 * taken out of the API object once. Both live on the heap and are immutable.
 *
 * Headless and ExternalName services give nothing. What does not parse (addresses, networks, ports
 * out of range) is left out, as upstream leaves it out; the rest of the object still counts. */
#include "common/base/slice.h"
#include "kube-proxy/core/addr.h"
#include "proto/core_v1.pb-c.h"
#include "proto/discovery_v1.pb-c.h"

enum { PROTOCOL_TCP = 6, PROTOCOL_UDP = 17, PROTOCOL_SCTP = 132 };

struct service_port {
	char *name;
	uint16_t port, node_port; /* node_port 0: none */
	uint8_t protocol;
};

/* A service as seen in one IP family. */
struct service_family {
	bool present; /* it has a cluster IP of this family */
	struct addr cluster_ip;
	size_t n_external_ips, n_balancer_ips, n_source_ranges;
	struct addr *external_ips;
	struct addr *balancer_ips;  /* of the load balancer's status, of mode VIP */
	struct cidr *source_ranges; /* no range contains another one */
};

struct service {
	char *key; /* namespace/name */
	size_t n_ports;
	struct service_port *ports;
	struct service_family family[FAMILIES];
	bool internal_local, external_local; /* the traffic policies */
	bool external;                       /* reached by more than its cluster IP */
	uint32_t affinity_s;                 /* session affinity by client IP; 0: none */
	uint16_t health_port;                /* healthCheckNodePort; 0: none */
};

/* Whom a hint names. */
enum hint { HINT_NONE, HINT_HERE, HINT_ELSEWHERE };

struct slice_endpoint {
	struct addr addr;
	bool ready, serving, terminating;
	bool local;  /* on this node */
	bool remote; /* on another one; neither: the endpoint does not tell */
	uint8_t node_hint, zone_hint;
};

struct slice_port {
	char *name;
	uint16_t port;
	uint8_t protocol;
};

struct endpoint_slice {
	char *key;         /* namespace/name of the slice */
	char *service_key; /* namespace/name of its service */
	uint8_t family;
	size_t n_endpoints, n_ports;
	struct slice_endpoint *endpoints;
	struct slice_port *ports; /* sorted by protocol and name */
};

/* NULL when the object gives no rules. Free with service_free and endpoint_slice_free (NULL is
 * fine). */
struct service *service_parse(const CoreV1__Service *svc);
void service_free(struct service *s);
/* zone: of this node, "" when unknown. */
struct endpoint_slice *endpoint_slice_parse(const DiscoveryV1__EndpointSlice *slice,
                                            const char *node_name, const char *zone);
void endpoint_slice_free(struct endpoint_slice *s);
int slice_port_cmp(uint8_t protocol, const char *name, const struct slice_port *p);
