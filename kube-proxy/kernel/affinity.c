/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/kernel/affinity.h"

#include <endian.h>
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

struct reader {
	enum family family;
	affinity_list *out;
};

static uint64_t milliseconds(struct slice attr)
{
	uint64_t v = 0;
	if (attr.len == sizeof(v))
		memcpy(&v, attr.data, sizeof(v));
	return be64toh(v);
}

/* An entry of another shape is one of another version of this table. */
static void read_entry(struct reader *r, struct slice attrs)
{
	struct slice key = nl_find(nl_find(attrs, NFTA_SET_ELEM_KEY), NFTA_DATA_VALUE);
	struct slice value = nl_find(nl_find(attrs, NFTA_SET_ELEM_DATA), NFTA_DATA_VALUE);
	struct affinity_entry e = {
	    .element.set = SET_AFFINITY,
	    .timeout_ms = milliseconds(nl_find(attrs, NFTA_SET_ELEM_TIMEOUT)),
	    .expires_ms = milliseconds(nl_find(attrs, NFTA_SET_ELEM_EXPIRATION)),
	};
	if (key.len != element_key_words(r->family, SET_AFFINITY) * 4 ||
	    value.len != element_value_words(r->family, SET_AFFINITY) * 4 || !e.timeout_ms ||
	    e.expires_ms > e.timeout_ms)
		return;
	memcpy(e.element.key, key.data, key.len);
	memcpy(e.element.value, value.data, value.len);
	*vec_push(r->out) = e;
}

/* One message of the dump: a list of entries. */
static void read_entries(const struct nlmsghdr *h, void *arg)
{
	struct slice list = nl_find(nl_attrs(h), NFTA_SET_ELEM_LIST_ELEMENTS);
	struct nlattr a;
	while (list.len >= sizeof(a)) {
		memcpy(&a, list.data, sizeof(a));
		if (a.nla_len < sizeof(a) || a.nla_len > list.len)
			break;
		read_entry(arg, slice_of(list.data + sizeof(a), a.nla_len - sizeof(a)));
		list = slice_skip(list, (a.nla_len + 3u) & ~3u);
	}
}

int affinity_read(struct netlink *nl, enum family f, affinity_list *out, struct err *err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct reader reader = {f, out};
	uint32_t seq = nl->seq++;
	size_t m = nl_begin(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM, NLM_F_DUMP,
	                    family_number(f), 0, seq);
	nl_str(&b, NFTA_SET_ELEM_LIST_TABLE, TABLE_NAME);
	nl_str(&b, NFTA_SET_ELEM_LIST_SET, set_infos[SET_AFFINITY].name);
	nl_end(&b, m);
	int r = netlink_send(nl, buf_view(&b), err);
	if (!r)
		r = netlink_wait(nl, seq, seq, read_entries, &reader, "affinity", err);
	return r == -ERR_NOT_FOUND ? 0 : r;
}

static void find_stale(struct forgetter *f, const affinity_list *all)
{
	enum family family = f->plan->family;
	VEC_FOREACH (all, it) {
		const struct element *e = &it->element;
		struct frontend fe = frontend_of_words(family, e->key + addr_words(family), false);
		struct backend b = backend_of_words(family, e->value);
		if (is_stale(f, &fe, &b))
			*vec_push(&f->stale) = *e;
	}
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
	affinity_list all = {0};
	bool sticky = false;
	int r = 0;
	*ret_deleted = 0;
	VEC_FOREACH (&p->flows, s)
		sticky |= s->sticky;
	if (!sticky)
		return 0;
	r = affinity_read(nl, p->family, &all, err);
	find_stale(&f, &all);
	if (!r)
		r = delete_all(nl, p->family, &f.stale, ret_deleted, err);
	vec_deinit(&all);
	vec_deinit(&f.stale);
	return r;
}
