/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An HTTP/1.1 client on libuv, plain or TLS. A client keeps idle connections to reuse them; one
 * request runs on one connection at a time. All of a client belongs to one loop. */
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/net/http_server.h"

struct http_client;
struct http_request;

struct http_client_options {
	struct loop *loop;
	struct tls_context *tls;     /* for https; a reference is taken */
	uint32_t connect_timeout_ms; /* 0: 10 s; name, connection and handshake */
	uint32_t idle_timeout_ms;    /* 0: 90 s; how long an idle connection is kept */
	uint32_t max_idle;           /* connections a host that are kept; 0: 4 */
	uint32_t max_header_bytes;   /* 0: 1 MiB */
};

struct http_client_call {
	const char *method; /* NULL: "GET" */
	const char *url;    /* http://host:port/path?query, https://..., http+unix is not known */
	const struct http_header
	    *headers; /* Content-Length and (without a "host") Host are added */
	size_t n_headers;
	struct slice body;         /* copied */
	uint32_t timeout_ms;       /* until the answer's headers; 0: none */
	uint32_t total_timeout_ms; /* until its end; 0: none */
	const char *upgrade;       /* "SPDY/3.1", "websocket": asks for it; NULL: not */
	uint32_t max_body_bytes;   /* of answers collected for on_done; 0: 10 MiB */

	/* The answer's head. NULL allowed. */
	void (*on_head)(struct http_request *r, void *arg);
	/* A piece of the body. NULL: it is collected in http_request_body(). */
	void (*on_body)(struct http_request *r, struct slice data, void *arg);
	/* The last callback, exactly once unless cancelled: 0, or -ERR_TIMEOUT, -ERR_UNAVAILABLE
	 * (no connection), -ERR_IO (broken off) ... An HTTP error status is not an error. */
	void (*on_done)(struct http_request *r, int code, const struct err *err, void *arg);
	/* 101 came: the connection belongs to `tunnel` from now on; on_done is not called. */
	void (*on_upgraded)(struct http_request *r, void *arg);
	struct http_tunnel *tunnel;
	void *arg;
};

void http_client_new(const struct http_client_options *o, struct http_client **ret);
/* Cancels all requests without calling them back. */
void http_client_free(struct http_client *c);
/* Never calls back before it has returned. The request lives until on_done or on_upgraded has
 * returned. */
struct http_request *http_client_start(struct http_client *c, const struct http_client_call *call);
/* No callback comes after this. */
void http_request_cancel(struct http_request *r);
/* Stops or resumes reading (on_body's back-pressure). */
void http_request_pause(struct http_request *r, bool pause);

int http_request_status(const struct http_request *r); /* 0 before the head */
struct slice http_request_header(const struct http_request *r, const char *name);
/* The i-th header of the answer, its name in lower case; false: there are no more. */
bool http_request_field(const struct http_request *r, size_t i, struct http_header *ret);
struct slice http_request_body(const struct http_request *r);
