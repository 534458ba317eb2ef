/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* kube-proxy: informers of Services, EndpointSlices, ServiceCIDRs and the own Node in, nf_tables
 * transactions out. Owns the state of core/ and the netlink socket of kernel/; everything runs on
 * one loop.
 *
 * Changes share transactions: two may go out at once, then one every minSyncPeriod. A family whose
 * transaction failed starts anew after a back-off; the other one is not concerned. */
#include "common/client/informer.h"
#include "common/daemon/daemon.h"
#include "kube-proxy/core/state.h"
#include "kube-proxy/options.h"

struct proxy;

struct proxy_options {
	struct daemon *daemon;
	struct client *client;
	const char *node_name;
	const struct proxy_config *config;
};

int proxy_new(const struct proxy_options *o, struct proxy **ret, struct err *err);
void proxy_start(struct proxy *p);
void proxy_free(struct proxy *p);

/* As load balancers ask: no change waits for long, and (eligible) the node is there to stay.
 * *ret_updated: real time in nanoseconds of the last transaction, 0 before the first. */
bool proxy_healthy(const struct proxy *p, int64_t *ret_updated_ns);
bool proxy_node_eligible(const struct proxy *p);
/* The tables as kube-proxy believes them to be (core/text.h). */
void proxy_rules_text(const struct proxy *p, struct buf *out);
