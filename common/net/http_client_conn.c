/* SPDX-License-Identifier: Apache-2.0 */
/* A client's connection: socket, TLS, the answer's parser, reuse, tunnels. */
#include "common/net/http_client_internal.h"

struct client_flight {
	uv_write_t req;
	size_t len;
	uint8_t data[];
};

enum { TUNNEL_HIGH_BYTES = 256 << 10, TUNNEL_FINISH_MS = 5000, KEEPALIVE_S = 30 };

/* --- the end --------------------------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle)
{
	struct client_conn *c = handle->data;

	tls_session_free(c->tls);
	free(c);
}

void http_client_conn_close(struct client_conn *c)
{
	if (c->closing)
		return;
	c->closing = true;
	list_del(&c->link);
	loop_timer_stop(&c->idle);
	c->client = NULL;
	/* Bytes that the peer does not take would stay with the kernel for minutes, and its side of
	 * the connection as long: a reset tells it. */
	if (c->tunnel_finish && c->writing_bytes &&
	    uv_tcp_close_reset(&c->tcp, on_handle_closed) == 0)
		return;
	uv_close((uv_handle_t *)&c->tcp, on_handle_closed);
}

static void tunnel_closed(struct client_conn *c)
{
	struct http_tunnel *t = TAKE(c->tunnel);

	http_client_conn_close(c);
	if (!t)
		return;
	t->connection = NULL;
	if (t->on_closed)
		t->on_closed(t);
}

static void broken(struct client_conn *c, const char *why)
{
	struct http_request *r = c->request;

	if (c->tunnel) {
		tunnel_closed(c);
		return;
	}
	if (r)
		http_request_broken(r, why);
	else
		http_client_conn_close(c);
}

static void on_idle(void *arg)
{
	http_client_conn_close(arg);
}

void http_client_conn_release(struct client_conn *c)
{
	uint32_t n = 0;

	c->request = NULL;
	if (c->closing)
		return;
	LIST_FOREACH (&c->client->connections, other, struct client_conn, link)
		n += other != c && !other->request && !other->tunnel &&
		     strcmp(other->key, c->key) == 0;
	if (!c->keep_alive || !c->complete || n >= c->client->options.max_idle) {
		http_client_conn_close(c);
		return;
	}
	c->used = true;
	http_client_conn_read(c, true); /* learns when the server closes */
	loop_timer_start(&c->idle, c->client->options.idle_timeout_ms);
}

struct client_conn *http_client_conn_idle(struct http_client *client, const char *key)
{
	LIST_FOREACH (&client->connections, c, struct client_conn, link) {
		if (c->ready && !c->request && !c->tunnel && strcmp(c->key, key) == 0)
			return c;
	}
	return NULL;
}

/* --- output ---------------------------------------------------------------------------------- */

static void on_written(uv_write_t *req, int status)
{
	struct client_flight *f = CONTAINER_OF(req, struct client_flight, req);
	struct client_conn *c = req->data;

	c->writing_bytes -= f->len;
	free(f);
	if (c->closing)
		return;
	if (status < 0) {
		broken(c, uv_strerror(status));
		return;
	}
	if (c->tunnel_finish && c->writing_bytes == 0) {
		http_client_conn_close(c);
		return;
	}
	if (c->tunnel && c->tunnel_wait && c->writing_bytes <= TUNNEL_HIGH_BYTES / 2) {
		c->tunnel_wait = false;
		if (c->tunnel->on_writable)
			c->tunnel->on_writable(c->tunnel);
	}
}

static void write_wire(struct client_conn *c, struct slice wire)
{
	if (wire.len == 0 || c->closing)
		return;
	struct client_flight *f = malloc(sizeof(*f) + wire.len);
	if (!f)
		abort();
	f->len = wire.len;
	f->req.data = c;
	memcpy(f->data, wire.data, wire.len);
	uv_buf_t out = uv_buf_init((char *)f->data, (unsigned int)f->len);
	c->writing_bytes += f->len;
	/* A failure shows when reading. */
	if (uv_write(&f->req, (uv_stream_t *)&c->tcp, &out, 1, on_written) < 0) {
		c->writing_bytes -= f->len;
		free(f);
	}
}

void http_client_conn_write(struct client_conn *c, struct slice plain)
{
	_cleanup_buf_ struct buf wire = BUF_INIT;

	if (!c->tls) {
		write_wire(c, plain);
		return;
	}
	ERR_IGNORE(
	    tls_session_seal(c->tls, plain, &wire, NULL)); /* a dead session shows on reads */
	write_wire(c, buf_view(&wire));
}

/* --- the answer ------------------------------------------------------------------------------ */

static struct client_conn *conn_of(http_parser *p)
{
	return CONTAINER_OF(p, struct client_conn, parser);
}

