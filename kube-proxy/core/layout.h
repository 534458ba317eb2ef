/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How services lie in the kernel: one table `kube-proxy` a family, whose sets carry all that
 * differs from service to service and whose chains are few and shared.
 *
 * A *frontend* is what clients use: an address (IP, protocol, port), or a node port (protocol,
 * port). `service-ips` and `service-nodeports` send it to a chain that all frontends of the same
 * shape share (struct shape: where clients come from, traffic policy, number of endpoints,
 * affinity). That chain draws a number below the count of endpoints and looks (frontend, number) up
 * in `backends`. So a service costs elements only, a change of one endpoint a few of them, whatever
 * the size of the cluster.
 *
 * Affinity: `affinity` remembers (client, frontend) -> endpoint. It is written behind the change of
 * destination, where the endpoint stands in the packet and the frontend in its connection, for the
 * timeout that `sticky-services` and `sticky-nodeports` tell. When an endpoint goes, so do its
 * entries (struct stale_flows).
 *
 * No rule looks up what another lookup found: nft(8) of some versions cannot print that.
 *
 * Pure. */
#include "kube-proxy/core/addr.h"
#include "kube-proxy/core/rule.h"

#define TABLE_NAME "kube-proxy"

enum set_id {
	SET_CLUSTER_IPS = 1,
	SET_SERVICE_IPS,
	SET_NODE_PORTS,
	SET_BACKENDS,
	SET_NODE_PORT_BACKENDS,
	SET_HAIRPIN,
	SET_NO_ENDPOINT_SERVICES,
	SET_NO_ENDPOINT_NODE_PORTS,
	SET_FIREWALL_IPS,
	SET_FIREWALL_SOURCES,
	SET_AFFINITY,
	SET_STICKY_SERVICES,
	SET_STICKY_NODE_PORTS,
	SETS,
	SET_CHAINS = SETS, /* not a set of the kernel: its elements are the shapes in use */
};

/* Parts of keys and values; each is padded to words of 32 bits. */
enum part { PART_END, PART_ADDR, PART_PROTOCOL, PART_PORT, PART_NUMBER };
enum { PARTS_MAX = 5, KEY_WORDS_MAX = 10, VALUE_WORDS_MAX = 5 };

enum set_value { VALUE_NONE, VALUE_VERDICT, VALUE_DATA };

struct set_info {
	const char *name;
	uint8_t key[PARTS_MAX + 1], data[PARTS_MAX + 1]; /* enum part */
	uint8_t value;                                   /* enum set_value */
	bool interval; /* the last address of the key is a range; its end stands in the value */
	bool dynamic;  /* filled by rules, with timeouts */
	bool shared;   /* elements are counted: several services may hold the same */
};

extern const struct set_info set_infos[SETS];
/* Words of an address, a key, a value. */
static inline unsigned addr_words(enum family f)
{
	return f == FAMILY_IPV4 ? 1 : 4;
}
unsigned parts_words(enum family f, const uint8_t *parts);

enum verdict { VERDICT_NONE, VERDICT_GOTO, VERDICT_DROP, VERDICT_REJECT };

enum source { SOURCE_CLUSTER, SOURCE_EXTERNAL, SOURCE_NODE_PORT, SOURCE_RECORD };

/* What all frontends of a chain have in common. Compared as bytes: no padding. SOURCE_RECORD: not a
 * chain of frontends but the one that remembers clients for affinity_s. */
struct shape {
	uint8_t source; /* enum source */
	bool local;     /* endpoints of this node only */
	bool policy;    /* external and Local: pods and this host still reach all endpoints */
	bool short_cut; /* what `policy` sends those to: never masqueraded by the chain itself */
	uint32_t n;     /* endpoints */
	uint32_t n_far; /* policy: all endpoints, which pods and this host reach */
	uint32_t affinity_s;
};
enum { SHAPE_WORDS = sizeof(struct shape) / 4 };

/* An element as its words lie in registers: addresses and ports in network byte order, a part
 * narrower than a word at its start, numbers in host byte order. Unused words are zero. */
struct element {
	uint8_t set, verdict; /* enum set_id, enum verdict */
	struct shape shape;   /* VERDICT_GOTO, and the elements of SET_CHAINS */
	uint32_t key[KEY_WORDS_MAX], value[VALUE_WORDS_MAX];
};

/* Numbers of local endpoints in `backends` begin here. */
#define LOCAL_BACKENDS 0x80000000u

/* How traffic of pods of this cluster is told from other traffic (--detect-local-mode). */
enum pod_traffic { POD_TRAFFIC_UNKNOWN, POD_TRAFFIC_CIDR, POD_TRAFFIC_BRIDGE, POD_TRAFFIC_PREFIX };

typedef VEC(struct cidr) cidr_list;

/* What rules depend on besides services; a change of it replaces the table. */
struct layout_config {
	uint8_t pod_traffic;    /* enum pod_traffic */
	cidr_list pod_cidrs;    /* both families: the first of a family counts */
	char pod_interface[16]; /* name, or prefix of names */
	bool masquerade_all;
	unsigned masquerade_bit; /* of the packet mark */
	cidr_list node_ports;    /* addresses of this host in these networks serve node ports */
	cidr_list node_ips;      /* this host's own, as single addresses */
	cidr_list service_cidrs; /* traffic to their addresses that no service has is dropped */
};
void layout_config_deinit(struct layout_config *c);
void layout_config_copy(const struct layout_config *from, struct layout_config *to);
bool layout_config_eq(const struct layout_config *a, const struct layout_config *b);

/* Chains that hooks call. */
struct base_chain {
	const char *name, *type; /* "filter", "nat" */
	uint32_t hook;           /* NF_INET_* */
	int32_t priority;
};
enum { BASE_CHAINS = 9 };
extern const struct base_chain base_chains[BASE_CHAINS];
/* Other chains that are always there, in an order in which their rules may follow at once. */
enum { PLAIN_CHAINS = 6 };
extern const char *const plain_chains[PLAIN_CHAINS];

/* The rules of all fixed chains. */
void layout_rules(enum family f, const struct layout_config *c, rule_list *out);
/* The name and the rules of the chain of a shape. */
void shape_name(const struct shape *s, char out[CHAIN_NAME_BYTES]);
void shape_rules(enum family f, const struct layout_config *c, const struct shape *s,
                 rule_list *out);
/* The shape that pods and this host go on to from `s` (policy). */
struct shape shape_short_cut(const struct shape *s);
