/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* gRPC channels, unary calls and streams over C core.
 *
 * Everything is asynchronous: a unary call ends with exactly one done callback, a stream with
 * exactly one on_finish, also when it is cancelled or the channel is closed. Callbacks run on the
 * caller's loop (args.loop), or on the queue's thread when that is NULL; never from within the
 * function that started or cancelled the call. Functions on calls of a loop belong to that loop's
 * thread. A channel may be used from any thread. */
#include "common/base/buf.h"
#include "common/net/loop.h"
#include "common/net/rpc_core.h"
#include "common/net/tls_creds.h"

struct rpc_channel;
struct rpc_unary;
struct rpc_stream;

struct rpc_channel_options {
	const struct tls_creds_options *tls; /* NULL: plain text */
	uint32_t max_recv_bytes;             /* 0: 64 MiB */
	uint32_t keepalive_time_ms;          /* 0: 10 s while calls are open; UINT32_MAX: never */
	uint32_t keepalive_timeout_ms;       /* 0: 5 s */
	uint32_t max_metadata_bytes;         /* 0: 64 KiB */
	bool own_connection;                 /* do not share a connection with equal channels */
	const char *authority;               /* NULL: the first endpoint */
};

/* Endpoints: a comma-separated list of "https://host:port", "http://host:port", "host:port",
 * "unix:///path" or "unix:/path". The channel connects to the first that answers, in this order,
 * and to another when that breaks, with 50 to 200 ms between attempts. Several endpoints must be
 * addresses; one may be a DNS name. */
int rpc_channel_new(struct rpc_core *core, const char *endpoints,
                    const struct rpc_channel_options *o, struct rpc_channel **ret, struct err *err);
/* Calls that are open go on; the last reference frees the channel. */
struct rpc_channel *rpc_channel_ref(struct rpc_channel *ch);
void rpc_channel_unref(struct rpc_channel *ch);

/* How a call ended. Valid during the callback. */
struct rpc_result {
	int code;             /* enum rpc_code */
	const char *text;     /* the server's words; "" with RPC_OK */
	struct slice message; /* unary with RPC_OK */
	const struct rpc_meta *trailers;
	size_t n_trailers;
};
/* The first trailer of that key; data NULL when absent. */
struct slice rpc_result_trailer(const struct rpc_result *r, const char *key);
/* 0, or fills err from code and text and returns -ERR_x. */
int rpc_result_err(const struct rpc_result *r, struct err *err);

typedef void (*rpc_done_fn)(const struct rpc_result *r, void *arg);

struct rpc_unary_args {
	const char *method; /* "/package.Service/Method" */
	struct slice message;
	struct blob *blob;   /* instead of message: referenced, not copied */
	uint32_t timeout_ms; /* 0: none */
	bool wait_for_ready; /* false: fail at once (Unavailable) when nothing answers */
	const struct rpc_meta *metadata;
	size_t n_metadata;
	struct loop *loop;
	rpc_done_fn done;
	void *arg;
};

/* The returned call is valid until done begins; callers that never cancel ignore it. */
struct rpc_unary *rpc_unary_start(struct rpc_channel *ch, const struct rpc_unary_args *a);
/* done follows with RPC_CANCELLED (or with the answer when that was faster). */
void rpc_unary_cancel(struct rpc_unary *u);
/* Cancels, and done is never called. Only for calls of a loop, on its thread. */
void rpc_unary_drop(struct rpc_unary *u);

struct rpc_stream_args {
	const char *method;
	uint32_t timeout_ms;
	bool wait_for_ready;
	const struct rpc_meta *metadata;
	size_t n_metadata;
	struct loop *loop;
	/* One message after each rpc_stream_next. It lives until this returns. */
	void (*on_message)(struct rpc_stream *st, struct slice message, void *arg);
	/* May be NULL: the queue has drained after rpc_stream_send had returned 1. */
	void (*on_writable)(struct rpc_stream *st, void *arg);
	/* The last callback; the stream is gone when it returns. */
	void (*on_finish)(struct rpc_stream *st, const struct rpc_result *r, void *arg);
	void *arg;
};

struct rpc_stream *rpc_stream_start(struct rpc_channel *ch, const struct rpc_stream_args *a);
/* Asks for one more message; asked too often, the wishes add up. */
void rpc_stream_next(struct rpc_stream *st);
/* Queues one message: 0, or 1 when more than 1 MiB is queued (it is queued all the same). */
int rpc_stream_send(struct rpc_stream *st, struct slice message);
int rpc_stream_send_blob(struct rpc_stream *st, struct blob *message);
size_t rpc_stream_queued_bytes(struct rpc_stream *st);
/* No more messages from here; the queued ones go out first. */
void rpc_stream_half_close(struct rpc_stream *st);
/* on_finish follows. */
void rpc_stream_cancel(struct rpc_stream *st);
/* Cancels, and no callback follows. Only for streams of a loop, on its thread. */
void rpc_stream_drop(struct rpc_stream *st);
