/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A gRPC server over C core.
 *
 *     struct rpc_server *s = rpc_server_new(core, &options);
 *     rpc_server_method(s, &(struct rpc_method){"/pkg.Service/Get", RPC_UNARY, on_get, arg, loop});
 *     rpc_server_listen(s, "0.0.0.0:2379", &tls, &port, &err);
 *     rpc_server_start(s);
 *
 * A call (struct rpc_call) belongs to the handler from on_call until the handler ends it with
 * exactly one of rpc_call_reply, rpc_call_finish or rpc_call_fail, also when the client has
 * cancelled it (ending a dead call is cheap and sends nothing). After that the handler may still
 * get on_closed, then nothing, and must not touch the call after the later of both. Who needs it
 * longer takes a reference.
 *
 * Callbacks of a call run on its method's loop, or on the queue's thread when the method has no
 * loop; one at a time, in order. rpc_call_* functions may be called from any thread. */
#include "common/base/buf.h"
#include "common/net/loop.h"
#include "common/net/rpc_core.h"
#include "common/net/tls_creds.h"

struct rpc_server;
struct rpc_call;

enum rpc_kind {
	RPC_UNARY,         /* one message in, one out: on_call gets the message */
	RPC_SERVER_STREAM, /* one message in, which on_call gets; any number out */
	RPC_STREAM,        /* any number in either direction: on_call comes with an empty message */
};

struct rpc_method {
	const char *name; /* "/package.Service/Method"; must outlive the server */
	enum rpc_kind kind;
	/* The message lives as long as the call. */
	void (*on_call)(struct rpc_call *call, struct slice message, void *arg);
	void *arg;
	struct loop *loop; /* NULL: on the queue's thread */
};

/* Callbacks of one call; any may be NULL. Set in on_call, before it returns. */
struct rpc_call_ops {
	/* A message of a stream; it lives until this returns. */
	void (*on_message)(struct rpc_call *call, struct slice message, void *data);
	/* The client will send no more. */
	void (*on_half_close)(struct rpc_call *call, void *data);
	/* The send queue has fallen below its low mark after rpc_call_send had returned 1. */
	void (*on_writable)(struct rpc_call *call, void *data);
	/* Always the last callback, exactly once: the call is over on the wire. cancelled: the
	 * client gave up, its deadline passed or the connection broke before the status was out. */
	void (*on_closed)(struct rpc_call *call, bool cancelled, void *data);
	/* true: messages after the first come only when rpc_call_recv asks for them. false: the
	 * next one is asked for when on_message returns. */
	bool manual_recv;
};

struct rpc_server_options {
	uint32_t max_recv_bytes;       /* 0: 4 MiB */
	uint32_t max_streams;          /* a connection; 0: no limit */
	uint32_t max_metadata_bytes;   /* 0: 16 KiB */
	uint32_t keepalive_time_ms;    /* server pings idle connections; 0: 2 h */
	uint32_t keepalive_timeout_ms; /* 0: 20 s */
	uint32_t min_ping_interval_ms; /* how often clients may ping; 0: 5 s */
	uint32_t send_high_bytes;      /* rpc_call_send returns 1 above this; 0: 1 MiB */
	/* Methods that are not registered; NULL: answered with Unimplemented. */
	void (*on_unknown)(struct rpc_call *call, struct slice message, void *arg);
	void *arg;
};

struct rpc_server *rpc_server_new(struct rpc_core *core, const struct rpc_server_options *o);
void rpc_server_method(struct rpc_server *s, const struct rpc_method *m);
/* Listens on "host:port", "[v6]:port" or "unix:/path"; port 0 picks one. tls NULL: plain text.
 * Before rpc_server_start; *ret_port may be NULL. */
int rpc_server_listen(struct rpc_server *s, const char *address,
                      const struct tls_creds_options *tls, int *ret_port, struct err *err);
/* Takes requests from now on. */
void rpc_server_start(struct rpc_server *s);
/* Gives an accepted, connected plain-text socket to the server (which closes it), also while it
 * runs. Nothing may have been read from it (peeking is fine). */
void rpc_server_adopt_fd(struct rpc_server *s, int fd);
/* Stops listening and refuses new calls; calls that are open get grace_ms to end, then they are
 * cancelled. done(arg) runs on loop when no call is left: rpc_server_free is legal then (handlers
 * must still end their calls, cancelled or not). Called once, on the loop's thread. */
void rpc_server_stop(struct rpc_server *s, uint32_t grace_ms, struct loop *loop, loop_fn done,
                     void *arg);
/* After done, or when never started. */
void rpc_server_free(struct rpc_server *s);

/* Ends a unary call with its answer. A blob is referenced, not copied; bytes are copied. */
void rpc_call_reply(struct rpc_call *call, struct slice message);
void rpc_call_reply_blob(struct rpc_call *call, struct blob *message);
/* Ends a call with an error; trailers (may be none) are sent along, keys "x-bin" carry any bytes.
 * Queued messages of a stream go out before. */
void rpc_call_fail(struct rpc_call *call, int rpc_code, const char *text,
                   const struct rpc_meta *trailers, size_t n_trailers);
/* Ends a stream with OK after its queued messages. */
void rpc_call_finish(struct rpc_call *call);

void rpc_call_set_ops(struct rpc_call *call, const struct rpc_call_ops *ops, void *data);
void *rpc_call_data(const struct rpc_call *call);
/* All further callbacks run on that loop. In on_call on the queue's thread, before it returns: how
 * a server spreads its calls over several loops. */
void rpc_call_set_loop(struct rpc_call *call, struct loop *loop);
/* Queues one message of a stream. 0, or 1 when the queue is now above send_high_bytes: the
 * message is queued all the same, but the sender should wait for on_writable. After the end or a
 * cancellation the message is dropped. */
int rpc_call_send(struct rpc_call *call, struct slice message);
int rpc_call_send_blob(struct rpc_call *call, struct blob *message);
/* Bytes that are queued or in flight. */
size_t rpc_call_queued_bytes(struct rpc_call *call);
/* Asks for the next message of a stream (ops.manual_recv). */
void rpc_call_recv(struct rpc_call *call);

struct rpc_call *rpc_call_ref(struct rpc_call *call);
void rpc_call_unref(struct rpc_call *call);

/* Who is at the other end, from the verified client certificate; one object is shared by all
 * calls with the same certificate. */
struct rpc_peer {
	const char *pem;         /* the leaf certificate; NULL: none */
	const char *common_name; /* "" without */
	const char *const *organizations;
	size_t n_organizations;
};
/* Never NULL; lives as long as the call. */
const struct rpc_peer *rpc_call_peer(struct rpc_call *call);
/* "ipv4:10.0.0.1:4711"; lives as long as the call. */
const char *rpc_call_peer_address(struct rpc_call *call);
const char *rpc_call_method(const struct rpc_call *call); /* "/package.Service/Method" */
/* The first value of a metadata key such as "authorization"; data NULL when absent. */
struct slice rpc_call_metadata(const struct rpc_call *call, const char *key);
/* The i-th metadata element, false beyond the last. Lives as long as the call. */
bool rpc_call_metadata_at(const struct rpc_call *call, size_t i, struct slice *ret_key,
                          struct slice *ret_value);
/* Milliseconds that are left until the client's deadline; UINT64_MAX without one. */
uint64_t rpc_call_time_left_ms(const struct rpc_call *call);
