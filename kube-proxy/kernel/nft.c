/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/kernel/nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/expr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <time.h>
#include "kube-proxy/kernel/batch.h"

#define TABLE "kube-proxy"

/* Numbers by which nft(8) knows the types of set keys, six bits a part. The kernel only stores
 * them; they let `nft list` show the table. An index is shown as a mark: a number of 32 bits. */
enum { TYPE_IPV4 = 7, TYPE_PROTO = 12, TYPE_SERVICE = 13, TYPE_MARK = 19 };
#define TYPE2(a, b) ((uint32_t)(a) << 6 | (b))
#define TYPE3(a, b, c) (TYPE2(a, b) << 6 | (c))
#define TYPE4(a, b, c, d) (TYPE3(a, b, c) << 6 | (d))

/* 32-bit registers: a key of up to four words, then the value of the backends map. */
enum { KEY0 = NFT_REG32_00, KEY1, KEY2, KEY3, VALUE_IP, VALUE_PORT };

enum set_id { SERVICE_IPS = 1, NODE_PORTS, BACKENDS, HAIRPIN, REJECT_SERVICES, REJECT_NODE_PORTS };

static const struct set_info {
	const char *name;
	uint32_t key_type, key_bytes, flags, data_type, data_bytes;
} sets[] = {
    [SERVICE_IPS] = {"service-ips", TYPE3(TYPE_IPV4, TYPE_PROTO, TYPE_SERVICE), 12, NFT_SET_MAP,
                     NFT_DATA_VERDICT, 0},
    [NODE_PORTS] = {"service-nodeports", TYPE2(TYPE_PROTO, TYPE_SERVICE), 8, NFT_SET_MAP,
                    NFT_DATA_VERDICT, 0},
    [BACKENDS] = {"backends", TYPE4(TYPE_IPV4, TYPE_PROTO, TYPE_SERVICE, TYPE_MARK), 16,
                  NFT_SET_MAP, TYPE2(TYPE_IPV4, TYPE_SERVICE), 8},
    [HAIRPIN] = {"hairpin-connections", TYPE2(TYPE_IPV4, TYPE_IPV4), 8, 0, 0, 0},
    [REJECT_SERVICES] = {"no-endpoint-services", TYPE3(TYPE_IPV4, TYPE_PROTO, TYPE_SERVICE), 12, 0,
                         0, 0},
    [REJECT_NODE_PORTS] = {"no-endpoint-nodeports", TYPE2(TYPE_PROTO, TYPE_SERVICE), 8, 0, 0, 0},
};

static const char *const kind_names[FRONTEND_KINDS] = {
    [FRONTEND_CLUSTER] = "cluster",
    [FRONTEND_EXTERNAL] = "external",
    [FRONTEND_EXTERNAL_LOCAL] = "external-local",
    [FRONTEND_NODE_PORT] = "nodeport",
    [FRONTEND_NODE_PORT_LOCAL] = "nodeport-local",
};

struct nft {
	struct nft_config config;
	struct mnl_socket *sock;
	uint32_t seq;
};

int nft_open(const struct nft_config *config, struct nft **ret, struct err *err)
{
	struct nft *n = calloc(1, sizeof(*n));
	if (!n)
		abort();
	n->config = *config;
	n->seq = (uint32_t)time(NULL);
	n->sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!n->sock || mnl_socket_bind(n->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		int r = err_set(err, ERR_IO, "netlink: %s", strerror(errno));
		nft_close(n);
		return r;
	}
	*ret = n;
	return 0;
}

void nft_close(struct nft *n)
{
	if (!n)
		return;
	if (n->sock)
		mnl_socket_close(n->sock);
	free(n);
}

/* Expressions */

static void add(struct nftnl_rule *r, struct nftnl_expr *e)
{
	nftnl_rule_add_expr(r, e);
}

static struct nftnl_expr *expr(const char *name)
{
	struct nftnl_expr *e = nftnl_expr_alloc(name);
	if (!e)
		abort();
	return e;
}

static void load_payload(struct nftnl_rule *r, uint32_t base, uint32_t offset, uint32_t len,
                         uint32_t reg)
{
	struct nftnl_expr *e = expr("payload");
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, len);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, reg);
	add(r, e);
}

static void load_saddr(struct nftnl_rule *r, uint32_t reg)
{
	load_payload(r, NFT_PAYLOAD_NETWORK_HEADER, 12, 4, reg);
}

static void load_daddr(struct nftnl_rule *r, uint32_t reg)
{
	load_payload(r, NFT_PAYLOAD_NETWORK_HEADER, 16, 4, reg);
}