static int on_message_begin(http_parser *p)
{
	struct client_conn *c = conn_of(p);

	if (!c->request || c->complete)
		return -1; /* an answer that nobody asked for */
	buf_clear(&c->request->head);
	vec_clear(&c->request->fields);
	c->request->answered = true;
	c->in_header_value = false;
	return 0;
}

static int on_header_field(http_parser *p, const char *at, size_t len)
{
	struct client_conn *c = conn_of(p);
	struct http_request *r = c->request;

	if (!r || r->head.len + len > c->client->options.max_header_bytes ||
	    r->fields.n >= HTTP_HEADERS_MAX)
		return -1;
	if (r->fields.n == 0 || c->in_header_value) {
		buf_byte(&r->head, 0);
		*vec_push(&r->fields) = (struct header_place){.name = (uint32_t)r->head.len};
		c->in_header_value = false;
	}
	for (size_t i = 0; i < len; i++)
		buf_byte(&r->head,
		         at[i] >= 'A' && at[i] <= 'Z' ? (uint8_t)(at[i] | 0x20) : (uint8_t)at[i]);
	vec_last(&r->fields)->name_len += (uint32_t)len;
	return 0;
}

static int on_header_value(http_parser *p, const char *at, size_t len)
{
	struct client_conn *c = conn_of(p);
	struct http_request *r = c->request;

	if (!r || r->head.len + len > c->client->options.max_header_bytes)
		return -1;
	struct header_place *f = vec_last(&r->fields);
	if (!c->in_header_value) {
		buf_byte(&r->head, 0);
		f->value = (uint32_t)r->head.len;
		c->in_header_value = true;
	}
	buf_add(&r->head, at, len);
	f->value_len += (uint32_t)len;
	return 0;
}

static bool is_interim(const http_parser *p)
{
	return p->status_code < 200 && p->status_code != 101;
}

static int on_headers_complete(http_parser *p)
{
	struct client_conn *c = conn_of(p);
	struct http_request *r = c->request;

	if (!r)
		return -1;
	if (is_interim(p))
		return 0;
	buf_byte(&r->head, 0);
	r->status = (int)p->status_code;
	c->keep_alive = http_should_keep_alive(p);
	loop_timer_stop(&r->phase);
	if (p->status_code == 101 && r->call.tunnel)
		return 2; /* what follows is not HTTP */
	bool no_body = r->is_head;
	if (r->call.on_head)
		r->call.on_head(r, r->call.arg);
	if (!c->request)
		return -1; /* cancelled by the callback */
	return no_body ? 1 : 0;
}

static int on_body(http_parser *p, const char *at, size_t len)
{
	struct client_conn *c = conn_of(p);
	struct http_request *r = c->request;

	if (!r)
		return -1;
	if (r->call.on_body) {
		r->call.on_body(r, slice_of(at, len), r->call.arg);
		return c->request ? 0 : -1;
	}
	if (r->body.len + len > r->call.max_body_bytes)
		return -1;
	buf_add(&r->body, at, len);
	return 0;
}

static int on_message_complete(http_parser *p)
{
	struct client_conn *c = conn_of(p);

	if (!is_interim(p))
		c->complete = true;
	return 0;
}

