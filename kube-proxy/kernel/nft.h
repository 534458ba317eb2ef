/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* kube-proxy's tables in nf_tables, written by netlink; rules are never read back. One call of
 * nft_apply is one transaction: the kernel takes all of it or nothing. */
#include "kube-proxy/core/state.h"
#include "kube-proxy/kernel/netlink.h"

int nft_apply(struct netlink *nl, const struct layout_config *c, const struct proxy_plan *p,
              struct err *err) _must_use_;
/* Removes the table of a family; 0 also when there is none. */
int nft_cleanup(struct netlink *nl, enum family f, struct err *err) _must_use_;
/* The number by which the kernel knows the table: another one, or -ERR_NOT_FOUND, when somebody has
 * removed the table since. */
int nft_table_handle(struct netlink *nl, enum family f, uint64_t *ret, struct err *err) _must_use_;
