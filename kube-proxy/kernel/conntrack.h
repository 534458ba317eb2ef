/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Makes the kernel forget connections that no rule would make any more, by ctnetlink. */
#include "kube-proxy/core/state.h"
#include "kube-proxy/kernel/netlink.h"

/* Deletes the flows that p->flows names: those to a frontend (a node port: to an address of this
 * host) that lead to none of its endpoints. *ret_deleted: how many. */
int conntrack_forget(struct netlink *nl, const struct proxy_plan *p, size_t *ret_deleted,
                     struct err *err) _must_use_;
