/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What is served besides resources: /, /api, /apis (discovery), /version, /healthz, /livez,
 * /readyz, /metrics, and what others add (OpenAPI, OIDC discovery, custom resources).
 * http_routes_serve is the pipeline's hook `other`: requests are authenticated and authorized.
 *
 * Routes are added before the first request; serving runs on any front loop. */
#include "apiserver/discovery/discovery.h"
#include "apiserver/request/request.h"
#include "common/daemon/health.h"
#include "common/daemon/metrics.h"

struct http_routes;

/* False: not served (the next route is asked, in the end it is a 404). */
typedef bool (*http_route_fn)(void *arg, struct request *req, struct response_sink *sink);
/* Fills in groups besides those of the resource table, in the arena. */
typedef void (*http_groups_fn)(void *arg, struct arena *a, struct discovery_extra *ret);

struct http_routes_options {
	struct health *health;      /* its checks run on front loops */
	struct metrics *metrics;    /* NULL: no /metrics */
	const char *server_address; /* "10.0.0.1:6443": what /api tells; must outlive the routes */
};

struct http_routes *http_routes_new(const struct http_routes_options *o);
void http_routes_free(struct http_routes *r);

/* Serves `path`, and what is below when it ends in "/". Listed at "/" unless it does. */
void http_routes_add(struct http_routes *r, const char *path, http_route_fn fn, void *arg);
/* Serves requests for resources that the table does not have (and discovery of their groups), and
 * adds their groups to discovery. */
void http_routes_add_resources(struct http_routes *r, http_route_fn serve, http_groups_fn groups,
                               void *arg);
/* The extra groups have changed: discovery is built anew. Any thread. */
void http_routes_changed(struct http_routes *r);

/* The hook: always answers. */
bool http_routes_serve(void *routes, struct request *req, struct response_sink *sink);
