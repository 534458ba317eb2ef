/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/kernel/encode.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

/* Numbers by which nft(8) knows the types of set keys, six bits a part. The kernel only stores
 * them; they let `nft list` show the table. */
enum { TYPE_IPV4 = 7, TYPE_IPV6 = 8, TYPE_PROTOCOL = 12, TYPE_SERVICE = 13, TYPE_MARK = 19 };

/* Clients that affinity remembers at most; what comes beyond is served without. */
enum { AFFINITY_CLIENTS_MAX = 1 << 20 };

uint8_t family_number(enum family f)
{
	return f == FAMILY_IPV4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
}

void transaction_begin(struct transaction *t, enum family f, uint32_t seq)
{
	*t = (struct transaction){.family = family_number(f), .first = seq, .next = seq};
	nl_end(&t->bytes, nl_begin(&t->bytes, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC,
	                           NFNL_SUBSYS_NFTABLES, t->next++));
}

void transaction_end(struct transaction *t)
{
	struct nlmsghdr h;
	memcpy(&h, t->bytes.data + t->last, sizeof(h));
	h.nlmsg_flags |= NLM_F_ACK;
	memcpy(t->bytes.data + t->last, &h, sizeof(h));
	nl_end(&t->bytes, nl_begin(&t->bytes, NFNL_MSG_BATCH_END, 0, AF_UNSPEC,
	                           NFNL_SUBSYS_NFTABLES, t->next++));
}

void transaction_deinit(struct transaction *t)
{
	buf_deinit(&t->bytes);
}

int transaction_commit(struct transaction *t, struct netlink *nl, struct err *err)
{
	transaction_end(t);
	uint32_t last = t->next - 2; /* before the end of the batch, which is not acknowledged */
	nl->seq = t->next;
	int r = netlink_send(nl, buf_view(&t->bytes), err);
	transaction_deinit(t);
	return r ? r : netlink_wait(nl, t->first, last, NULL, NULL, "nf_tables", err);
}

static size_t begin(struct transaction *t, uint16_t message, uint16_t flags)
{
	t->last = nl_begin(&t->bytes, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | message), flags,
	                   t->family, 0, t->next++);
	return t->last;
}

static enum family family_of(const struct transaction *t)
{
	return t->family == NFPROTO_IPV4 ? FAMILY_IPV4 : FAMILY_IPV6;
}

/* --- table and chains --- */

static void put_table(struct transaction *t, uint16_t message, uint16_t flags)
{
	size_t m = begin(t, message, flags);
	nl_str(&t->bytes, NFTA_TABLE_NAME, TABLE_NAME);
	nl_end(&t->bytes, m);
}

