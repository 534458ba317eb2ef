/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the HTTP server share. http_server.c accepts, http_conn.c moves bytes (socket,
 * TLS, timers), http1.c and http2.c speak the protocols, http_exchange.c is the handlers' side. */
#include "common/base/arena.h"
#include "common/base/list.h"
#include "common/net/http_server.h"
#include <http_parser.h>
#include <nghttp2/nghttp2.h>
#include <stdatomic.h>

enum {
	HTTP_READ_BYTES = 64 * 1024,     /* one read */
	HTTP_RECORD_BYTES = 16 * 1024,   /* one TLS record */
	HTTP_FLIGHT_BYTES = 128 * 1024,  /* handed to the kernel at a time */
	HTTP_PIPELINE_BYTES = 64 * 1024, /* kept while a request is being handled */
	HTTP_HEADERS_MAX = 1000,
	HTTP_BODIES_BYTES = 64 << 20, /* of all requests of a connection that are coming in */
	HTTP_LINGER_MS = 2000, /* for the client to read the answer to a body that we refuse */
	HTTP_TUNNEL_CHECK_MS = 5000,
	HTTP_SPARE_EXCHANGES = 64,
	HTTP_SPARE_BYTES = 16 * 1024, /* buffers up to this size are kept */
};

/* Bytes that wait to be sent, some of them shared. */
struct http_segment {
	struct blob *blob; /* or: */
	struct buf buf;
};

struct http_queue {
	VEC(struct http_segment) segments;
	size_t first, offset; /* the next byte */
	size_t bytes;
};

void http_queue_add(struct http_queue *q, struct slice data);
void http_queue_blob(struct http_queue *q, struct blob *data);
/* Moves up to max bytes to `out`; returns how many. */
size_t http_queue_take(struct http_queue *q, uint8_t *out, size_t max);
void http_queue_clear(struct http_queue *q);
void http_queue_deinit(struct http_queue *q);

/* What a tunnel does on its connection, a server's or a client's. */
struct http_tunnel_ops {
	int (*write)(void *connection, struct slice data);
	void (*pause)(void *connection, bool pause);
	void (*close)(void *connection);
};

struct peer_object {
	struct http_peer pub;
	unsigned refs; /* all on one loop */
	struct blob *certs[HTTP_PEER_CERTS_MAX];
};
void http_peer_unref(struct peer_object *p);

/* One server on one loop. */
struct http_loop {
	struct http_server *server;
	struct loop *loop;
	uv_prepare_t flush; /* sends what the turn has queued */
	uv_idle_t again;    /* started while there is more to send */
	struct list connections, dirty;
	atomic_uint n_connections;
	struct list spare_exchanges;
	unsigned n_spare;
	struct loop_timer grace;
	bool started, stopping, closing;
	uint64_t date_at_ms; /* when `date` was made */
	char date[40];
	struct buf plain, wire, record; /* scratch of one turn */
	uint8_t read_space[HTTP_READ_BYTES];
};

struct http_listener {
	struct http_server *server;
	struct http_loop *on;
	uv_poll_t poll;
	int fd;
	char path[108]; /* of a unix socket, removed at the end; else "" */
	struct list link;
};

struct http_server {
	struct http_server_options options;
	VEC(struct http_loop *) loops;
	struct list listeners;
	int reserve_fd; /* given up for a moment when no descriptors are left */
	atomic_uint loops_left;
	struct loop *done_loop;
	loop_fn done;
	void *done_arg;
	uint32_t grace_ms;
};

enum http_protocol { HTTP_DETECT, HTTP_1, HTTP_2, HTTP_TUNNEL, HTTP_LINGER };

