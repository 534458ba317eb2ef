/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which cluster IPs and node ports the stored Services hold: fills the allocator of the registry
 * from the watch cache and keeps it up with what other servers do. Lives on the state loop; the
 * allocator itself may be used from any. */
#include "apiserver/registry/core/service_alloc.h"
#include "common/base/err.h"

struct loop;
struct pipeline;
struct service_state;

/* ranges: "10.96.0.0/16[,fd00::/108]"; ports: "30000-32767". */
int service_alloc_from_flags(const char *ranges, const char *ports, struct service_alloc **ret,
                             struct err *err);

struct service_state *service_state_new(struct service_alloc *alloc, struct pipeline *p,
                                        struct loop *state_loop);
/* On the state loop, or when it no longer runs. Leaves the allocator alone. */
void service_state_free(struct service_state *s);
