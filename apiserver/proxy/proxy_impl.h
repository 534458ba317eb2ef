/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the proxy share. */
#include "apiserver/endpoints/pipeline.h"
#include "apiserver/proxy/proxy.h"
#include "apiserver/request/request.h"
#include "apiserver/request/status.h"
#include "common/net/http_client.h"
#include "common/net/http_server.h"
#include "proto/core_v1.pb-c.h"

struct proxy {
	struct proxy_options o;
	struct tls_context *kubelet, *kubelet_insecure; /* with the client certificate */
	struct tls_context *any;                        /* pods and services: never verified */
	struct metric_family *translated, *tunnelled;   /* by code */
	struct metric_family *log_backends;             /* by usage */
};

/* A request that is handed on; in its arena. */
struct proxy_call {
	struct proxy *proxy;
	struct pipeline *pipeline;
	struct request *req;
	struct response_sink *sink;
	struct arena *a; /* the request's */
};

/* Where a request is handed on to. */
struct backend {
	const char *url;
	struct tls_context *tls;
	const struct http_header *headers;
	size_t n_headers;
};

static inline void proxy_refuse(const struct proxy_call *c, const struct status *s)
{
	status_send(s, c->req, c->sink);
}

/* --- locate.c -------------------------------------------------------------------------------- */

/* The client went away meanwhile: the request is ended. */
bool proxy_is_gone(const struct proxy_call *c);
/* Calls next(arg) once the caches are as new as the store, or refuses. */
void proxy_fresh(struct proxy_call *c, void (*next)(void *arg), void *arg);
/* The object as the cache has it, in the arena; NULL when there is none. ns "": cluster scope. */
ProtobufCMessage *proxy_find(const struct proxy_call *c, const char *resource, const char *ns,
                             const char *name);
/* "https://10.0.0.1:10250" of a node's kubelet; NULL and *ret_refusal. */
const char *proxy_kubelet(const struct proxy_call *c, const char *node,
                          const struct status **ret_refusal);
/* The container that is meant, checked; NULL and *ret_refusal. name "": the only one. */
const char *proxy_container(const CoreV1__Pod *pod, const char *name, struct arena *a,
                            const struct status **ret_refusal);

/* --- headers.c ------------------------------------------------------------------------------- */

/* What of the client's headers goes on: not those of its connection, of who it is, of impersonation
 * and of the body's length. */
struct http_header *proxy_headers(const struct proxy_call *c, size_t extra, size_t *ret_n);
/* Headers of one connection only. */
bool proxy_is_hop(struct slice name);
/* A header of the request as a slice; empty when absent. */
struct slice proxy_header(const struct request *req, const char *name);
/* The host that the client asked. */
struct slice proxy_host(const struct request *req);
/* The request asks for an upgrade, and came in a way that allows one. */
bool proxy_wants_upgrade(const struct request *req);
bool proxy_is_websocket(const struct request *req);

/* --- handlers: each answers ------------------------------------------------------------------ */

/* pod_log.c */
void proxy_pod_log(void *arg, struct pipeline *p, struct request *req, struct response_sink *sink);
/* connect.c: exec, attach, portforward */
void proxy_connect(void *arg, struct pipeline *p, struct request *req, struct response_sink *sink);
/* resource_proxy.c: pods, services and nodes */
void proxy_resource(void *arg, struct pipeline *p, struct request *req, struct response_sink *sink);

/* relay.c: has the backend upgrade the connection and becomes a pipe; its refusal is passed on. */
void relay_start(const struct proxy_call *c, const struct backend *b);
/* reverse.c: one request and its answer. prefix: what stands before the backend's own paths; for
 * redirects. */
void reverse_start(const struct proxy_call *c, const struct backend *b, const char *prefix);
/* untunnel.c: SPDY in WebSocket messages (port-forward) to plain SPDY. */
void untunnel_start(const struct proxy_call *c, const struct backend *b);
/* translate.c: WebSocket's v5.channel.k8s.io (exec, attach) to SPDY streams. */
struct translate_streams {
	bool stdin, stdout, stderr, tty;
};
void translate_start(const struct proxy_call *c, const struct backend *b,
                     const struct translate_streams *streams);

/* Frees a client of the loop after the callback that we may be in. */
void proxy_client_free(struct loop *loop, struct http_client *client);
/* The Status of a backend that was not reached. */
const struct status *proxy_unreachable(struct arena *a, const char *what, const struct err *err);
