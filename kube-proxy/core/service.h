/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What kube-proxy keeps of a Service and of an EndpointSlice: the few fields that decide rules,
 * taken out of the API object once. Both live in one heap block each and are immutable.
 *
 * Headless, ExternalName and IPv6-only services have no frontends. Entries with an unparsable
 * address are left out, as upstream leaves them out. */
#include "common/base/slice.h"
#include "kube-proxy/core/op.h"
#include "proto/core_v1.pb-c.h"
#include "proto/discovery_v1.pb-c.h"

struct service_port {
	char *name;
	uint16_t port, node_port; /* node_port 0: none */
	uint8_t protocol;
};

struct service {
	char *key; /* namespace/name */
	uint32_t cluster_ip;
	size_t n_ports, n_external_ips;
	struct service_port *ports;
	uint32_t *external_ips; /* external IPs, then load balancer IPs */
	bool internal_local, external_local;
};

struct slice_endpoint {
	uint32_t ip;
	bool ready, serving, terminating;
	bool local; /* on this node */
};

struct slice_port {
	char *name;
	uint16_t port;
	uint8_t protocol;
};

struct endpoint_slice {
	char *key;         /* namespace/name of the slice */
	char *service_key; /* namespace/name of its service */
	size_t n_endpoints, n_ports;
	struct slice_endpoint *endpoints;
	struct slice_port *ports;
};

/* NULL when the object gives no rules (headless, ExternalName, no label of a service, not IPv4).
 * Free with service_free and endpoint_slice_free. */
struct service *service_parse(const CoreV1__Service *svc);
void service_free(struct service *s);
struct endpoint_slice *endpoint_slice_parse(const DiscoveryV1__EndpointSlice *slice,
                                            const char *node_name);
void endpoint_slice_free(struct endpoint_slice *s);

/* Reads a dotted quad into network byte order. False for anything else, leading zeros included. */
bool ipv4_parse(const char *text, uint32_t *ret);
