/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The call object of a server: between rpc_server.c, which accepts it, and rpc_call.c, which runs
 * it. Nobody else includes it. */
#include <pthread.h>
#include "common/base/map.h"
#include "common/net/rpc_internal.h"
#include "common/net/rpc_server.h"

enum call_event {
	EV_CALL = 1,
	EV_MESSAGE = 2,
	EV_HALF_CLOSE = 4,
	EV_WRITABLE = 8,
	EV_CLOSED = 16,
};

struct rpc_call {
	atomic_uint refs;
	struct rpc_server *server;
	grpc_call *call;
	grpc_completion_queue *cq;
	/* Filled by gRPC when the call is new. */
	grpc_call_details details;
	grpc_metadata_array metadata;
	struct rpc_tag new_tag, close_tag, recv_tag, send_tag, status_tag;

	const struct rpc_method *method;
	struct rpc_call_ops ops;
	void *data;
	struct loop *loop; /* of callbacks; NULL: the queue's thread */

	pthread_mutex_t lock;
	/* --- under lock --- */
	unsigned events;  /* that wait for their callback */
	bool pumping;     /* a pump is posted or runs */
	bool called;      /* on_call was or will be called */
	bool closing;     /* RECV_CLOSE is under way or done */
	bool closed;      /* RECV_CLOSE is done */
	bool told_closed; /* on_closed has returned */
	bool ended;       /* by the handler */
	bool receiving;   /* RECV_MESSAGE is in flight, or its message waits for its callback */
	bool want_recv;   /* start another one when that is over */
	bool eof;
	bool sent_headers, status_sent;
	struct rpc_sendq queue;
	/* The end, while queued messages are still before it. */
	int status;
	char *status_text;
	grpc_metadata *trailers;
	size_t n_trailers;
	grpc_byte_buffer *reply;
	/* --- */
	int cancelled; /* written by gRPC with RECV_CLOSE */
	grpc_byte_buffer *incoming;
	struct rpc_bytes message;
	const struct rpc_peer *peer;
	char *peer_address;
	char *method_name;
};

struct rpc_server {
	struct rpc_core *core;
	grpc_server *server;
	struct rpc_server_options options;
	struct map methods; /* name -> struct rpc_method */
	struct rpc_method unknown;
	VEC(struct tls_server_state *) tls_states;
	grpc_server_credentials *plain;
	struct rpc_tag shutdown_tag;
	bool started;

	pthread_mutex_t lock;
	pthread_cond_t idle;
	/* --- under lock --- */
	size_t live; /* calls and requests for calls */
	bool stopping, shut_down, told_done;
	/* --- */
	struct loop_timer grace;
	struct loop *stop_loop;
	loop_fn done;
	void *done_arg;
};

/* A call that gRPC is asked for; counted in server->live until it is freed. */
struct rpc_call *rpc_call_new(struct rpc_server *s, grpc_completion_queue *cq);
/* The call was accepted: starts receiving. Takes the caller's reference. */
void rpc_call_begin(struct rpc_call *c, const struct rpc_method *m);
/* The last reference of a call of this server is gone. */
void rpc_server_call_gone(struct rpc_server *s);
/* The shared identity of a connection; never NULL, lives until the process ends or
 * rpc_peer_unref. */
const struct rpc_peer *rpc_peer_of(grpc_call *call);
void rpc_peer_unref(const struct rpc_peer *p);
