/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of the fixed chains and of the chains of shapes.
 *
 * Registers, W being the words of an address: the client at 0, the frontend (address, protocol,
 * port) at W, and the endpoint (address, port) or its number at 2W + 2, so that the keys of
 * `backends` and `affinity` lie in one piece each. */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <stdio.h>
#include <string.h>

#include "kube-proxy/core/layout.h"

struct regs {
	unsigned client, frontend, endpoint, endpoint_port;
};

static struct regs regs_of(enum family f)
{
	unsigned w = addr_words(f);
	return (struct regs){0, w, 2 * w + 2, 3 * w + 2};
}

/* One rule under construction. */
static struct rule *begin(rule_list *out, const char *chain)
{
	struct rule *r = vec_push(out);
	*r = (struct rule){0};
	snprintf(r->chain, sizeof(r->chain), "%s", chain);
	return r;
}

static struct insn *add(struct rule *r, enum insn_kind kind, unsigned reg)
{
	struct insn *i = &r->insns[r->n++];
	*i = (struct insn){.kind = (uint8_t)kind, .reg = (uint8_t)reg, .dreg = REG_NONE};
	return i;
}

static void payload(struct rule *r, unsigned base, unsigned offset, unsigned len, unsigned reg)
{
	struct insn *i = add(r, INSN_PAYLOAD, reg);
	i->base = (uint8_t)base;
	i->offset = offset;
	i->len = (uint8_t)len;
}

static void source_addr(struct rule *r, enum family f, unsigned reg)
{
	payload(r, NFT_PAYLOAD_NETWORK_HEADER, f == FAMILY_IPV4 ? 12 : 8, addr_bytes(f), reg);
}

static void dest_addr(struct rule *r, enum family f, unsigned reg)
{
	payload(r, NFT_PAYLOAD_NETWORK_HEADER, f == FAMILY_IPV4 ? 16 : 24, addr_bytes(f), reg);
}

static void node_port(struct rule *r, unsigned reg)
{
	add(r, INSN_META, reg)->key = NFT_META_L4PROTO;
	payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, reg + 1);
}

static void frontend(struct rule *r, enum family f, unsigned reg)
{
	dest_addr(r, f, reg);
	node_port(r, reg + addr_words(f));
}

static struct insn *lookup(struct rule *r, enum set_id set, unsigned reg, unsigned dreg)
{
	struct insn *i = add(r, INSN_LOOKUP, reg);
	i->set = (uint8_t)set;
	i->dreg = (uint8_t)dreg;
	return i;
}

static void bitwise(struct rule *r, unsigned reg, unsigned len, const void *mask, const void * xor)
{
	struct insn *i = add(r, INSN_BITWISE, reg);
	i->len = (uint8_t)len;
	memcpy(i->data, mask, len);
	if (xor)
		memcpy(i->xor, xor, len);
}

static void compare(struct rule *r, unsigned reg, int op, unsigned len, const void *data)
{
	struct insn *i = add(r, INSN_COMPARE, reg);
	i->op = op;
	i->len = (uint8_t)len;
	memcpy(i->data, data, len);
}

static void verdict(struct rule *r, int code, const char *chain)
{
	struct insn *i = add(r, INSN_VERDICT, REG_VERDICT);
	i->op = code;
	if (chain)
		snprintf(i->chain, sizeof(i->chain), "%s", chain);
}

static void match_cidr(struct rule *r, unsigned reg, const struct cidr *c, bool outside)
{
	struct addr mask = addr_mask(c->bits);
	unsigned len = addr_bytes(c->family);
	if (c->bits < len * 8)
		bitwise(r, reg, len, mask.bytes, NULL);
	compare(r, reg, outside ? NFT_CMP_NEQ : NFT_CMP_EQ, len, c->addr.bytes);
}

static void match_new(struct rule *r)
{
	uint32_t bit = 8 /* NF_CT_STATE_BIT(IP_CT_NEW) */, zero = 0;
	add(r, INSN_CT, 0)->key = NFT_CT_STATE;
	bitwise(r, 0, 4, &bit, NULL);
	compare(r, 0, NFT_CMP_NEQ, 4, &zero);
}

