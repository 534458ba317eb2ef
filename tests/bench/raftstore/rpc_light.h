/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A gRPC client for loads: one connection in plain text, HTTP/2 by nghttp2, one thread that blocks
 * in the socket. A call costs it so little that a machine which it shares with the server measures
 * the server. It knows no TLS, no second connection and no retry: the first fault of the
 * connection ends the load.
 *
 * Everything happens within rpc_light_run; callbacks may start calls, send and stop. Calls beyond
 * what the server admits at a time wait in the client. */
#include "common/base/buf.h"
#include "common/base/err.h"

struct rpc_light;
struct rpc_light_call;

/* How a call ended. Valid during the callback. */
struct rpc_light_result {
	int code;             /* of gRPC; 0: OK */
	const char *text;     /* the server's words, or what was wrong with its answer */
	struct slice message; /* of a unary call that ended with OK */
};

struct rpc_light_args {
	const char *method; /* "/package.Service/Method"; outlives the call */
	void (*on_message)(struct slice message, void *arg); /* of a stream; valid meanwhile */
	void (*on_end)(const struct rpc_light_result *r, void *arg);
	void *arg;
};

/* Connects to "host:port" (or "http://host:port"), which it tries for ten seconds. The client lasts
 * until the process ends. */
_must_use_ int rpc_light_new(const char *endpoint, struct rpc_light **ret, struct err *err);

/* One message there, one back. The message is copied. */
void rpc_light_unary(struct rpc_light *c, const struct rpc_light_args *a, struct slice message);
/* A stream which this side leaves open: the call is valid until on_end begins. */
struct rpc_light_call *rpc_light_stream(struct rpc_light *c, const struct rpc_light_args *a);
void rpc_light_send(struct rpc_light_call *call, struct slice message);

/* Returns 0 after rpc_light_stop, 1 when the monotonic clock has reached deadline_ns (0: none),
 * -ERR_UNAVAILABLE when the connection broke or gave no answer for 30 seconds. */
_must_use_ int rpc_light_run(struct rpc_light *c, uint64_t deadline_ns, struct err *err);
void rpc_light_stop(struct rpc_light *c);
