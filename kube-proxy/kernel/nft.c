/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/kernel/nft.h"

#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "kube-proxy/kernel/affinity.h"
#include "kube-proxy/kernel/encode.h"

static bool is_empty(const struct proxy_plan *p)
{
	return !p->replace && !p->chains_add.n && !p->dels.n && !p->adds.n && !p->chains_del.n;
}

static int apply(struct netlink *nl, const struct layout_config *c, const struct proxy_plan *p,
                 const affinity_list *kept, struct err *err)
{
	struct transaction t;
	transaction_begin(&t, p->family, nl->seq);
	encode_plan(&t, c, p);
	encode_affinity(&t, kept);
	return transaction_commit(&t, nl, err);
}

/* Clients stay with their endpoints when a table is made anew. A table without them is better than
 * none. */
int nft_apply(struct netlink *nl, const struct layout_config *c, const struct proxy_plan *p,
              struct err *err)
{
	affinity_list kept = {0};
	if (is_empty(p))
		return 0;
	if (p->replace && affinity_read(nl, p->family, &kept, NULL))
		vec_clear(&kept);
	kept.n = MIN(kept.n, (size_t)AFFINITY_KEEP_MAX);
	int r = apply(nl, c, p, &kept, err);
	if (r && kept.n) {
		vec_clear(&kept);
		r = apply(nl, c, p, &kept, err);
	}
	vec_deinit(&kept);
	return r;
}

int nft_cleanup(struct netlink *nl, enum family f, struct err *err)
{
	struct transaction t;
	transaction_begin(&t, f, nl->seq);
	encode_delete_table(&t);
	return transaction_commit(&t, nl, err);
}

static void on_table(const struct nlmsghdr *h, void *arg)
{
	struct slice handle = nl_find(nl_attrs(h), NFTA_TABLE_HANDLE);
	uint64_t v;
	if (handle.len != sizeof(v))
		return;
	memcpy(&v, handle.data, sizeof(v));
	*(uint64_t *)arg = be64toh(v);
}

int nft_table_handle(struct netlink *nl, enum family f, uint64_t *ret, struct err *err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	uint32_t seq = nl->seq++;
	size_t m = nl_begin(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, NLM_F_ACK,
	                    family_number(f), 0, seq);
	nl_str(&b, NFTA_TABLE_NAME, TABLE_NAME);
	nl_end(&b, m);
	int r = netlink_send(nl, buf_view(&b), err);
	return r ? r : netlink_wait(nl, seq, seq, on_table, ret, "nf_tables", err);
}
