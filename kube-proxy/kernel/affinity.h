/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the rules remember by themselves, in the set `affinity`: which client goes to which
 * endpoint.
 */
#include "kube-proxy/core/state.h"
#include "kube-proxy/kernel/encode.h"
#include "kube-proxy/kernel/netlink.h"

/* At most so many clients are kept when a table is made anew; the others choose again. */
enum { AFFINITY_KEEP_MAX = 65536 };

/* Reads the entries of the table that is there; none when there is no table. Appends. */
int affinity_read(struct netlink *nl, enum family f, affinity_list *out,
                  struct err *err) _must_use_;
/* Deletes the entries of the sticky frontends in p->flows that lead to none of their endpoints.
 * *ret_deleted: how many. */
int affinity_forget(struct netlink *nl, const struct proxy_plan *p, size_t *ret_deleted,
                    struct err *err) _must_use_;