static void load_meta(struct nftnl_rule *r, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *e = expr("meta");
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, reg);
	add(r, e);
}

static void load_ct(struct nftnl_rule *r, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *e = expr("ct");
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, reg);
	add(r, e);
}

/* protocol and destination port, the tail of every frontend's key */
static void load_proto_port(struct nftnl_rule *r, uint32_t reg)
{
	load_meta(r, NFT_META_L4PROTO, reg);
	load_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, reg + 1);
}

static void load_immediate(struct nftnl_rule *r, uint32_t reg, uint32_t value)
{
	struct nftnl_expr *e = expr("immediate");
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, reg);
	nftnl_expr_set(e, NFTNL_EXPR_IMM_DATA, &value, sizeof(value));
	add(r, e);
}

static void bitwise(struct nftnl_rule *r, uint32_t reg, uint32_t mask, uint32_t xor)
{
	struct nftnl_expr *e = expr("bitwise");
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, 4);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, &mask, 4);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, &xor, 4);
	add(r, e);
}

static void compare(struct nftnl_rule *r, uint32_t reg, uint32_t op, uint32_t value)
{
	struct nftnl_expr *e = expr("cmp");
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
	nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, &value, sizeof(value));
	add(r, e);
}

/* dreg NFT_REG_VERDICT with a verdict map jumps; dreg 0 and a plain set only match. */
static void lookup(struct nftnl_rule *r, enum set_id set, bool has_dreg, uint32_t dreg)
{
	struct nftnl_expr *e = expr("lookup");
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, KEY0);
	if (has_dreg)
		nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_DREG, dreg);
	nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, sets[set].name);
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SET_ID, set);
	add(r, e);
}

static void verdict(struct nftnl_rule *r, int code, const char *chain)
{
	struct nftnl_expr *e = expr("immediate");
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)code);
	if (chain)
		nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain);
	add(r, e);
}

static void match_local_destination(struct nftnl_rule *r)
{
	struct nftnl_expr *e = expr("fib");
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, KEY0);
	add(r, e);
	compare(r, KEY0, NFT_CMP_EQ, RTN_LOCAL);
	/* A packet to the loopback network cannot leave this machine as what DNAT makes of it. */
	load_daddr(r, KEY0);
	bitwise(r, KEY0, htonl(0xff000000), 0);
	compare(r, KEY0, NFT_CMP_NEQ, htonl(0x7f000000));
}

static void set_mark(struct nftnl_rule *r, uint32_t mask, uint32_t xor)
{
	load_meta(r, NFT_META_MARK, KEY0);
	bitwise(r, KEY0, mask, xor);
	struct nftnl_expr *e = expr("meta");
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, NFT_META_MARK);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_SREG, KEY0);
	add(r, e);
}

static void masquerade(struct nftnl_rule *r)
{
	struct nftnl_expr *e = expr("masq");
	nftnl_expr_set_u32(e, NFTNL_EXPR_MASQ_FLAGS, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
	add(r, e);
}

/* Rules and chains */

static struct nftnl_rule *rule_new(const char *chain)
{
	struct nftnl_rule *r = nftnl_rule_alloc();
	if (!r)
		abort();
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, NFPROTO_IPV4);
	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, TABLE);
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, chain);
	return r;
}

static void rule_done(struct batch *b, struct nftnl_rule *r)
{
	batch_rule(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, r);
	nftnl_rule_free(r);
}

static struct nftnl_chain *chain_new(const char *name)
{
	struct nftnl_chain *c = nftnl_chain_alloc();
	if (!c)
		abort();
	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, TABLE);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, name);
	return c;
}

static void plain_chain(struct batch *b, uint16_t type, const char *name)
{
	struct nftnl_chain *c = chain_new(name);
	batch_chain(b, type, type == NFT_MSG_NEWCHAIN ? NLM_F_CREATE : 0, c);
	nftnl_chain_free(c);
}

static void base_chain(struct batch *b, const char *name, const char *type, uint32_t hook,
                       int priority)
{
	struct nftnl_chain *c = chain_new(name);
	nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, type);
	nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, hook);
	nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, priority);
	nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	batch_chain(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE, c);
	nftnl_chain_free(c);
}

