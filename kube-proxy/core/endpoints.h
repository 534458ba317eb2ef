/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which endpoints serve a port of a service, seen from this node. Pure.
 *
 * Ready endpoints serve; when none is ready, those that still serve while they terminate do
 * (KEP-1669). Of the ready ones, hints choose: when every ready endpoint has node hints and one
 * names this node, those that name it; else the same with zones; else all (KEP-2433, KEP-4444,
 * KEP-3015). Traffic policy Local keeps to endpoints of this node and does not look at hints. */
#include "kube-proxy/core/element.h"
#include "kube-proxy/core/service.h"

struct endpoint {
	struct backend backend;
	bool ready, serving, terminating, local, remote;
	uint8_t node_hint, zone_hint;
};

typedef VEC(struct endpoint) endpoint_list;
typedef VEC(struct endpoint_slice *) slice_list;

struct endpoint_choice {
	endpoint_list cluster, local; /* by address and port; filled when the policies use them */
	bool any;                     /* something serves, here or elsewhere */
};

/* Empties and fills *ret. */
void endpoints_choose(const struct service *svc, const struct service_port *port,
                      const slice_list *slices, enum family f, struct endpoint_choice *ret);
void endpoint_choice_deinit(struct endpoint_choice *c);
/* Ready endpoints of this node, each address once, in the family that has more of them: what health
 * checks report. */
size_t endpoints_local_ready(const slice_list *slices);
int backend_cmp(const struct backend *a, const struct backend *b);
