/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 (RFC 9112): one request at a time is parsed and handled; what is pipelined behind it
 * waits in `pending`, bounded by stopping to read. */
#include "common/net/http_internal.h"

static struct http_connection *conn_of(http_parser *p)
{
	return CONTAINER_OF(p, struct http_connection, parser);
}

static int on_message_begin(http_parser *p)
{
	struct http_connection *c = conn_of(p);

	c->current = http_exchange_new(c);
	c->in_header_value = false;
	c->current->target = 0;
	http_conn_set_deadline(c, c->hl->server->options.header_timeout_ms);
	return 0;
}

static int on_url(http_parser *p, const char *at, size_t len)
{
	struct exchange *x = conn_of(p)->current;

	if (x->head_in.len + len > x->conn->hl->server->options.max_header_bytes)
		return -1;
	buf_add(&x->head_in, at, len);
	x->target_len += (uint32_t)len;
	return 0;
}

/* Names and values may come in pieces: a field is open until the next one begins. */
static int on_header_field(http_parser *p, const char *at, size_t len)
{
	struct http_connection *c = conn_of(p);
	struct exchange *x = c->current;

	if (x->fields.n == 0 || c->in_header_value) {
		if (x->fields.n >= HTTP_HEADERS_MAX)
			return -1;
		buf_byte(&x->head_in, 0);
		*vec_push(&x->fields) = (struct header_place){.name = (uint32_t)x->head_in.len};
		c->in_header_value = false;
	}
	/* The parser lets spaces pass, which servers behind a proxy read in different ways. */
	if (memchr(at, ' ', len)) {
		x->fault = "400 Bad Request";
		return -1;
	}
	if (x->head_in.len + len > c->hl->server->options.max_header_bytes)
		return -1;
	size_t start = x->head_in.len;
	buf_add(&x->head_in, at, len);
	for (size_t i = start; i < x->head_in.len; i++) {
		if (x->head_in.data[i] >= 'A' && x->head_in.data[i] <= 'Z')
			x->head_in.data[i] |= 0x20;
	}
	vec_last(&x->fields)->name_len += (uint32_t)len;
	return 0;
}

static int on_header_value(http_parser *p, const char *at, size_t len)
{
	struct http_connection *c = conn_of(p);
	struct exchange *x = c->current;
	struct header_place *f = vec_last(&x->fields);

	if (!c->in_header_value) {
		buf_byte(&x->head_in, 0);
		f->value = (uint32_t)x->head_in.len;
		c->in_header_value = true;
	}
	if (x->head_in.len + len > c->hl->server->options.max_header_bytes)
		return -1;
	buf_add(&x->head_in, at, len);
	f->value_len += (uint32_t)len;
	return 0;
}

static bool expects_continue(const struct exchange *x)
{
	for (size_t i = 0; i < x->fields.n; i++) {
		const struct header_place *f = &x->fields.at[i];
		struct slice name = slice_of(x->head_in.data + f->name, f->name_len);
		struct slice value = slice_of(x->head_in.data + f->value, f->value_len);
		if (slice_eq_str(name, "expect"))
			return value.len == 12 &&
			       strncasecmp((const char *)value.data, "100-continue", 12) == 0;
	}
	return false;
}

/* What a Host header may hold (RFC 3986: a host and a port), as Go's server takes it. */
static bool is_host(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.data[i];
		bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';

		if (!letter && !(c >= '0' && c <= '9') && (!c || !strchr("!$%&'()*+,-.:;=[]_~", c)))
			return false;
	}
	return true;
}

/* What a request must not come with more or less than one of, lest servers on its way differ in
 * where it goes. NULL: nothing is wrong. */
static const char *host_fault(const http_parser *p, const struct exchange *x)
{
	const struct header_place *host = NULL;

	VEC_FOREACH (&x->fields, f) {
		if (f->name_len != 4 || memcmp(x->head_in.data + f->name, "host", 4) != 0)
			continue;
		if (host)
			return "400 Bad Request";
		host = f;
	}
	if (!host)
		return p->http_minor >= 1 && p->method != HTTP_CONNECT
		           ? "400 Bad Request: missing required Host header"
		           : NULL;
	return is_host(slice_of(x->head_in.data + host->value, host->value_len))
	           ? NULL
	           : "400 Bad Request: malformed Host header";
}

