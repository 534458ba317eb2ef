/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the HTTP client share: http_client.c has requests, http_client_conn.c their
 * connections. */
#include "common/base/list.h"
#include "common/net/http_client.h"
#include "common/net/http_internal.h"

enum { CLIENT_KEY_BYTES = 300, CLIENT_HOST_BYTES = 256 };

/* Where a URL leads. */
struct client_target {
	char key[CLIENT_KEY_BYTES]; /* "https://host:port": connections of one key are alike */
	char host[CLIENT_HOST_BYTES];
	char port[12];
	int port_number;
	bool https;
	struct slice path; /* with the query; in the URL */
};

struct http_client {
	struct http_client_options options;
	struct list requests;    /* http_request.link */
	struct list connections; /* all; client_conn.link */
};

struct client_conn {
	struct list link;
	struct http_client *client; /* NULL: being closed */
	struct loop *loop;
	uv_tcp_t tcp;
	uv_connect_t connect;
	char key[CLIENT_KEY_BYTES];
	struct tls_session *tls;
	http_parser parser;
	struct http_request *request; /* NULL: idle */
	struct loop_timer idle;
	size_t writing_bytes; /* in the kernel's hands */
	bool opened, ready, closing, reading, used, in_header_value, complete, keep_alive;
	struct http_tunnel *tunnel;
	bool tunnel_wait, tunnel_finish;
};

struct http_request {
	struct list link;
	struct http_client *client;
	struct client_conn *conn;
	struct http_client_call call; /* strings not valid after the start, but callbacks */
	struct client_target target;
	struct client_resolve *resolve;
	struct loop_timer phase; /* start, then connecting, then the head's deadline */
	struct loop_timer total;
	struct buf out; /* the request as it goes over the wire */
	bool started, is_head, retried, answered;

	int status;
	struct buf head; /* names and values, each with a NUL */
	VEC(struct header_place) fields;
	struct buf body;
	size_t body_bytes;
};

/* http_client.c */
/* Ends the request without (code 0) or with an error. */
void http_request_finish(struct http_request *r, int code, const struct err *err);
/* The connection broke before anything of an answer had come. */
void http_request_broken(struct http_request *r, const char *why);
void http_request_send(struct http_request *r);

/* http_client_conn.c */
struct client_conn *http_client_conn_idle(struct http_client *c, const char *key);
/* Connects; http_request_send is called when it is ready, http_request_finish when it fails. */
void http_client_conn_open(struct http_request *r, const struct sockaddr *address);
void http_client_conn_attach(struct client_conn *c, struct http_request *r);
void http_client_conn_write(struct client_conn *c, struct slice plain);
/* The request is over: keeps the connection or closes it. */
void http_client_conn_release(struct client_conn *c);
void http_client_conn_close(struct client_conn *c);
void http_client_conn_read(struct client_conn *c, bool on);
