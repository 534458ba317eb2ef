/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Makes the kernel forget clients whose endpoint has gone: entries of the set `affinity`, which the
 * rules fill by themselves. */
#include "kube-proxy/core/state.h"
#include "kube-proxy/kernel/netlink.h"

/* Deletes the entries of the sticky frontends in p->flows that lead to none of their endpoints.
 * *ret_deleted: how many. A table that was made anew remembers nobody. */
int affinity_forget(struct netlink *nl, const struct proxy_plan *p, size_t *ret_deleted,
                    struct err *err) _must_use_;
