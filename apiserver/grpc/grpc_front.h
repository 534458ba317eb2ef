/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The second front door: the service `Resources` (proto/resources.proto) over the same pipeline as
 * REST. A call becomes a struct request with the path, query and body that REST would have; its
 * answer is drained from the sink: objects leave their envelope, lists are cut into batches of
 * items as they stream by, watch frames become events, and a Status becomes the error of the call
 * with the trailer "kubec-status-bin". */
#include "apiserver/request/request.h"
#include "common/net/loop.h"
#include "common/net/rpc_server.h"

struct grpc_front;

struct grpc_front_options {
	struct rpc_core *core;
	/* Requests are spread over these loops, all of one connection to the same one. */
	struct loop *const *loops;
	size_t n_loops;
	/* endpoints_serve with its pipeline; called on the request's loop. */
	void (*serve)(void *arg, struct request *req, struct response_sink *sink);
	void *arg;
	const char *address; /* "0.0.0.0:6444" */
	/* ca: the clients'; client_auth should be TLS_CLIENT_OPTIONAL (tokens). NULL: plain text.
	 */
	const struct tls_creds_options *tls;
	uint32_t max_body_bytes; /* 0: 4 MiB */
};

int grpc_front_new(const struct grpc_front_options *o, struct grpc_front **ret, int *ret_port,
                   struct err *err);
/* No new calls; open ones are cut after grace_ms; done(arg) on loop when all have ended. */
void grpc_front_stop(struct grpc_front *f, uint32_t grace_ms, struct loop *loop, loop_fn done,
                     void *arg);
/* After done; the loops must not run any more, or have no call left. */
void grpc_front_free(struct grpc_front *f);