struct http_connection {
	struct list link, dirty_link;
	struct http_loop *hl;
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	};
	struct tls_session *tls;
	struct peer_object *peer;
	enum http_protocol protocol;
	struct loop_timer timer;
	uint64_t deadline_ms; /* of the state that the connection is in; 0: none */
	uint64_t write_deadline_ms;
	struct http_flight *flight; /* being written by the kernel */
	struct buf backlog;         /* wire bytes that wait for the flight to land */
	struct list exchanges;      /* open ones */
	size_t body_bytes;          /* of requests that are coming in */
	bool closing, reading, finish, draining;
	/* finish: close once everything is sent. draining: no further requests. */

	/* HTTP/1.1 */
	http_parser parser;
	struct exchange *current;
	struct buf pending; /* bytes after the current request */
	bool in_header_value, keep_alive, discard, eof, in_input;

	/* HTTP/2 */
	nghttp2_session *session;
	double control_tokens; /* a bucket for frames that cost work and move nothing */
	uint64_t control_at_ms;

	struct http_tunnel *tunnel;
	struct http_queue tunnel_out;
	bool tunnel_wait, tunnel_paused;
	uint64_t tunnel_check_ms; /* of a paused one: when to see whether its peer is there */
};

struct header_place {
	uint32_t name, name_len, value, value_len; /* in head_in or head_out */
};

struct exchange {
	struct http_exchange pub;
	struct list link;
	struct http_connection *conn; /* NULL once the client has gone */
	struct peer_object *peer;
	struct arena arena;
	uint64_t body_deadline_ms; /* while the request is coming in */

	struct buf head_in; /* names and values of the request, each with a NUL */
	VEC(struct header_place) fields;
	struct buf body;
	char method[32];
	uint32_t target, target_len, host, host_len; /* in head_in */

	struct buf head_out; /* HTTP/1.1: lines; HTTP/2: names and values */
	VEC(struct header_place) out_fields;
	struct http_queue out;
	int32_t stream_id;
	int64_t content_length;
	bool complete, dispatched, started, ended, chunked, no_body, has_provider, aborted;
	bool want_writable;
	const char *fault; /* the status line of a refusal; NULL: none */
};

static inline struct exchange *exchange_of(struct http_exchange *x)
{
	return CONTAINER_OF(x, struct exchange, pub);
}
static inline const struct exchange *exchange_of_const(const struct http_exchange *x)
{
	return CONTAINER_OF(x, struct exchange, pub);
}

/* http_exchange.c */
struct exchange *http_exchange_new(struct http_connection *c);
void http_exchange_free(struct exchange *x);
/* Returns false when there are too many or too long header fields. */
bool http_exchange_add_header(struct exchange *x, struct slice name, struct slice value);
/* Hands the complete request to the handler. */
void http_exchange_dispatch(struct exchange *x);
/* The client has gone: cuts the exchange off its connection and tells the handler. */
void http_exchange_orphan(struct exchange *x);
void http_exchange_maybe_writable(struct exchange *x);

/* http_conn.c */
void http_conn_open_fd(struct http_loop *hl, int fd);
/* Takes the connection apart at once. */
void http_conn_close(struct http_connection *c);
/* Has the connection's output looked at before the loop sleeps again. */
void http_conn_touch(struct http_connection *c);
void http_conn_flush_all(struct http_loop *hl);
void http_conn_set_deadline(struct http_connection *c, uint64_t delay_ms); /* 0: none */
void http_conn_arm(struct http_connection *c, uint64_t at_ms);
void http_conn_read_start(struct http_connection *c);
void http_conn_read_stop(struct http_connection *c);
/* Stops serving: idle connections end, others after their answers. */
void http_conn_drain(struct http_connection *c);
const char *http_loop_date(struct http_loop *hl);

/* http1.c */
void http1_init(struct http_connection *c);
void http1_input(struct http_connection *c, struct slice data);
/* Appends up to about max bytes to out; returns whether it appended any. */
bool http1_produce(struct http_connection *c, struct buf *out, size_t max);
void http1_start(struct exchange *x, int status, const char *content_type);
void http1_eof(struct http_connection *c);
void http1_deinit(struct http_connection *c);

/* http2.c */
int http2_init(struct http_connection *c);
void http2_input(struct http_connection *c, struct slice data);
bool http2_produce(struct http_connection *c, struct buf *out, size_t max);
void http2_start(struct exchange *x, int status, const char *content_type);
void http2_resume(struct exchange *x);
void http2_abort(struct exchange *x);
void http2_goaway(struct http_connection *c);
void http2_deinit(struct http_connection *c);

/* http_server.c */
void http_server_connection_gone(struct http_loop *hl);
void http_tunnel_close_from_peer(struct http_connection *c);
/* Hands over what came before the upgrade was decided. */
void http_tunnel_deliver(struct http_connection *c);