static int on_headers_complete(http_parser *p)
{
	struct http_connection *c = conn_of(p);
	struct exchange *x = c->current;
	const struct http_server_options *o = &c->hl->server->options;

	x->fault = p->http_major != 1 ? "505 HTTP Version Not Supported" : host_fault(p, x);
	if (x->fault)
		return -1;
	buf_byte(&x->head_in, 0);
	snprintf(x->method, sizeof(x->method), "%s", http_method_str((enum http_method)p->method));
	c->keep_alive = http_should_keep_alive(p);
	x->pub.upgrade = p->upgrade;
	http_conn_set_deadline(c, o->body_timeout_ms);
	bool has_body =
	    (p->flags & F_CHUNKED) || (p->content_length && p->content_length != ULLONG_MAX);
	if (has_body && p->content_length != ULLONG_MAX && p->content_length > o->max_body_bytes) {
		x->pub.body_too_large = true;
		http_parser_pause(p, 1);
	} else if (has_body && expects_continue(x)) {
		http_queue_add(&x->out, SLICE_LIT("HTTP/1.1 100 Continue\r\n\r\n"));
		http_conn_touch(c);
	}
	return 0;
}

static int on_body(http_parser *p, const char *at, size_t len)
{
	struct http_connection *c = conn_of(p);
	struct exchange *x = c->current;

	if (x->body.len + len > c->hl->server->options.max_body_bytes) {
		x->pub.body_too_large = true;
		c->body_bytes -= x->body.len;
		buf_deinit(&x->body);
		http_parser_pause(p, 1);
		return 0;
	}
	c->body_bytes += len;
	buf_add(&x->body, at, len);
	return 0;
}

/* The parser stops here, so that what follows stays in `pending` until this one is answered. */
static int on_message_complete(http_parser *p)
{
	conn_of(p)->current->complete = true;
	http_parser_pause(p, 1);
	return 0;
}

