/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/kernel/affinity.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "kube-proxy/core/endpoints.h"
#include "kube-proxy/kernel/encode.h"

struct forgetter {
	const struct proxy_plan *plan;
	element_list stale;
};

static int cmp(const void *a, const void *b)
{
	return backend_cmp(a, b);
}

static bool names(const struct stale_flows *s, const struct frontend *fe)
{
	return s->sticky && s->frontend.port == fe->port && s->frontend.protocol == fe->protocol &&
	       (s->frontend.node_port || !addr_cmp(&s->frontend.addr, &fe->addr));
}

static bool is_stale(const struct forgetter *f, const struct frontend *fe, const struct backend *b)
{
	VEC_FOREACH (&f->plan->flows, s) {
		if (names(s, fe))
			return !s->n || !bsearch(b, f->plan->flow_endpoints.at + s->first, s->n,
			                         sizeof(*b), cmp);
	}
	return false;
}

static void on_entry(struct forgetter *f, struct slice attrs)
{
	enum family family = f->plan->family;
	struct slice key = nl_find(nl_find(attrs, NFTA_SET_ELEM_KEY), NFTA_DATA_VALUE);
	struct slice value = nl_find(nl_find(attrs, NFTA_SET_ELEM_DATA), NFTA_DATA_VALUE);
	struct element e = {.set = SET_AFFINITY};
	if (key.len != element_key_words(family, SET_AFFINITY) * 4 ||
	    value.len != element_value_words(family, SET_AFFINITY) * 4)
		return;
	memcpy(e.key, key.data, key.len);
	memcpy(e.value, value.data, value.len);
	struct frontend fe = frontend_of_words(family, e.key + addr_words(family), false);
	struct backend b = backend_of_words(family, e.value);
	if (is_stale(f, &fe, &b))
		*vec_push(&f->stale) = e;
}

/* One message of the dump: a list of entries. */
static void on_entries(const struct nlmsghdr *h, void *arg)
{
	struct slice list = nl_find(nl_attrs(h), NFTA_SET_ELEM_LIST_ELEMENTS);
	struct nlattr a;
	while (list.len >= sizeof(a)) {
		memcpy(&a, list.data, sizeof(a));
		if (a.nla_len < sizeof(a) || a.nla_len > list.len)
			break;
		on_entry(arg, slice_of(list.data + sizeof(a), a.nla_len - sizeof(a)));
		list = slice_skip(list, (a.nla_len + 3u) & ~3u);
	}
}

static int dump(struct netlink *nl, struct forgetter *f, struct err *err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	uint32_t seq = nl->seq++;
	size_t m = nl_begin(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM, NLM_F_DUMP,
	                    family_number(f->plan->family), 0, seq);
	nl_str(&b, NFTA_SET_ELEM_LIST_TABLE, TABLE_NAME);
	nl_str(&b, NFTA_SET_ELEM_LIST_SET, set_infos[SET_AFFINITY].name);
	nl_end(&b, m);
	int r = netlink_send(nl, buf_view(&b), err);
	return r ? r : netlink_wait(nl, seq, seq, on_entries, f, "affinity", err);
}

static int delete_entries(struct netlink *nl, enum family f, const element_list *l, struct err *err)
{
	struct transaction t;
	transaction_begin(&t, f, nl->seq);
	encode_delete_elements(&t, l);
	return transaction_commit(&t, nl, err);
}

/* All in one transaction; when one has expired meanwhile, each in its own. */
static int delete_all(struct netlink *nl, enum family f, const element_list *l, size_t *ret_deleted,
                      struct err *err)
{
	int r = l->n ? delete_entries(nl, f, l, err) : 0;
	if (r != -ERR_NOT_FOUND) {
		*ret_deleted = r ? 0 : l->n;
		return r;
	}
	VEC_FOREACH (l, e) {
		r = delete_entries(nl, f, &(element_list){.at = e, .n = 1}, err);
		if (r && r != -ERR_NOT_FOUND)
			return r;
		*ret_deleted += r == 0;
	}
	return 0;
}

int affinity_forget(struct netlink *nl, const struct proxy_plan *p, size_t *ret_deleted,
                    struct err *err)
{
	struct forgetter f = {.plan = p};
	bool sticky = false;
	int r = 0;
	*ret_deleted = 0;
	VEC_FOREACH (&p->flows, s)
		sticky |= s->sticky;
	if (!sticky || p->replace)
		return 0;
	r = dump(nl, &f, err);
	if (!r)
		r = delete_all(nl, p->family, &f.stale, ret_deleted, err);
	vec_deinit(&f.stale);
	return r;
}