/* Goes on for connections whose destination was changed. */
static void match_nat(struct rule *r)
{
	uint32_t nat = IPS_DST_NAT, zero = 0;
	add(r, INSN_CT, 0)->key = NFT_CT_STATUS;
	bitwise(r, 0, 4, &nat, NULL);
	compare(r, 0, NFT_CMP_NEQ, 4, &zero);
}

static void set_mark(struct rule *r, uint32_t keep, uint32_t xor)
{
	add(r, INSN_META, 0)->key = NFT_META_MARK;
	bitwise(r, 0, 4, &keep, &xor);
	add(r, INSN_META_SET, 0)->key = NFT_META_MARK;
}

static void set_masquerade_mark(struct rule *r, const struct layout_config *c)
{
	uint32_t bit = 1u << c->masquerade_bit;
	set_mark(r, ~bit, bit);
}

static const struct cidr *pod_cidr(const struct layout_config *c, enum family f)
{
	VEC_FOREACH (&c->pod_cidrs, it)
		if (it->family == f)
			return it;
	return NULL;
}

static bool knows_pods(const struct layout_config *c, enum family f)
{
	return c->pod_traffic == POD_TRAFFIC_CIDR ? pod_cidr(c, f) != NULL
	                                          : c->pod_traffic != POD_TRAFFIC_UNKNOWN;
}

/* Goes on for traffic of this cluster's pods, or (outside) for all other. */
static void match_pods(struct rule *r, enum family f, const struct layout_config *c, bool outside)
{
	if (c->pod_traffic == POD_TRAFFIC_CIDR) {
		source_addr(r, f, 0);
		match_cidr(r, 0, pod_cidr(c, f), outside);
		return;
	}
	size_t len = strlen(c->pod_interface);
	add(r, INSN_META, 0)->key = NFT_META_IIFNAME;
	compare(r, 0, outside ? NFT_CMP_NEQ : NFT_CMP_EQ,
	        c->pod_traffic == POD_TRAFFIC_BRIDGE ? 16 : (unsigned)len, c->pod_interface);
}

/* A host in loopback cannot be what DNAT makes of a packet that leaves the machine. */
static void match_not_loopback(struct rule *r, enum family f)
{
	struct cidr loopback = {.family = (uint8_t)f, .bits = f == FAMILY_IPV4 ? 8 : 128};
	loopback.addr.bytes[f == FAMILY_IPV4 ? 0 : 15] = f == FAMILY_IPV4 ? 127 : 1;
	dest_addr(r, f, 0);
	match_cidr(r, 0, &loopback, true);
}

/* One rule for each network whose addresses serve node ports: what they are looked up in. */
static void node_port_rules(enum family f, const struct layout_config *c, const char *chain,
                            enum set_id set, rule_list *out)
{
	VEC_FOREACH (&c->node_ports, net) {
		if (net->family != f)
			continue;
		struct rule *r = begin(out, chain);
		add(r, INSN_FIB_LOCAL, 0)->op = NFTA_FIB_F_DADDR;
		if (net->bits) {
			dest_addr(r, f, 0);
			match_cidr(r, 0, net, false);
		}
		match_not_loopback(r, f);
		node_port(r, 0);
		lookup(r, set, 0, REG_VERDICT);
	}
}

static void jump(rule_list *out, const char *from, const char *to, bool new_only)
{
	struct rule *r = begin(out, from);
	if (new_only)
		match_new(r);
	verdict(r, NFT_JUMP, to);
}

static void services_rules(enum family f, const struct layout_config *c, rule_list *out)
{
	struct rule *r = begin(out, "services");
	frontend(r, f, 0);
	lookup(r, SET_SERVICE_IPS, 0, REG_VERDICT);
	node_port_rules(f, c, "services", SET_NODE_PORTS, out);
	jump(out, "nat-prerouting", "services", false);
	jump(out, "nat-output", "services", false);
}

