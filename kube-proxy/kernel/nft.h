/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* kube-proxy's table in nf_tables, written by netlink (libnftnl, libmnl), never read back.
 *
 * Table `ip kube-proxy`:
 *   map service-ips          ip . proto . port          -> goto <kind>-<count>
 *   map service-nodeports    proto . port               -> goto <kind>-<count>
 *   map backends             ip . proto . port . index  -> ip . port
 *   set hairpin-connections  ip . ip
 *   set no-endpoint-services ip . proto . port, set no-endpoint-nodeports proto . port
 *   chains nat-prerouting, nat-output -> services; nat-postrouting; filter-* -> no-endpoints;
 *   and one chain a (kind, count), as in kube-proxy/core/op.h.
 *
 * One call of nft_apply is one transaction: the kernel takes all of it or nothing. */
#include "common/base/err.h"
#include "kube-proxy/core/op.h"

struct nft;

struct nft_config {
	/* Sources outside this network are masqueraded on their way to a cluster IP; prefix_bits 0:
	 * there is no such network and only hairpin traffic is. Network byte order. */
	uint32_t cluster_ip;
	unsigned cluster_prefix_bits;
	bool masquerade_all;
	unsigned masquerade_bit; /* of the packet mark; upstream's default is 14 */
};

/* Opens the netlink socket; changes nothing yet. Free with nft_close. */
int nft_open(const struct nft_config *config, struct nft **ret, struct err *err) _must_use_;
void nft_close(struct nft *n);

/* Applies the ops; `full` replaces the table first, in the same transaction. */
int nft_apply(struct nft *n, const struct proxy_ops *ops, bool full, struct err *err) _must_use_;
/* Removes the table; 0 also when there is none. */
int nft_cleanup(struct nft *n, struct err *err) _must_use_;