/* Deleting fails for a table that is not there: make it first. */
void encode_delete_table(struct transaction *t)
{
	put_table(t, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	put_table(t, NFT_MSG_DELTABLE, 0);
}

static void put_chain(struct transaction *t, uint16_t message, const char *name,
                      const struct base_chain *base)
{
	struct buf *b = &t->bytes;
	size_t m = begin(t, message, message == NFT_MSG_NEWCHAIN ? NLM_F_CREATE : 0);
	nl_str(b, NFTA_CHAIN_TABLE, TABLE_NAME);
	nl_str(b, NFTA_CHAIN_NAME, name);
	if (base) {
		size_t hook = nl_nest(b, NFTA_CHAIN_HOOK);
		nl_be32(b, NFTA_HOOK_HOOKNUM, base->hook);
		nl_be32(b, NFTA_HOOK_PRIORITY, (uint32_t)base->priority);
		nl_nest_end(b, hook);
		nl_be32(b, NFTA_CHAIN_POLICY, NF_ACCEPT);
		nl_str(b, NFTA_CHAIN_TYPE, base->type);
	}
	nl_end(b, m);
}

static void put_rules(struct transaction *t, const rule_list *rules)
{
	VEC_FOREACH (rules, r) {
		size_t m = begin(t, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
		nl_str(&t->bytes, NFTA_RULE_TABLE, TABLE_NAME);
		nl_str(&t->bytes, NFTA_RULE_CHAIN, r->chain);
		encode_expressions(&t->bytes, family_of(t), r);
		nl_end(&t->bytes, m);
	}
}

static void put_shape(struct transaction *t, const struct layout_config *c, const struct shape *s)
{
	rule_list rules = {0};
	shape_rules(family_of(t), c, s, &rules);
	put_rules(t, &rules);
	vec_deinit(&rules);
}

/* A chain goes when its rules have gone. */
static void delete_shape(struct transaction *t, const struct shape *s, bool rules)
{
	char name[CHAIN_NAME_BYTES];
	shape_name(s, name);
	if (!rules) {
		put_chain(t, NFT_MSG_DELCHAIN, name, NULL);
		return;
	}
	size_t m = begin(t, NFT_MSG_DELRULE, 0);
	nl_str(&t->bytes, NFTA_RULE_TABLE, TABLE_NAME);
	nl_str(&t->bytes, NFTA_RULE_CHAIN, name);
	nl_end(&t->bytes, m);
}

/* --- sets --- */

static uint32_t type_of(enum family f, const uint8_t *parts)
{
	static const uint8_t types[] = {
	    [PART_PROTOCOL] = TYPE_PROTOCOL, [PART_PORT] = TYPE_SERVICE, [PART_NUMBER] = TYPE_MARK};
	uint32_t type = 0;
	for (; *parts; parts++) {
		uint32_t addr = f == FAMILY_IPV4 ? TYPE_IPV4 : TYPE_IPV6;
		type = type << 6 | (*parts == PART_ADDR ? addr : types[*parts]);
	}
	return type;
}

static uint32_t set_flags(const struct set_info *info)
{
	uint32_t flags = info->value == VALUE_NONE ? 0 : NFT_SET_MAP;
	if (info->dynamic)
		flags |= NFT_SET_TIMEOUT | NFT_SET_EVAL;
	if (info->interval)
		flags |= NFT_SET_INTERVAL | NFT_SET_CONCAT;
	return flags;
}

/* A concatenation with ranges needs the length of each of its parts. */
static void put_set_fields(struct buf *b, enum family f, const struct set_info *info)
{
	static const uint8_t bytes[] = {[PART_PROTOCOL] = 1, [PART_PORT] = 2, [PART_NUMBER] = 4};
	size_t list = nl_nest(b, NFTA_SET_DESC_CONCAT);
	for (const uint8_t *p = info->key; *p; p++) {
		size_t field = nl_nest(b, NFTA_LIST_ELEM);
		nl_be32(b, NFTA_SET_FIELD_LEN, *p == PART_ADDR ? addr_bytes(f) : bytes[*p]);
		nl_nest_end(b, field);
	}
	nl_nest_end(b, list);
}

static void put_set(struct transaction *t, enum set_id id)
{
	const struct set_info *info = &set_infos[id];
	enum family f = family_of(t);
	struct buf *b = &t->bytes;
	size_t m = begin(t, NFT_MSG_NEWSET, NLM_F_CREATE);
	nl_str(b, NFTA_SET_TABLE, TABLE_NAME);
	nl_str(b, NFTA_SET_NAME, info->name);
	nl_be32(b, NFTA_SET_FLAGS, set_flags(info));
	nl_be32(b, NFTA_SET_KEY_TYPE, type_of(f, info->key));
	nl_be32(b, NFTA_SET_KEY_LEN, parts_words(f, info->key) * 4);
	nl_be32(b, NFTA_SET_ID, id);
	if (info->value == VALUE_VERDICT) {
		nl_be32(b, NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT);
	} else if (info->value == VALUE_DATA) {
		nl_be32(b, NFTA_SET_DATA_TYPE, type_of(f, info->data));
		nl_be32(b, NFTA_SET_DATA_LEN, parts_words(f, info->data) * 4);
	}
	if (info->dynamic || info->interval) {
		size_t desc = nl_nest(b, NFTA_SET_DESC);
		if (info->dynamic)
			nl_be32(b, NFTA_SET_DESC_SIZE, AFFINITY_CLIENTS_MAX);
		if (info->interval)
			put_set_fields(b, f, info);
		nl_nest_end(b, desc);
	}
	nl_end(b, m);
}

/* --- elements --- */

static void put_words(struct buf *b, uint16_t type, const uint32_t *w, unsigned n)
{
	size_t nest = nl_nest(b, type);
	nl_bytes(b, NFTA_DATA_VALUE, w, n * 4);
	nl_nest_end(b, nest);
}

static void put_verdict_data(struct buf *b, const struct element *e)
{
	char chain[CHAIN_NAME_BYTES] = "reject-chain";
	size_t nest = nl_nest(b, NFTA_SET_ELEM_DATA), inner = nl_nest(b, NFTA_DATA_VERDICT);
	bool drop = e->verdict == VERDICT_DROP;
	nl_be32(b, NFTA_VERDICT_CODE, drop ? NF_DROP : (uint32_t)NFT_GOTO);
	if (e->verdict == VERDICT_GOTO)
		shape_name(&e->shape, chain);
	if (!drop)
		nl_str(b, NFTA_VERDICT_CHAIN, chain);
	nl_nest_end(b, inner);
	nl_nest_end(b, nest);
}

static void put_element(struct buf *b, enum family f, const struct element *e, bool with_value)
{
	const struct set_info *info = &set_infos[e->set];
	unsigned words = element_key_words(f, e->set);
	size_t nest = nl_nest(b, NFTA_LIST_ELEM);
	put_words(b, NFTA_SET_ELEM_KEY, e->key, words);
	if (info->interval) {
		uint32_t end[KEY_WORDS_MAX];
		unsigned last = words - addr_words(f);
		memcpy(end, e->key, sizeof(end));
		memcpy(end + last, e->value, addr_words(f) * 4);
		put_words(b, NFTA_SET_ELEM_KEY_END, end, words);
	}
	if (with_value && info->value == VALUE_VERDICT)
		put_verdict_data(b, e);
	else if (with_value && info->value == VALUE_DATA)
		put_words(b, NFTA_SET_ELEM_DATA, e->value, parts_words(f, info->data));
	nl_nest_end(b, nest);
}

static int by_set(const void *a, const void *b)
{
	const struct element *x = *(const struct element *const *)a;
	const struct element *y = *(const struct element *const *)b;
	return x->set != y->set ? (int)x->set - (int)y->set : (x > y) - (x < y);
}

/* Elements of one set share messages, as many as their list has room for. */
static void put_elements(struct transaction *t, const element_list *l, bool adding)
{
	struct buf *b = &t->bytes;
	VEC(const struct element *) order = {0};
	vec_reserve(&order, l->n);
	VEC_FOREACH (l, e)
		order.at[order.n++] = e;
	if (order.n)
		qsort(order.at, order.n, sizeof(*order.at), by_set);
	for (size_t i = 0; i < order.n;) {
		enum set_id set = order.at[i]->set;
		size_t m = begin(t, adding ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM,
		                 adding ? NLM_F_CREATE | NLM_F_EXCL : 0);
		nl_str(b, NFTA_SET_ELEM_LIST_TABLE, TABLE_NAME);
		nl_str(b, NFTA_SET_ELEM_LIST_SET, set_infos[set].name);
		size_t list = nl_nest(b, NFTA_SET_ELEM_LIST_ELEMENTS);
		for (; i < order.n && order.at[i]->set == set && b->len - list < NL_NEST_MAX; i++)
			put_element(b, family_of(t), order.at[i], adding);
		nl_nest_end(b, list);
		nl_end(b, m);
	}
	vec_deinit(&order);
}

void encode_affinity(struct transaction *t, const affinity_list *l)
{
	struct buf *b = &t->bytes;
	for (size_t i = 0; i < l->n;) {
		size_t m = begin(t, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
		nl_str(b, NFTA_SET_ELEM_LIST_TABLE, TABLE_NAME);
		nl_str(b, NFTA_SET_ELEM_LIST_SET, set_infos[SET_AFFINITY].name);
		size_t list = nl_nest(b, NFTA_SET_ELEM_LIST_ELEMENTS);
		for (; i < l->n && b->len - list < NL_NEST_MAX; i++) {
			const struct affinity_entry *e = &l->at[i];
			size_t nest = nl_nest(b, NFTA_LIST_ELEM);
			put_words(b, NFTA_SET_ELEM_KEY, e->element.key,
			          element_key_words(family_of(t), SET_AFFINITY));
			put_words(b, NFTA_SET_ELEM_DATA, e->element.value,
			          element_value_words(family_of(t), SET_AFFINITY));
			nl_be64(b, NFTA_SET_ELEM_TIMEOUT, e->timeout_ms);
			nl_be64(b, NFTA_SET_ELEM_EXPIRATION, e->expires_ms);
			nl_nest_end(b, nest);
		}
		nl_nest_end(b, list);
		nl_end(b, m);
	}
}

void encode_delete_elements(struct transaction *t, const element_list *l)
{
	put_elements(t, l, false);
}

static void whole_table(struct transaction *t, const struct layout_config *c)
{
	rule_list rules = {0};
	encode_delete_table(t);
	put_table(t, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	for (enum set_id id = 1; id < SETS; id++)
		put_set(t, id);
	for (size_t i = 0; i < BASE_CHAINS; i++)
		put_chain(t, NFT_MSG_NEWCHAIN, base_chains[i].name, &base_chains[i]);
	for (size_t i = 0; i < PLAIN_CHAINS; i++)
		put_chain(t, NFT_MSG_NEWCHAIN, plain_chains[i], NULL);
	layout_rules(family_of(t), c, &rules);
	put_rules(t, &rules);
	vec_deinit(&rules);
}

/* Chains of shapes may go on to each other: all come before the rules of any, and go after them. */
void encode_plan(struct transaction *t, const struct layout_config *c, const struct proxy_plan *p)
{
	char name[CHAIN_NAME_BYTES];
	if (p->replace)
		whole_table(t, c);
	VEC_FOREACH (&p->chains_add, e) {
		shape_name(&e->shape, name);
		put_chain(t, NFT_MSG_NEWCHAIN, name, NULL);
	}
	VEC_FOREACH (&p->chains_add, e)
		put_shape(t, c, &e->shape);
	put_elements(t, &p->dels, false);
	put_elements(t, &p->adds, true);
	for (int rules = 1; rules >= 0; rules--)
		VEC_FOREACH (&p->chains_del, e)
			delete_shape(t, &e->shape, rules);
}
