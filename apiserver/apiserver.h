/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* kube-apiserver: where all parts are put together.
 *
 * The daemon's loop is the state loop: it alone changes the watch caches and what follows them.
 * Front loops are threads of their own that serve connections. apiserver.c builds the parts in the
 * order of apiserver_start(): each part has one init function there; what it needs from others are
 * members of struct apiserver that come before it. */
#include "apiserver/options.h"
#include "common/daemon/daemon.h"
#include "common/daemon/file_watch.h"
#include "common/net/http_server.h"
#include <stdatomic.h>

struct admit;
struct auth;
struct bootstrap;
struct cacher;
struct grpc_front;
struct http_front;
struct http_routes;
struct pipeline;
struct proxy;
struct store_client;

struct apiserver {
	struct daemon *daemon;
	const struct apiserver_options *options;
	struct arena *arena; /* lives as long as the process */

	struct store_client *store;
	struct cacher *cacher;
	struct pipeline *pipeline;
	struct auth *auth;
	struct admit *admit;
	struct proxy *proxy;
	struct http_routes *routes;
	struct bootstrap *bootstrap;

	struct tls_context *tls;
	struct file_watch cert_watch;
	struct http_front *front;
	struct grpc_front *grpc; /* NULL: not served */
	struct loop_thread *fronts;
	size_t n_fronts;
	int port; /* where HTTPS is served */

	/* The store answered lately: written on the state loop, read by health checks. */
	struct loop_timer store_probe;
	_Atomic uint64_t store_seen_ms;

	struct loop_timer drain; /* waits for the last requests when the server stops */
	uint64_t drain_until_ms;
	int doors_open;
};

/* Before the daemon's loop runs. On failure what was built stays for apiserver_deinit. */
int apiserver_start(struct apiserver *s, struct daemon *d, const struct apiserver_options *o,
                    struct err *err);
/* Ends serving and calls daemon_quit when done. On the state loop. */
void apiserver_stop(struct apiserver *s);
/* After daemon_run. */
void apiserver_deinit(struct apiserver *s);
