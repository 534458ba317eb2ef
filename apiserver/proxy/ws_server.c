/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/proxy/ws_server.h"

enum { PAUSED_BY_OWNER = 1, PAUSED_BY_PONGS = 2 };

const char *ws_server_fault(const struct http_exchange *x)
{
	if (strcmp(x->method, "GET"))
		return "websocket: the method is not GET";
	if (!slice_eq_str(http_header_get(x, "sec-websocket-version"), "13"))
		return "websocket: unsupported version: 13 not found in 'Sec-Websocket-Version' "
		       "header";
	if (!ws_key_valid(http_header_get(x, "sec-websocket-key")))
		return "websocket: 'Sec-WebSocket-Key' header must be Base64 encoded value of "
		       "16-byte in length";
	return NULL;
}

static void read_when_wanted(struct ws_server *w)
{
	http_tunnel_pause(&w->tunnel, w->paused);
}

static void set_pause(struct ws_server *w, unsigned why, bool on)
{
	w->paused = on ? w->paused | why : w->paused & ~why;
	read_when_wanted(w);
}

static void close_with(struct ws_server *w, unsigned code, const char *reason)
{
	buf_clear(&w->out);
	ws_close_frame(&w->out, code, reason, NULL);
	ERR_IGNORE(http_tunnel_write(&w->tunnel, buf_view(&w->out))); /* the last one */
	http_tunnel_close(&w->tunnel);
}

/* False: the socket is over. */
static bool on_control(struct ws_server *w, const struct ws_piece *piece)
{
	unsigned code;

	switch (piece->opcode) {
	case WS_PING:
		buf_clear(&w->out);
		ws_frame(&w->out, WS_PONG, true, piece->data, NULL);
		/* Who pings and does not read is not read either. */
		if (http_tunnel_write(&w->tunnel, buf_view(&w->out)))
			set_pause(w, PAUSED_BY_PONGS, true);
		return true;
	case WS_CLOSE:
		code = ws_close_code(piece->data);
		close_with(w, code ? code : WS_CLOSE_PROTOCOL, "");
		w->on_end(w);
		return false;
	default:
		return true;
	}
}

static void on_data(struct http_tunnel *t, struct slice data)
{
	struct ws_server *w = CONTAINER_OF(t, struct ws_server, tunnel);
	struct ws_piece piece;
	int r;

	while ((r = ws_next(&w->parser, &data, &piece)) > 0) {
		if (piece.opcode & 8) {
			if (!on_control(w, &piece))
				return;
			continue;
		}
		w->on_piece(w, &piece);
		if (!w->tunnel.connection)
			return;
	}
	if (r < 0) {
		close_with(w, (unsigned)-r, "");
		w->on_end(w);
	}
}

static void on_writable(struct http_tunnel *t)
{
	struct ws_server *w = CONTAINER_OF(t, struct ws_server, tunnel);

	set_pause(w, PAUSED_BY_PONGS, false);
	w->on_writable(w);
}

static void on_closed(struct http_tunnel *t)
{
	struct ws_server *w = CONTAINER_OF(t, struct ws_server, tunnel);

	w->on_end(w);
}

void ws_server_accept(struct ws_server *w, struct http_exchange *x, const char *protocol)
{
	char accept[WS_ACCEPT_BYTES];

	ws_accept(http_header_get(x, "sec-websocket-key"), accept);
	http_set_header(x, "Sec-WebSocket-Accept", accept);
	http_set_header(x, "Sec-WebSocket-Protocol", protocol);
	w->parser.server = true;
	w->tunnel = (struct http_tunnel){
	    .on_data = on_data, .on_writable = on_writable, .on_closed = on_closed};
	/* The caller has seen that the exchange can be upgraded. */
	if (!http_upgrade(x, "websocket", &w->tunnel))
		abort();
}

void ws_server_deinit(struct ws_server *w)
{
	http_tunnel_close(&w->tunnel);
	buf_deinit(&w->out);
}

int ws_server_send(struct ws_server *w, struct slice prefix, struct slice data)
{
	uint8_t head[WS_HEAD_BYTES_MAX];

	buf_clear(&w->out);
	buf_add(&w->out, head, ws_head(head, WS_BINARY, true, prefix.len + data.len, NULL));
	buf_slice(&w->out, prefix);
	buf_slice(&w->out, data);
	return http_tunnel_write(&w->tunnel, buf_view(&w->out));
}

void ws_server_pause(struct ws_server *w, bool on)
{
	set_pause(w, PAUSED_BY_OWNER, on);
}

void ws_server_close(struct ws_server *w, unsigned code, const char *reason)
{
	if (w->tunnel.connection)
		close_with(w, code, reason);
}
