/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* kube-proxy: informers of Services and EndpointSlices in, nf_tables transactions out. Owns the
 * state of core/ and the netlink socket of kernel/; everything runs on one loop. */
#include "common/client/informer.h"
#include "common/daemon/daemon.h"
#include "kube-proxy/core/state.h"
#include "kube-proxy/kernel/nft.h"

struct proxy_options {
	struct daemon *daemon;
	struct client *client;
	const char *node_name;
	struct nft_config kernel;
	uint32_t min_sync_ms; /* changes that come within this time share a transaction */
};

struct proxy;

int proxy_new(const struct proxy_options *o, struct proxy **ret, struct err *err);
void proxy_start(struct proxy *p);
void proxy_free(struct proxy *p);
/* The rules of the first full list are in the kernel. */
bool proxy_synced(const struct proxy *p);
/* Real time of the last transaction, and of the oldest change that is not in the kernel (0: all
 * are); for /healthz. Nanoseconds since 1970. */
int64_t proxy_last_sync_ns(const struct proxy *p);
int64_t proxy_pending_since_ns(const struct proxy *p);
