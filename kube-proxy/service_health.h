/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The servers behind healthCheckNodePort: each tells load balancers whether this node has endpoints
 * of its service. 200 when it has and kube-proxy is healthy, else 503; the body says how many.
 *
 *     service_health_begin(h);
 *     for each service: service_health_set(h, "ns/name", 30123, 2);
 *     service_health_end(h);    closes those that were not named again
 */
#include "common/net/loop.h"
#include "kube-proxy/core/addr.h"

struct service_health;

struct service_health_ops {
	bool (*healthy)(void *arg);
	/* A port that cannot be listened on; tried again at the next begin. */
	void (*on_failure)(const char *key, uint16_t port, const char *why, void *arg);
	void *arg;
};

struct service_health *service_health_new(struct loop *loop, const struct service_health_ops *ops);
/* Runs the loop until all have closed. */
void service_health_free(struct service_health *h);
/* Where servers listen: these addresses, or every one when n is 0. Servers that listen elsewhere
 * move. */
void service_health_addresses(struct service_health *h, const struct cidr *addresses, size_t n);
void service_health_begin(struct service_health *h);
void service_health_set(struct service_health *h, const char *key, uint16_t port,
                        size_t local_endpoints);
void service_health_end(struct service_health *h);
