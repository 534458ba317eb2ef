/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* kube-proxy's whole knowledge: services, endpoint slices, and what it has told the kernel.
 *
 * A change marks its service dirty; proxy_state_plan compares the frontends that dirty services
 * should have with those that they have, lists the difference, and from then on believes that the
 * kernel has it. The shell applies the list as one transaction; when the kernel refuses, it calls
 * proxy_state_reset and the next plan starts from an empty table. A plan costs what changed.
 *
 * A frontend that two services claim (an external IP, say) belongs to the first until it lets go.
 *
 * Traffic policy: ready endpoints serve; when none is ready, those that are serving while they
 * terminate do (KEP-1669). internalTrafficPolicy and externalTrafficPolicy Local keep to endpoints
 * of this node. A backend keeps its index while it stays, so that a change costs few elements; from
 * an empty table, backends are in order of address. */
#include "kube-proxy/core/service.h"

struct proxy_state;

struct proxy_state *proxy_state_new(void);
void proxy_state_free(struct proxy_state *s);

/* Each takes ownership of the parsed object; NULL with a key removes. */
void proxy_state_set_service(struct proxy_state *s, const char *key, struct service *svc);
void proxy_state_set_slice(struct proxy_state *s, const char *key, struct endpoint_slice *slice);

/* Something is dirty. */
bool proxy_state_pending(const struct proxy_state *s);
/* Lists the ops that lead from what the kernel has to what it should have. Returns true when that
 * is from an empty table: the shell then replaces the table in the same transaction. */
bool proxy_state_plan(struct proxy_state *s, struct proxy_ops *ret);
/* Forgets what the kernel has: the next plan is a full one. */
void proxy_state_reset(struct proxy_state *s);

struct proxy_counts {
	size_t services, slices, frontends, backends;
};
struct proxy_counts proxy_state_counts(const struct proxy_state *s);
