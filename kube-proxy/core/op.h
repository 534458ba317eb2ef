/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What kube-proxy wants of the kernel, as data: the difference between two states of its tables.
 *
 * The layout is flat. A *frontend* is an address that clients use: (IP, protocol, port), or a node
 * port (protocol, port). A map sends it to a chain that is shared by all frontends of the same
 * kind and the same number of endpoints N; that chain picks `numgen random mod N` and looks
 * (frontend, index) up in one map of all *backends*. So a service costs map elements only, and a
 * change of one endpoint is a few elements, whatever the size of the cluster.
 *
 * Ops of one list are one transaction and are listed in the order in which the kernel takes them.
 */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/vec.h"

enum proxy_protocol { PROXY_TCP = 6, PROXY_UDP = 17, PROXY_SCTP = 132 };

/* Where traffic to a frontend comes from decides whether it is masqueraded on its way. */
enum frontend_kind {
	FRONTEND_CLUSTER,  /* cluster IP: masqueraded when the source is outside the cluster CIDR */
	FRONTEND_EXTERNAL, /* external or load balancer IP: always masqueraded */
	FRONTEND_EXTERNAL_LOCAL, /* the same with externalTrafficPolicy Local: never */
	FRONTEND_NODE_PORT,      /* node port: always masqueraded */
	FRONTEND_NODE_PORT_LOCAL,
	FRONTEND_KINDS
};

static inline bool frontend_is_node_port(enum frontend_kind kind)
{
	return kind == FRONTEND_NODE_PORT || kind == FRONTEND_NODE_PORT_LOCAL;
}

/* IPv4 addresses are in network byte order, ports in host byte order. A node port has ip 0. */
struct frontend_key {
	uint32_t ip;
	uint16_t port;
	uint8_t protocol; /* enum proxy_protocol */
};

struct backend {
	uint32_t ip;
	uint16_t port;
};

enum proxy_op_kind {
	OP_CHAIN_ADD,    /* kind, count: the shared chain comes into being */
	OP_BACKEND_DEL,  /* key, index */
	OP_BACKEND_ADD,  /* key, index, backend */
	OP_FRONTEND_DEL, /* key, kind */
	OP_FRONTEND_ADD, /* key, kind, count: count 0 rejects the traffic */
	OP_HAIRPIN_DEL,  /* backend.ip */
	OP_HAIRPIN_ADD,  /* backend.ip: traffic of this pod to itself is masqueraded */
	OP_CHAIN_DEL,    /* kind, count: no frontend uses it any more */
};

struct proxy_op {
	enum proxy_op_kind op;
	enum frontend_kind kind;
	struct frontend_key key;
	uint32_t index, count;
	struct backend backend;
};

struct proxy_ops {
	VEC(struct proxy_op) list;
};

static inline void proxy_ops_deinit(struct proxy_ops *ops)
{
	vec_deinit(&ops->list);
}