static void postrouting_rules(enum family f, const struct layout_config *c, rule_list *out)
{
	uint32_t bit = 1u << c->masquerade_bit, zero = 0;
	jump(out, "nat-input", "remember", false);
	jump(out, "nat-postrouting", "remember", false);
	/* Only what a service sent back to its source: two programs of one host are no hairpin. */
	struct rule *r = begin(out, "nat-postrouting");
	match_nat(r);
	source_addr(r, f, 0);
	dest_addr(r, f, addr_words(f));
	lookup(r, SET_HAIRPIN, 0, REG_NONE);
	add(r, INSN_MASQUERADE, REG_NONE);
	r = begin(out, "nat-postrouting");
	add(r, INSN_META, 0)->key = NFT_META_MARK;
	bitwise(r, 0, 4, &bit, NULL);
	compare(r, 0, NFT_CMP_NEQ, 4, &zero);
	set_mark(r, ~bit, 0);
	add(r, INSN_MASQUERADE, REG_NONE);
}

static void original(struct rule *r, uint32_t key, unsigned reg)
{
	struct insn *i = add(r, INSN_CT, reg);
	i->key = key;
	i->op = 1;
}

/* The frontend that the client used, after the packet's destination has been changed. */
static void original_frontend(struct rule *r, enum family f, unsigned reg, bool with_addr)
{
	if (with_addr) {
		original(r, f == FAMILY_IPV4 ? NFT_CT_DST_IP : NFT_CT_DST_IP6, reg);
		reg += addr_words(f);
	}
	add(r, INSN_META, reg)->key = NFT_META_L4PROTO;
	original(r, NFT_CT_PROTO_DST, reg + 1);
}

static void remember_rules(enum family f, rule_list *out)
{
	struct rule *r = begin(out, "remember");
	match_nat(r);
	original_frontend(r, f, 0, true);
	lookup(r, SET_STICKY_SERVICES, 0, REG_VERDICT);
	r = begin(out, "remember");
	match_nat(r);
	original_frontend(r, f, 0, false);
	lookup(r, SET_STICKY_NODE_PORTS, 0, REG_VERDICT);
}

static void reject_rules(enum family f, const struct layout_config *c, rule_list *out)
{
	add(begin(out, "reject-chain"), INSN_REJECT, REG_NONE);
	struct rule *r = begin(out, "no-endpoints");
	frontend(r, f, 0);
	lookup(r, SET_NO_ENDPOINT_SERVICES, 0, REG_VERDICT);
	node_port_rules(f, c, "no-endpoints", SET_NO_ENDPOINT_NODE_PORTS, out);
	/* A cluster IP is reached by its services' ports only; what is still addressed to one here
	 * is for no port of it. */
	r = begin(out, "cluster-ips-check");
	dest_addr(r, f, 0);
	lookup(r, SET_CLUSTER_IPS, 0, REG_NONE);
	add(r, INSN_REJECT, REG_NONE);
	VEC_FOREACH (&c->service_cidrs, net) {
		if (net->family != f)
			continue;
		r = begin(out, "cluster-ips-check");
		dest_addr(r, f, 0);
		match_cidr(r, 0, net, false);
		verdict(r, NF_DROP, NULL);
	}
	jump(out, "filter-input", "no-endpoints", true);
	jump(out, "filter-forward", "no-endpoints", true);
	jump(out, "filter-forward", "cluster-ips-check", true);
	jump(out, "filter-output", "no-endpoints", true);
	jump(out, "filter-output", "cluster-ips-check", true);
}

static void firewall_rules(enum family f, rule_list *out)
{
	unsigned w = addr_words(f);
	struct rule *r = begin(out, "firewall-check");
	frontend(r, f, 0);
	lookup(r, SET_FIREWALL_IPS, 0, REG_NONE);
	source_addr(r, f, w + 2);
	lookup(r, SET_FIREWALL_SOURCES, 0, REG_NONE)->inverted = true;
	verdict(r, NF_DROP, NULL);
	jump(out, "firewall-prerouting", "firewall-check", true);
	jump(out, "firewall-output", "firewall-check", true);
}