static const http_parser_settings settings = {
    .on_message_begin = on_message_begin,
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

void http1_init(struct http_connection *c)
{
	http_parser_init(&c->parser, HTTP_REQUEST);
}

void http1_deinit(struct http_connection *c)
{
	buf_deinit(&c->pending);
}

/* Refuses what cannot be parsed, in the words of Go's server, and closes. */
static void refuse(struct http_connection *c, const char *status)
{
	struct exchange *x = c->current;
	char text[256];

	if (!x)
		x = c->current = http_exchange_new(c);
	int n = snprintf(text, sizeof(text),
	                 "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
	                 "Connection: close\r\n\r\n%s",
	                 status, status);
	http_queue_add(&x->out, slice_of(text, (size_t)n));
	x->dispatched = x->started = x->ended = true;
	c->body_bytes -= MIN(c->body_bytes, x->body.len);
	c->keep_alive = false;
	c->discard = true;
	http_conn_set_deadline(c, 0);
	http_conn_touch(c);
}

static void dispatch(struct http_connection *c)
{
	struct exchange *x = c->current;

	if (x->pub.body_too_large) {
		c->keep_alive = false;
		c->discard = true;
	}
	http_conn_set_deadline(c, 0);
	http_exchange_dispatch(x);
}

static void keep_for_later(struct http_connection *c, struct slice data)
{
	if (c->discard)
		return;
	buf_slice(&c->pending, data);
	if (c->pending.len > HTTP_PIPELINE_BYTES)
		http_conn_read_stop(c);
}

/* Whether what the parser stopped at is a method that it does not know, of a request that is well
 * formed else, as far as its first line tells. */
static bool is_odd_method(struct slice rest)
{
	const uint8_t *end = memmem(rest.data, rest.len, "\r\n", 2);
	struct slice line = slice_of(rest.data, end ? (size_t)(end - rest.data) : 0);
	size_t n = 0;

	while (n < line.len && line.data[n] > ' ' && line.data[n] < 0x7f &&
	       !strchr("()<>@,;:\\\"/[]?={}", line.data[n]))
		n++;
	return n + 1 < line.len && line.data[n] == ' ' && line.data[n + 1] == '/' && line.len > 9 &&
	       memcmp(line.data + line.len - 9, " HTTP/1.", 8) == 0;
}

/* `rest`: the input from where the parser stopped. */
static void on_parser_error(struct http_connection *c, struct slice rest)
{
	enum http_errno e = HTTP_PARSER_ERRNO(&c->parser);
	bool too_large = e == HPE_HEADER_OVERFLOW || e == HPE_CB_url || e == HPE_CB_header_field ||
	                 e == HPE_CB_header_value;

	if (c->current && c->current->fault)
		refuse(c, c->current->fault);
	else if (too_large)
		refuse(c, "431 Request Header Fields Too Large");
	else if (e == HPE_INVALID_METHOD && is_odd_method(rest))
		refuse(c, "405 Method Not Allowed");
	else
		refuse(c, "400 Bad Request");
}

void http1_input(struct http_connection *c, struct slice data)
{
	/* A handler that answers at once must not start the next request inside this loop. */
	while (data.len && !c->closing && c->protocol == HTTP_1) {
		if (c->discard)
			return;
		if (c->current && c->current->dispatched) {
			keep_for_later(c, data);
			return;
		}
		size_t n =
		    http_parser_execute(&c->parser, &settings, (const char *)data.data, data.len);
		enum http_errno e = HTTP_PARSER_ERRNO(&c->parser);
		data = slice_skip(data, n);
		if (e == HPE_PAUSED) {
			http_parser_pause(&c->parser, 0);
			dispatch(c);
		} else if (e != HPE_OK) {
			on_parser_error(c, data);
			return;
		}
	}
	if (c->protocol == HTTP_TUNNEL && data.len && !c->closing && c->tunnel &&
	    c->tunnel->on_data)
		c->tunnel->on_data(c->tunnel, data);
}

/* The current answer is out: on to the next request. */
static void finish_current(struct http_connection *c)
{
	struct exchange *x = TAKE(c->current);
	bool cut = x->aborted || !c->keep_alive || c->draining || c->eof;

	http_exchange_free(x);
	if (cut) {
		c->finish = true;
		return;
	}
	http_conn_set_deadline(c, c->hl->server->options.idle_timeout_ms);
	http_conn_read_start(c);
	if (c->pending.len) {
		struct buf rest = c->pending;
		c->pending = BUF_INIT;
		http1_input(c, buf_view(&rest));
		buf_deinit(&rest);
	}
}

bool http1_produce(struct http_connection *c, struct buf *out, size_t max)
{
	struct exchange *x = c->current;

	if (!x)
		return false;
	if (x->aborted) {
		http_conn_close(c);
		return false;
	}
	buf_reserve(out, max);
	size_t n = http_queue_take(&x->out, out->data + out->len, max);
	out->len += n;
	if (x->ended && x->out.bytes == 0)
		finish_current(c);
	return n > 0;
}

static bool may_keep_alive(const struct exchange *x)
{
	const struct http_connection *c = x->conn;

	return c->keep_alive && !c->draining && !c->eof;
}

static void add_line(struct buf *b, const char *name, struct slice value)
{
	buf_str(b, name);
	buf_add(b, ": ", 2);
	buf_slice(b, value);
	buf_add(b, "\r\n", 2);
}

static void add_length(struct exchange *x, struct buf *head, int status)
{
	bool http11 = x->conn->parser.http_major == 1 && x->conn->parser.http_minor >= 1;

	if (status == 204 || status == 304 || status < 200)
		return;
	if (x->content_length >= 0) {
		buf_printf(head, "Content-Length: %lld\r\n", (long long)x->content_length);
	} else if (http11) {
		buf_str(head, "Transfer-Encoding: chunked\r\n");
		x->chunked = !x->no_body;
	} else {
		x->conn->keep_alive = false;
	}
}

void http1_start(struct exchange *x, int status, const char *content_type)
{
	struct http_connection *c = x->conn;
	_cleanup_buf_ struct buf head = BUF_INIT;
	const char *reason = http_status_str((enum http_status)status);

	buf_reserve(&head, x->head_out.len + 256);
	buf_printf(&head, "HTTP/1.1 %d %s\r\n", status,
	           strcmp(reason, "<unknown>") == 0 ? "Unknown" : reason);
	for (size_t i = 0; i < x->out_fields.n; i++) {
		const struct header_place *f = &x->out_fields.at[i];
		add_line(&head, (const char *)x->head_out.data + f->name,
		         slice_of(x->head_out.data + f->value, f->value_len));
	}
	if (content_type)
		add_line(&head, "Content-Type", slice_str(content_type));
	if (status != 101)
		add_line(&head, "Date", slice_str(http_loop_date(c->hl)));
	add_length(x, &head, status);
	if (status != 101 && !may_keep_alive(x))
		buf_str(&head, "Connection: close\r\n");
	else if (status != 101 && c->parser.http_minor == 0)
		buf_str(&head, "Connection: keep-alive\r\n");
	buf_str(&head, "\r\n");
	http_queue_add(&x->out, buf_view(&head));
}

/* The client has shut its side down. An answer on its way is finished; one that streams without an
 * end is told. */
void http1_eof(struct http_connection *c)
{
	struct exchange *x = c->current;

	if (!x || !x->dispatched) {
		http_conn_close(c);
		return;
	}
	c->eof = true;
	c->discard = true;
	if (x->started && !x->ended && x->content_length < 0)
		http_conn_close(c);
}

/* --- upgrades -------------------------------------------------------------------------------- */

static int tunnel_write(void *connection, struct slice data)
{
	struct http_connection *c = connection;

	http_queue_add(&c->tunnel_out, data);
	http_conn_touch(c);
	if (c->tunnel_out.bytes <= c->hl->server->options.queue_high_bytes)
		return 0;
	c->tunnel_wait = true;
	return 1;
}

static void tunnel_pause(void *connection, bool pause)
{
	struct http_connection *c = connection;

	if (pause && !c->tunnel_paused) {
		c->tunnel_check_ms = loop_now_ms(c->hl->loop) + HTTP_TUNNEL_CHECK_MS;
		http_conn_arm(c, c->tunnel_check_ms);
	}
	c->tunnel_paused = pause;
	if (pause)
		http_conn_read_stop(c);
	else
		http_conn_read_start(c);
	if (!pause && c->pending.len)
		http_conn_touch(c);
}

static void tunnel_close(void *connection)
{
	struct http_connection *c = connection;

	c->tunnel = NULL;
	c->finish = true;
	c->discard = true; /* what the peer may still be sending must not reset our last bytes */
	http_conn_set_deadline(c, c->hl->server->options.write_timeout_ms);
	http_conn_touch(c);
}

void http_tunnel_deliver(struct http_connection *c)
{
	struct buf early = c->pending;

	c->pending = BUF_INIT;
	if (c->tunnel && c->tunnel->on_data)
		c->tunnel->on_data(c->tunnel, buf_view(&early));
	buf_deinit(&early);
}

static const struct http_tunnel_ops tunnel_ops = {tunnel_write, tunnel_pause, tunnel_close};

bool http_upgrade(struct http_exchange *pub, const char *protocol, struct http_tunnel *t)
{
	struct exchange *x = exchange_of(pub);
	struct http_connection *c = x->conn;

	if (!c || c->protocol != HTTP_1 || !pub->upgrade || x->started)
		return false;
	http_set_header(pub, "Connection", "Upgrade");
	http_set_header(pub, "Upgrade", protocol);
	http1_start(x, 101, NULL);
	c->tunnel_out = x->out;
	x->out = (typeof(x->out)){0};
	c->protocol = HTTP_TUNNEL;
	c->tunnel = t;
	c->current = NULL;
	t->connection = c;
	t->ops = &tunnel_ops;
	http_exchange_free(x);
	http_conn_set_deadline(c, 0);
	/* What came behind the request waits in `pending` for the flush. */
	http_conn_read_start(c);
	http_conn_touch(c);
	return true;
}

void http_tunnel_close_from_peer(struct http_connection *c)
{
	struct http_tunnel *t = TAKE(c->tunnel);

	if (!t)
		return;
	t->connection = NULL;
	if (t->on_closed)
		t->on_closed(t);
}
