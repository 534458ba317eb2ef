/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Endpoints and ports as the Service and its pods want them. */
#include "controller-manager/endpointslice/plan/plan.h"

/* Endpoints with the same ports. */
struct slice_group {
	const char *key; /* of the ports, whatever their order */
	DiscoveryV1__EndpointPort **ports;
	size_t n_ports;
	DiscoveryV1__Endpoint **endpoints;
	size_t n;
};

struct slice_groups {
	struct slice_group *at;
	size_t n;
};

/* The groups of an address type ("IPv4", "IPv6"). */
void slice_groups(const struct slice_input *in, const char *address_type, struct arena *a,
                  struct slice_groups *ret);
const char *slice_ports_key(DiscoveryV1__EndpointPort *const *ports, size_t n, struct arena *a);
