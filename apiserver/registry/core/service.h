/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Services: what the files of their rules share. Internal to registry/core/. */
#include "apiserver/registry/check.h"

static inline bool service_is(const CoreV1__ServiceSpec *s, const char *type)
{
	return !strcmp(s->type, type);
}
static inline bool service_is_headless(const CoreV1__ServiceSpec *s)
{
	return s->n_cluster_ips == 1 && !strcmp(s->cluster_ips[0], "None");
}
/* Has a cluster IP (or None), that is, is no ExternalName. */
static inline bool service_needs_ip(const CoreV1__ServiceSpec *s)
{
	return service_is(s, "ClusterIP") || service_is(s, "NodePort") ||
	       service_is(s, "LoadBalancer");
}
bool service_needs_node_port(const CoreV1__ServiceSpec *s);
bool service_needs_health_port(const CoreV1__ServiceSpec *s);
/* Reachable from outside the cluster. */
bool service_is_external(const CoreV1__ServiceSpec *s);
/* The families of the server; the first is the default. */
size_t service_families(const struct strategy_ctx *ctx, const char *ret[2]);

void service_prepare_create(const struct strategy_ctx *ctx, struct object *obj);
void service_prepare_update(const struct strategy_ctx *ctx, struct object *obj,
                            const struct object *old);
void service_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs);
void service_validate_update(const struct strategy_ctx *ctx, const struct object *obj,
                             const struct object *old, errs_t errs);
void service_allocate(const struct strategy_ctx *ctx, struct object *obj, const struct object *old,
                      errs_t errs);
void service_release(const struct strategy_ctx *ctx, const struct object *obj,
                     const struct object *keep);
