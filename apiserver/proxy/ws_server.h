/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The server's side of a WebSocket on a connection that was taken over: messages come piece by
 * piece, pings are answered, faults and the peer's close end it. */
#include "common/net/http_server.h"
#include "common/net/websocket.h"

struct ws_server {
	/* The owner's, set before ws_server_accept. Within on_piece the socket may be closed, but
	 * not freed. */
	void (*on_piece)(struct ws_server *w, const struct ws_piece *piece);
	void (*on_writable)(struct ws_server *w);
	/* The connection has ended, not by ws_server_close. May free the socket. */
	void (*on_end)(struct ws_server *w);

	struct http_tunnel tunnel;
	struct ws_parser parser;
	struct buf out;
	unsigned paused; /* why it is not read: bits */
};

/* NULL, or why the request cannot become a WebSocket (400). */
const char *ws_server_fault(const struct http_exchange *x);
/* Answers 101 with `protocol` and takes the connection over. */
void ws_server_accept(struct ws_server *w, struct http_exchange *x, const char *protocol);
void ws_server_deinit(struct ws_server *w);
/* One binary message of a prefix and data. 0, or 1: wait for on_writable. */
int ws_server_send(struct ws_server *w, struct slice prefix, struct slice data);
void ws_server_pause(struct ws_server *w, bool pause);
/* Says goodbye and closes; no callback follows. */
void ws_server_close(struct ws_server *w, unsigned code, const char *reason);