static void add_set(struct batch *b, enum set_id id)
{
	const struct set_info *info = &sets[id];
	struct nftnl_set *s = nftnl_set_alloc();
	if (!s)
		abort();
	nftnl_set_set_str(s, NFTNL_SET_TABLE, TABLE);
	nftnl_set_set_str(s, NFTNL_SET_NAME, info->name);
	nftnl_set_set_u32(s, NFTNL_SET_ID, id);
	nftnl_set_set_u32(s, NFTNL_SET_FAMILY, NFPROTO_IPV4);
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, info->flags);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, info->key_type);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, info->key_bytes);
	if (info->flags & NFT_SET_MAP) {
		nftnl_set_set_u32(s, NFTNL_SET_DATA_TYPE, info->data_type);
		nftnl_set_set_u32(s, NFTNL_SET_DATA_LEN, info->data_bytes);
	}
	batch_set(b, s);
	nftnl_set_free(s);
}

static void table_message(struct batch *b, uint16_t type, uint16_t flags)
{
	struct nftnl_table *t = nftnl_table_alloc();
	if (!t)
		abort();
	nftnl_table_set_str(t, NFTNL_TABLE_NAME, TABLE);
	batch_table(b, type, flags, t);
	nftnl_table_free(t);
}

static void goto_services(struct batch *b, const char *chain)
{
	struct nftnl_rule *r = rule_new(chain);
	verdict(r, NFT_JUMP, "services");
	rule_done(b, r);
}

static void services_chain(struct batch *b)
{
	plain_chain(b, NFT_MSG_NEWCHAIN, "services");
	struct nftnl_rule *r = rule_new("services");
	load_daddr(r, KEY0);
	load_proto_port(r, KEY1);
	lookup(r, SERVICE_IPS, true, NFT_REG_VERDICT);
	rule_done(b, r);
	r = rule_new("services");
	match_local_destination(r);
	load_proto_port(r, KEY0);
	lookup(r, NODE_PORTS, true, NFT_REG_VERDICT);
	rule_done(b, r);
	base_chain(b, "nat-prerouting", "nat", NF_INET_PRE_ROUTING, -100);
	base_chain(b, "nat-output", "nat", NF_INET_LOCAL_OUT, -100);
	goto_services(b, "nat-prerouting");
	goto_services(b, "nat-output");
}

static void postrouting_chain(const struct nft *n, struct batch *b)
{
	uint32_t bit = 1u << n->config.masquerade_bit;
	base_chain(b, "nat-postrouting", "nat", NF_INET_POST_ROUTING, 100);
	struct nftnl_rule *r = rule_new("nat-postrouting");
	/* Only what a service sent back to its source: two programs of one host are no hairpin. */
	load_ct(r, NFT_CT_STATUS, KEY0);
	bitwise(r, KEY0, IPS_DST_NAT, 0);
	compare(r, KEY0, NFT_CMP_NEQ, 0);
	load_saddr(r, KEY0);
	load_daddr(r, KEY1);
	lookup(r, HAIRPIN, false, 0);
	masquerade(r);
	rule_done(b, r);
	r = rule_new("nat-postrouting");
	load_meta(r, NFT_META_MARK, KEY0);
	bitwise(r, KEY0, bit, 0);
	compare(r, KEY0, NFT_CMP_NEQ, 0);
	set_mark(r, ~bit, 0);
	masquerade(r);
	rule_done(b, r);
}

static void reject(struct nftnl_rule *r)
{
	struct nftnl_expr *e = expr("reject");
	nftnl_expr_set_u32(e, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMP_UNREACH);
	nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, 3 /* port unreachable */);
	add(r, e);
}

static void reject_chains(struct batch *b)
{
	plain_chain(b, NFT_MSG_NEWCHAIN, "no-endpoints");
	struct nftnl_rule *r = rule_new("no-endpoints");
	load_daddr(r, KEY0);
	load_proto_port(r, KEY1);
	lookup(r, REJECT_SERVICES, false, 0);
	reject(r);
	rule_done(b, r);
	r = rule_new("no-endpoints");
	match_local_destination(r);
	load_proto_port(r, KEY0);
	lookup(r, REJECT_NODE_PORTS, false, 0);
	reject(r);
	rule_done(b, r);
	static const struct {
		const char *name;
		uint32_t hook;
	} hooks[] = {{"filter-input", NF_INET_LOCAL_IN},
	             {"filter-forward", NF_INET_FORWARD},
	             {"filter-output", NF_INET_LOCAL_OUT}};
	for (size_t i = 0; i < ARRAY_LEN(hooks); i++) {
		base_chain(b, hooks[i].name, "filter", hooks[i].hook, 0);
		r = rule_new(hooks[i].name);
		load_ct(r, NFT_CT_STATE, KEY0);
		bitwise(r, KEY0, 8 /* new */, 0);
		compare(r, KEY0, NFT_CMP_NEQ, 0);
		verdict(r, NFT_JUMP, "no-endpoints");
		rule_done(b, r);
	}
}

