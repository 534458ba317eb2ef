/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An HTTP server on libuv: HTTP/1.1 (http-parser) and HTTP/2 (nghttp2; by ALPN, or by prior
 * knowledge on plain connections), TLS or plain. One struct http_exchange is one request with its
 * answer, whatever the version.
 *
 *     http_server_new(&(struct http_server_options){.on_request = f, .tls = ctx}, &server);
 *     http_server_listen(server, loop, "0.0.0.0", 6443, &port, &err);
 *
 * Listening on several loops spreads the connections over them (SO_REUSEPORT); all that belongs to
 * a connection runs on its loop. The handler is called once the whole request is there (its body is
 * bounded by max_body_bytes) and answers when it likes. An exchange lives until the handler has
 * ended it by http_reply, http_end, http_abort or http_upgrade; a client that goes away is told by
 * on_closed, and the handler still ends the exchange.
 *
 * Bounded: headers, bodies, streams, requests that are pipelined (one at a time is handled), bytes
 * queued (the handler honours http_write's answer), time until the headers are complete, idle time,
 * and floods of HTTP/2 control frames. */
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/net/loop.h"
#include "common/net/tls.h"

struct http_server;
struct http_connection;

struct http_header {
	struct slice name; /* lower case */
	struct slice value;
};

enum { HTTP_PEER_CERTS_MAX = 10 };

/* The connection as handlers see it; one object for all its exchanges. */
struct http_peer {
	char address[64]; /* "10.0.0.1:4711", "[::1]:4711" */
	bool tls, http2;
	struct slice certs[HTTP_PEER_CERTS_MAX]; /* DER, leaf first; not verified by the server */
	size_t n_certs;
	/* The handler's own, freed by data_free when the connection ends. */
	void *data;
	void (*data_free)(void *data);
};

struct http_exchange {
	struct loop *loop;
	struct http_peer *peer;
	const char *method;
	struct slice target; /* "/api/v1/pods?watch=1" */
	struct slice host;
	const struct http_header *headers;
	size_t n_headers;
	struct slice body;
	bool body_too_large; /* the body went beyond max_body_bytes and was dropped */
	bool upgrade;        /* HTTP/1.1 Upgrade was asked for */
	struct arena *arena; /* for the handler; lives as long as the exchange */
	/* The handler's; see the comment at the top. Never called from within an http_ function. */
	void (*on_closed)(struct http_exchange *x);
	void (*on_writable)(struct http_exchange *x);
	void *data;
	bool closed;
	bool patient; /* the handler's: a client that is slow to read this answer is not cut */
};

struct http_server_options {
	void (*on_request)(struct http_exchange *x, void *arg);
	void *arg;
	struct tls_context *tls; /* NULL: plain. A reference is taken */
	bool no_http2;
	uint32_t max_body_bytes;    /* 0: 3 MiB */
	uint32_t max_header_bytes;  /* 0: 1 MiB */
	uint32_t max_streams;       /* a connection; 0: 250 */
	uint32_t max_connections;   /* 0: no limit but the process's */
	uint32_t header_timeout_ms; /* 0: 32 s; also of the TLS handshake */
	uint32_t idle_timeout_ms;   /* 0: 90 s; between requests */
	uint32_t body_timeout_ms;   /* 0: 60 s; until the body is there */
	uint32_t write_timeout_ms;  /* 0: 60 s; a client that takes no byte for so long is cut */
	uint32_t queue_high_bytes;  /* http_write returns 1 above this; 0: 256 KiB */
};

void http_server_new(const struct http_server_options *o, struct http_server **ret);
/* Accepts on `loop` and spreads the connections over it and all added loops. Before the loop runs,
 * or on it. port 0 picks one; *ret_port may be NULL. All
 * listeners of a server are on one loop. */
int http_server_listen(struct http_server *s, struct loop *loop, const char *address, int port,
                       int *ret_port, struct err *err);
/* Lets another loop serve connections too. Before the loops run. */
void http_server_add_loop(struct http_server *s, struct loop *loop);
/* The same as http_server_listen on a unix socket's path. */
int http_server_listen_unix(struct http_server *s, struct loop *loop, const char *path,
                            struct err *err);
/* Takes a connected stream socket (the loop's thread). */
int http_server_adopt_fd(struct http_server *s, struct loop *loop, int fd);
/* Any thread. Stops listening, tells clients to go (GOAWAY, Connection: close), closes idle
 * connections now and all others after grace_ms; done(arg) runs on `loop` when none is left. */
void http_server_stop(struct http_server *s, uint32_t grace_ms, struct loop *loop, loop_fn done,
                      void *arg);
/* After done, or when never listened. */
void http_server_free(struct http_server *s);
/* Connections that are open; any thread. */
uint32_t http_server_connections(const struct http_server *s);

/* Value of the first header called `name` (lower case); data NULL when absent. */
struct slice http_header_get(const struct http_exchange *x, const char *name);

/* The answer: any http_set_header, then http_reply, or http_start + http_write ... + http_end.
 * Bytes are queued and leave at the end of the turn. */
void http_set_header(struct http_exchange *x, const char *name, const char *value);
/* content_length < 0: not known (chunked, or until the connection closes for HTTP/1.0). */
void http_start(struct http_exchange *x, int status, const char *content_type,
                int64_t content_length);
/* 0, or 1 when the queue is above its mark: wait for on_writable. Never fails: after the client has
 * gone the bytes are dropped. */
int http_write(struct http_exchange *x, struct slice data);
int http_write_blob(struct http_exchange *x, struct blob *data); /* takes its own reference */
void http_end(struct http_exchange *x);
void http_reply(struct http_exchange *x, int status, const char *content_type, struct slice body);
/* Cuts the stream (HTTP/2: RST_STREAM) or the connection. */
void http_abort(struct http_exchange *x);
size_t http_queued_bytes(const struct http_exchange *x);

/* A connection that was taken over by http_upgrade or by a client's request (http_client.h): bytes
 * go both ways. The callbacks are set by its owner before. */
struct http_tunnel_ops;
struct http_tunnel {
	void *connection; /* NULL once closed */
	const struct http_tunnel_ops *ops;
	void (*on_data)(struct http_tunnel *t, struct slice data);
	void (*on_writable)(struct http_tunnel *t);
	void (*on_closed)(struct http_tunnel *t); /* last; not after http_tunnel_close */
};
/* Takes the connection over after an HTTP/1.1 Upgrade: sends 101 with the headers that were set and
 * ends the exchange. False (and nothing happened) when the exchange cannot be upgraded. */
bool http_upgrade(struct http_exchange *x, const char *protocol, struct http_tunnel *t);
/* 0, or 1 when the queue is above its mark: wait for on_writable. Dropped once closed. */
int http_tunnel_write(struct http_tunnel *t, struct slice data);
/* Stops or resumes on_data. */
void http_tunnel_pause(struct http_tunnel *t, bool pause);
/* Flushes and closes; t may be freed at once. */
void http_tunnel_close(struct http_tunnel *t);
