/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* kube-proxy's whole knowledge: services, endpoint slices, and what it has told the kernel.
 *
 * A change marks its service dirty. proxy_state_plan compares the elements that dirty services
 * should have with those that they have, lists the difference, and from then on believes that the
 * kernel has it. The shell applies the list as one transaction a family; when the kernel refuses,
 * it calls proxy_state_reset and the next plan starts from an empty table. A plan costs what
 * changed.
 *
 * A frontend that two services claim (an external IP, say) belongs to the first until it lets go.
 *
 * Pure: the same calls give the same plans. */
#include "kube-proxy/core/element.h"
#include "kube-proxy/core/endpoints.h"

struct proxy_state;

/* What of a frontend leads elsewhere than to one of its endpoints must be forgotten by the kernel,
 * or it goes on to lead there: connections of UDP, and what affinity remembers of clients. */
struct stale_flows {
	struct frontend frontend;
	bool sticky;     /* it has, or had, affinity */
	size_t first, n; /* its endpoints, in proxy_plan.flow_endpoints, sorted */
};

/* One transaction, in the order in which the kernel takes it. */
struct proxy_plan {
	enum family family;
	bool replace; /* the table comes into being anew before all else */
	element_list chains_add, dels, adds, chains_del;
	/* After the transaction. */
	VEC(struct stale_flows) flows;
	VEC(struct backend) flow_endpoints;
};
void proxy_plan_deinit(struct proxy_plan *p);

struct proxy_state *proxy_state_new(void);
void proxy_state_free(struct proxy_state *s);

/* Each takes ownership of the parsed object; NULL with a key removes. */
void proxy_state_set_service(struct proxy_state *s, const char *key, struct service *svc);
void proxy_state_set_slice(struct proxy_state *s, const char *key, struct endpoint_slice *slice);
/* Copied. A different one resets both families. */
void proxy_state_set_config(struct proxy_state *s, const struct layout_config *c);
const struct layout_config *proxy_state_config(const struct proxy_state *s);

/* Something is dirty. */
bool proxy_state_pending(const struct proxy_state *s, enum family f);
/* Lists what leads from what the kernel has to what it should have, into an empty plan. */
void proxy_state_plan(struct proxy_state *s, enum family f, struct proxy_plan *ret);
/* Forgets what the kernel has: the next plan is a full one. */
void proxy_state_reset(struct proxy_state *s, enum family f);

/* What the kernel has, as the state believes: all elements, sorted, those of SET_CHAINS among them.
 */
void proxy_state_elements(const struct proxy_state *s, enum family f, element_list *out);

struct proxy_counts {
	size_t services, slices;
	size_t elements[SETS + 1]; /* by set, of both families; shared ones count for each holder */
	/* Frontends that are dropped because no endpoint of this node serves them. */
	size_t no_local_internal, no_local_external;
};
struct proxy_counts proxy_state_counts(const struct proxy_state *s);

/* Visits each service with a health check port, in no order. */
void proxy_state_each_health(const struct proxy_state *s,
                             void (*fn)(const struct service *svc, size_t local_endpoints,
                                        void *arg),
                             void *arg);