static void whole_table(const struct nft *n, struct batch *b)
{
	table_message(b, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	table_message(b, NFT_MSG_DELTABLE, 0);
	table_message(b, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	for (enum set_id id = SERVICE_IPS; id < ARRAY_LEN(sets); id++)
		add_set(b, id);
	services_chain(b);
	postrouting_chain(n, b);
	reject_chains(b);
}

/* The chain that balances over `count` endpoints */

enum { CHAIN_NAME_BYTES = 40 };

static const char *chain_name(const struct proxy_op *op, char out[CHAIN_NAME_BYTES])
{
	snprintf(out, CHAIN_NAME_BYTES, "%s-%u", kind_names[op->kind], op->count);
	return out;
}

static void mark_rule(const struct nft *n, struct batch *b, const char *chain,
                      enum frontend_kind kind)
{
	const struct nft_config *c = &n->config;
	bool outside_only = kind == FRONTEND_CLUSTER && !c->masquerade_all;
	if (kind == FRONTEND_EXTERNAL_LOCAL || kind == FRONTEND_NODE_PORT_LOCAL ||
	    (outside_only && !c->cluster_prefix_bits))
		return;
	struct nftnl_rule *r = rule_new(chain);
	if (outside_only) {
		uint32_t mask = htonl(UINT32_MAX << (32 - c->cluster_prefix_bits));
		load_saddr(r, KEY0);
		bitwise(r, KEY0, mask, 0);
		compare(r, KEY0, NFT_CMP_NEQ, c->cluster_ip & mask);
	}
	uint32_t bit = 1u << c->masquerade_bit;
	set_mark(r, ~bit, bit);
	rule_done(b, r);
}

static void balance_chain(const struct nft *n, struct batch *b, const struct proxy_op *op)
{
	char name[CHAIN_NAME_BYTES];
	plain_chain(b, NFT_MSG_NEWCHAIN, chain_name(op, name));
	mark_rule(n, b, name, op->kind);
	struct nftnl_rule *r = rule_new(name);
	if (frontend_is_node_port(op->kind))
		load_immediate(r, KEY0, 0);
	else
		load_daddr(r, KEY0);
	load_proto_port(r, KEY1);
	struct nftnl_expr *e = expr("numgen");
	nftnl_expr_set_u32(e, NFTNL_EXPR_NG_DREG, KEY3);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NG_MODULUS, op->count);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NG_TYPE, NFT_NG_RANDOM);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NG_OFFSET, 0);
	add(r, e);
	lookup(r, BACKENDS, true, VALUE_IP);
	e = expr("nat");
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FAMILY, NFPROTO_IPV4);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MIN, VALUE_IP);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_PROTO_MIN, VALUE_PORT);
	add(r, e);
	rule_done(b, r);
}

/* Elements. Runs of ops on the same set and of the same direction share messages. */

enum { ELEMENTS_PER_MESSAGE = 256 };

struct element_run {
	struct nftnl_set *set;
	enum set_id id;
	bool add;
	unsigned n;
};

static void run_flush(struct element_run *run, struct batch *b)
{
	if (!run->set)
		return;
	batch_elements(b, run->add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM,
	               run->add ? NLM_F_CREATE | NLM_F_EXCL : 0, run->set);
	nftnl_set_free(run->set);
	*run = (struct element_run){0};
}

static struct nftnl_set_elem *run_element(struct element_run *run, struct batch *b, enum set_id id,
                                          bool adding)
{
	if (run->set && (run->id != id || run->add != adding || run->n == ELEMENTS_PER_MESSAGE))
		run_flush(run, b);
	if (!run->set) {
		*run = (struct element_run){.set = nftnl_set_alloc(), .id = id, .add = adding};
		if (!run->set)
			abort();
		nftnl_set_set_str(run->set, NFTNL_SET_TABLE, TABLE);
		nftnl_set_set_str(run->set, NFTNL_SET_NAME, sets[id].name);
		nftnl_set_set_u32(run->set, NFTNL_SET_FAMILY, NFPROTO_IPV4);
	}
	struct nftnl_set_elem *e = nftnl_set_elem_alloc();
	if (!e)
		abort();
	nftnl_set_elem_add(run->set, e);
	run->n++;
	return e;
}

struct words {
	uint32_t at[4];
	uint32_t n;
};

