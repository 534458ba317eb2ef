/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The kubelet's ports: HTTPS 10250 for the apiserver and administrators, and plain health checks on
 * 127.0.0.1:10248. Every request of 10250 passes auth.h first. */
#include "common/net/http_server.h"
#include "kubelet/kubelet.h"

struct server;

int server_start(struct kubelet *k, struct server **ret, struct err *err);
void server_free(struct server *s);

/* A part of the kubelet serves GET of `path`, and of what is below when it ends in "/" (stats,
 * further metrics). The caller is authorized; fn answers the exchange, at once or later. Routes
 * added later go first. Strings must outlive the server. */
typedef void (*server_route_fn)(struct http_exchange *x, const char *path, const char *query,
                                void *arg);
void server_route(struct server *s, const char *path, server_route_fn fn, void *arg);

/* logs.c: answers GET /containerLogs/<ns>/<pod>/<container>. */
void server_logs(struct kubelet *k, struct http_exchange *x, const char *ns, const char *pod,
                 const char *container, const char *query);
/* pod_list.c: /pods, what is wanted of this node; /runningpods, what the runtime runs. */
void server_pods(struct kubelet *k, struct http_exchange *x);
void server_running_pods(struct kubelet *k, struct http_exchange *x);