void layout_rules(enum family f, const struct layout_config *c, rule_list *out)
{
	services_rules(f, c, out);
	postrouting_rules(f, c, out);
	remember_rules(f, out);
	reject_rules(f, c, out);
	firewall_rules(f, out);
}

/* --- chains of shapes --- */

static void dnat(struct rule *r, enum family f)
{
	struct regs regs = regs_of(f);
	add(r, INSN_DNAT, regs.endpoint)->dreg = (uint8_t)regs.endpoint_port;
}

static void sticky_rule(enum family f, const char *chain, rule_list *out)
{
	struct regs regs = regs_of(f);
	struct rule *r = begin(out, chain);
	source_addr(r, f, regs.client);
	frontend(r, f, regs.frontend);
	lookup(r, SET_AFFINITY, regs.client, regs.endpoint);
	dnat(r, f);
}

static void pick_rule(enum family f, const struct shape *s, const char *chain, rule_list *out)
{
	struct regs regs = regs_of(f);
	struct rule *r = begin(out, chain);
	bool on_node = s->source == SOURCE_NODE_PORT;
	unsigned key = on_node ? regs.frontend + addr_words(f) : regs.frontend;
	if (on_node)
		node_port(r, key);
	else
		frontend(r, f, key);
	struct insn *i = add(r, INSN_NUMGEN, regs.endpoint);
	i->value = s->n;
	i->offset = s->local ? LOCAL_BACKENDS : 0;
	lookup(r, on_node ? SET_NODE_PORT_BACKENDS : SET_BACKENDS, key, regs.endpoint);
	dnat(r, f);
}

static void remember_rule(enum family f, const struct shape *s, const char *chain, rule_list *out)
{
	struct regs regs = regs_of(f);
	struct rule *r = begin(out, chain);
	source_addr(r, f, regs.client);
	original_frontend(r, f, regs.frontend, true);
	dest_addr(r, f, regs.endpoint);
	payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, regs.endpoint_port);
	struct insn *i = add(r, INSN_UPDATE, regs.client);
	i->set = SET_AFFINITY;
	i->dreg = (uint8_t)regs.endpoint;
	i->value = (uint64_t)s->affinity_s * 1000;
}

static void masquerade_rule(enum family f, const struct layout_config *c, const struct shape *s,
                            const char *chain, rule_list *out)
{
	bool outside_only = s->source == SOURCE_CLUSTER && !c->masquerade_all;
	if (s->policy || s->short_cut || (outside_only && !knows_pods(c, f)))
		return;
	struct rule *r = begin(out, chain);
	if (outside_only)
		match_pods(r, f, c, true);
	set_masquerade_mark(r, c);
}

/* Traffic of pods and of this host is not external: it reaches all endpoints. */
static void short_cut_rules(enum family f, const struct layout_config *c, const struct shape *s,
                            const char *chain, rule_list *out)
{
	char to[CHAIN_NAME_BYTES];
	struct shape far = shape_short_cut(s);
	if (!s->policy || !s->n_far)
		return;
	shape_name(&far, to);
	if (knows_pods(c, f)) {
		struct rule *r = begin(out, chain);
		match_pods(r, f, c, false);
		verdict(r, NFT_GOTO, to);
	}
	struct rule *r = begin(out, chain);
	add(r, INSN_FIB_LOCAL, 0)->op = NFTA_FIB_F_SADDR;
	set_masquerade_mark(r, c);
	verdict(r, NFT_GOTO, to);
}

void shape_rules(enum family f, const struct layout_config *c, const struct shape *s,
                 rule_list *out)
{
	char chain[CHAIN_NAME_BYTES];
	shape_name(s, chain);
	if (s->source == SOURCE_RECORD) {
		remember_rule(f, s, chain, out);
		return;
	}
	masquerade_rule(f, c, s, chain, out);
	short_cut_rules(f, c, s, chain, out);
	if (!s->n)
		return;
	if (s->affinity_s)
		sticky_rule(f, chain, out);
	pick_rule(f, s, chain, out);
}