static const http_parser_settings settings = {
    .on_message_begin = on_message_begin,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* --- tunnels --------------------------------------------------------------------------------- */

static int tunnel_write(void *connection, struct slice data)
{
	struct client_conn *c = connection;

	http_client_conn_write(c, data);
	c->tunnel_wait = c->writing_bytes > TUNNEL_HIGH_BYTES;
	return c->tunnel_wait;
}

static void tunnel_pause(void *connection, bool pause)
{
	http_client_conn_read(connection, !pause);
}

static void tunnel_close(void *connection)
{
	struct client_conn *c = connection;

	c->tunnel = NULL;
	c->tunnel_finish = true;
	http_client_conn_read(c, false);
	if (c->writing_bytes == 0) {
		http_client_conn_close(c);
		return;
	}
	/* The last bytes still go out, whether or not the client goes before. */
	list_del(&c->link);
	loop_timer_start(&c->idle, TUNNEL_FINISH_MS);
}

static const struct http_tunnel_ops tunnel_ops = {tunnel_write, tunnel_pause, tunnel_close};

static void become_tunnel(struct client_conn *c, struct slice rest)
{
	struct http_request *r = c->request;
	struct http_client_call call = r->call;
	struct http_tunnel *t = call.tunnel;

	c->tunnel = t;
	t->connection = c;
	t->ops = &tunnel_ops;
	if (call.on_upgraded)
		call.on_upgraded(r, call.arg);
	/* The request ends here, the connection goes on without it. */
	if (c->request == r) {
		r->conn = NULL;
		c->request = NULL;
		http_request_cancel(r);
	}
	if (c->tunnel && rest.len && c->tunnel->on_data)
		c->tunnel->on_data(c->tunnel, rest);
}

/* --- input ----------------------------------------------------------------------------------- */

static void plain_input(struct client_conn *c, struct slice data)
{
	if (c->tunnel) {
		if (c->tunnel->on_data)
			c->tunnel->on_data(c->tunnel, data);
		return;
	}
	if (!c->request) {
		http_client_conn_close(c); /* nobody asked */
		return;
	}
	size_t n = http_parser_execute(&c->parser, &settings, (const char *)data.data, data.len);
	if (!c->request)
		return; /* cancelled by a callback */
	if (c->complete && c->parser.upgrade && c->request->status == 101) {
		become_tunnel(c, slice_skip(data, n));
	} else if (c->complete) {
		c->keep_alive = c->keep_alive && n == data.len;
		http_request_finish(c->request, 0, NULL);
	} else if (HTTP_PARSER_ERRNO(&c->parser) != HPE_OK) {
		struct err err = ERR_INIT;
		err_set(&err, ERR_IO, "malformed answer from %s: %s", c->key,
		        http_errno_description(HTTP_PARSER_ERRNO(&c->parser)));
		http_request_finish(c->request, -ERR_IO, &err);
	}
}

/* The end may be the end of a body without a length. */
static void on_end(struct client_conn *c)
{
	if (c->request && !c->tunnel && c->ready) {
		c->keep_alive = false;
		http_parser_execute(&c->parser, &settings, NULL, 0);
		if (c->request && c->complete) {
			c->keep_alive = false;
			http_request_finish(c->request, 0, NULL);
			return;
		}
	}
	if (!c->closing)
		broken(c, "the connection was closed");
}

static void become_ready(struct client_conn *c)
{
	c->ready = true;
	http_parser_init(&c->parser, HTTP_RESPONSE);
	if (c->request)
		http_request_send(c->request);
}

static void tls_input(struct client_conn *c, struct slice data)
{
	_cleanup_buf_ struct buf plain = BUF_INIT, wire = BUF_INIT;
	struct err err = ERR_INIT;
	int r = tls_session_feed(c->tls, data, &plain, &wire, &err);

	write_wire(c, buf_view(&wire));
	if (!c->ready && tls_session_established(c->tls))
		become_ready(c);
	if (plain.len && !c->closing)
		plain_input(c, buf_view(&plain));
	if (c->closing)
		return;
	if (r == -ERR_EOF)
		on_end(c);
	else if (r < 0)
		broken(c, err.text);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
	char *space = malloc(HTTP_RECORD_BYTES);
	if (!space)
		abort();
	*out = uv_buf_init(space, HTTP_RECORD_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *space)
{
	struct client_conn *c = stream->data;
	struct slice data = slice_of(space->base, n > 0 ? (size_t)n : 0);

	if (c->closing || n == 0) {
		free(space->base);
		return;
	}
	if (n == UV_EOF)
		on_end(c);
	else if (n < 0)
		broken(c, uv_strerror((int)n));
	else if (c->tls)
		tls_input(c, data);
	else
		plain_input(c, data);
	free(space->base);
}

void http_client_conn_read(struct client_conn *c, bool on)
{
	if (c->reading == on || c->closing)
		return;
	c->reading = on;
	if (on)
		uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
	else
		uv_read_stop((uv_stream_t *)&c->tcp);
}

/* --- the beginning --------------------------------------------------------------------------- */

void http_client_conn_attach(struct client_conn *c, struct http_request *r)
{
	loop_timer_stop(&c->idle);
	c->request = r;
	r->conn = c;
	c->complete = false;
	c->keep_alive = false;
	if (c->ready)
		http_parser_init(&c->parser, HTTP_RESPONSE);
	http_client_conn_read(c, c->opened);
}

static void on_connected(uv_connect_t *req, int status)
{
	struct client_conn *c = req->data;

	if (c->closing)
		return;
	if (status < 0) {
		broken(c, uv_strerror(status));
		return;
	}
	c->opened = true;
	uv_tcp_nodelay(&c->tcp, 1);
	uv_tcp_keepalive(&c->tcp, 1, KEEPALIVE_S);
	http_client_conn_read(c, true);
	if (c->tls)
		tls_input(c, SLICE_EMPTY);
	else
		become_ready(c);
}

void http_client_conn_open(struct http_request *r, const struct sockaddr *address)
{
	struct client_conn *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->client = r->client;
	c->loop = r->client->options.loop;
	memcpy(c->key, r->target.key, sizeof(c->key));
	if (r->target.https)
		c->tls = tls_session_new(r->client->options.tls, r->target.host);
	loop_timer_init(&c->idle, c->loop, on_idle, c);
	uv_tcp_init(&c->loop->uv, &c->tcp);
	c->tcp.data = c;
	c->connect.data = c;
	list_add_tail(&c->client->connections, &c->link);
	http_client_conn_attach(c, r);
	int status = uv_tcp_connect(&c->connect, &c->tcp, address, on_connected);
	if (status < 0)
		broken(c, uv_strerror(status));
}