/* Parts narrower than a word stand at its start, as the kernel's loads leave them. */
static void word_proto_port(struct words *w, const struct frontend_key *key)
{
	uint16_t port = htons(key->port);
	memcpy(&w->at[w->n++], &(uint32_t){0}, 4);
	memcpy(&w->at[w->n - 1], &key->protocol, 1);
	memcpy(&w->at[w->n++], &(uint32_t){0}, 4);
	memcpy(&w->at[w->n - 1], &port, 2);
}

static struct words frontend_words(const struct frontend_key *key, bool with_ip)
{
	struct words w = {0};
	if (with_ip)
		w.at[w.n++] = key->ip;
	word_proto_port(&w, key);
	return w;
}

static void set_key(struct nftnl_set_elem *e, const struct words *w)
{
	nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, w->at, w->n * 4);
}

static void frontend_op(struct element_run *run, struct batch *b, const struct proxy_op *op)
{
	bool adding = op->op == OP_FRONTEND_ADD, node_port = frontend_is_node_port(op->kind);
	enum set_id id = op->count ? (node_port ? NODE_PORTS : SERVICE_IPS)
	                           : (node_port ? REJECT_NODE_PORTS : REJECT_SERVICES);
	struct words key = frontend_words(&op->key, !node_port);
	struct nftnl_set_elem *e = run_element(run, b, id, adding);
	set_key(e, &key);
	if (!op->count || !adding)
		return;
	char name[CHAIN_NAME_BYTES];
	nftnl_set_elem_set_u32(e, NFTNL_SET_ELEM_VERDICT, (uint32_t)NFT_GOTO);
	nftnl_set_elem_set_str(e, NFTNL_SET_ELEM_CHAIN, chain_name(op, name));
}

static void backend_op(struct element_run *run, struct batch *b, const struct proxy_op *op)
{
	struct words key = frontend_words(&op->key, true), value = {.n = 2};
	key.at[key.n++] = op->index;
	struct nftnl_set_elem *e = run_element(run, b, BACKENDS, op->op == OP_BACKEND_ADD);
	set_key(e, &key);
	if (op->op != OP_BACKEND_ADD)
		return;
	uint16_t port = htons(op->backend.port);
	value.at[0] = op->backend.ip;
	memcpy(&value.at[1], &port, 2);
	nftnl_set_elem_set(e, NFTNL_SET_ELEM_DATA, value.at, 8);
}

static void hairpin_op(struct element_run *run, struct batch *b, const struct proxy_op *op)
{
	struct words key = {.at = {op->backend.ip, op->backend.ip}, .n = 2};
	set_key(run_element(run, b, HAIRPIN, op->op == OP_HAIRPIN_ADD), &key);
}

static void chain_op(const struct nft *n, struct batch *b, const struct proxy_op *op)
{
	char name[CHAIN_NAME_BYTES];
	if (op->op == OP_CHAIN_ADD) {
		balance_chain(n, b, op);
		return;
	}
	/* A chain goes when its rules have gone. */
	struct nftnl_rule *r = rule_new(chain_name(op, name));
	batch_rule(b, NFT_MSG_DELRULE, 0, r);
	nftnl_rule_free(r);
	plain_chain(b, NFT_MSG_DELCHAIN, name);
}

static void add_ops(const struct nft *n, struct batch *b, const struct proxy_ops *ops)
{
	struct element_run run = {0};
	VEC_FOREACH (&ops->list, op) {
		switch (op->op) {
		case OP_CHAIN_ADD:
		case OP_CHAIN_DEL:
			run_flush(&run, b);
			chain_op(n, b, op);
			break;
		case OP_FRONTEND_ADD:
		case OP_FRONTEND_DEL:
			frontend_op(&run, b, op);
			break;
		case OP_BACKEND_ADD:
		case OP_BACKEND_DEL:
			backend_op(&run, b, op);
			break;
		case OP_HAIRPIN_ADD:
		case OP_HAIRPIN_DEL:
			hairpin_op(&run, b, op);
			break;
		}
	}
	run_flush(&run, b);
}

int nft_apply(struct nft *n, const struct proxy_ops *ops, bool full, struct err *err)
{
	if (!full && !ops->list.n)
		return 0;
	struct batch b;
	batch_begin(&b, n->seq);
	if (full)
		whole_table(n, &b);
	add_ops(n, &b, ops);
	int r = batch_send(&b, n->sock, err);
	n->seq = b.seq;
	batch_deinit(&b);
	return r;
}

int nft_cleanup(struct nft *n, struct err *err)
{
	struct batch b;
	batch_begin(&b, n->seq);
	table_message(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	table_message(&b, NFT_MSG_DELTABLE, 0);
	int r = batch_send(&b, n->sock, err);
	n->seq = b.seq;
	batch_deinit(&b);
	return r;
}
