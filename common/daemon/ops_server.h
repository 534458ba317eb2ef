/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The port on which operators look at a daemon: /healthz, /livez, /readyz with their checks,
 * /metrics, /version, and what the daemon adds. On the daemon's loop. */
#include "common/daemon/daemon.h"
#include "common/net/http_server.h"

struct ops_server;

struct ops_server_options {
	struct daemon *daemon;
	const char *address;     /* "127.0.0.1:10256", "0.0.0.0:10249", "[::]:10259" */
	struct tls_context *tls; /* NULL: plain */
	/* Answers paths of the daemon's own; returns false when the path is not one. May be NULL.
	 */
	bool (*handle)(struct http_exchange *x, struct slice path, void *arg);
	void *arg;
};

/* Port 0 and an empty address mean: no server; *ret is NULL then. */
int ops_server_start(const struct ops_server_options *o, struct ops_server **ret, struct err *err);
/* After the loop has ended: closes its connections, running the loop for that. NULL is fine. */
void ops_server_free(struct ops_server *s);
