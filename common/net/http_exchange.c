/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers' side of a request, the same for HTTP/1.1 and HTTP/2. */
#include "common/net/http_internal.h"
#include <assert.h>

struct exchange *http_exchange_new(struct http_connection *c)
{
	struct http_loop *hl = c->hl;
	struct exchange *x;

	if (!list_empty(&hl->spare_exchanges)) {
		x = list_first(&hl->spare_exchanges, struct exchange, link);
		list_del(&x->link);
		hl->n_spare--;
	} else {
		x = calloc(1, sizeof(*x));
		if (!x)
			abort();
		arena_init(&x->arena);
		list_init(&x->link);
	}
	x->conn = c;
	x->peer = c->peer;
	x->peer->refs++;
	x->content_length = -1;
	x->pub.loop = hl->loop;
	x->pub.peer = &c->peer->pub;
	x->pub.arena = &x->arena;
	list_add_tail(&c->exchanges, &x->link);
	return x;
}

static void spare_buf(struct buf *b)
{
	if (b->cap > HTTP_SPARE_BYTES)
		buf_deinit(b);
	else
		buf_clear(b);
}

void http_exchange_free(struct exchange *x)
{
	struct http_loop *hl = x->conn ? x->conn->hl : NULL;

	if (x->conn && !x->dispatched)
		x->conn->body_bytes -= x->body.len;
	list_del(&x->link);
	http_peer_unref(x->peer);
	http_queue_clear(&x->out);
	if (!hl || hl->n_spare >= HTTP_SPARE_EXCHANGES) {
		arena_deinit(&x->arena);
		buf_deinit(&x->head_in);
		buf_deinit(&x->head_out);
		buf_deinit(&x->body);
		vec_deinit(&x->fields);
		vec_deinit(&x->out_fields);
		http_queue_deinit(&x->out);
		free(x);
		return;
	}
	struct exchange keep = *x;
	arena_reset(&keep.arena);
	spare_buf(&keep.head_in);
	spare_buf(&keep.head_out);
	spare_buf(&keep.body);
	vec_clear(&keep.fields);
	vec_clear(&keep.out_fields);
	memset(x, 0, sizeof(*x));
	x->arena = keep.arena;
	x->head_in = keep.head_in;
	x->head_out = keep.head_out;
	x->body = keep.body;
	memcpy(&x->fields, &keep.fields, sizeof(x->fields));
	memcpy(&x->out_fields, &keep.out_fields, sizeof(x->out_fields));
	x->out = keep.out;
	list_init(&x->link);
	list_add_head(&hl->spare_exchanges, &x->link);
	hl->n_spare++;
}

static uint32_t add_text(struct buf *b, struct slice text)
{
	uint32_t at = (uint32_t)b->len;

	buf_slice(b, text);
	buf_byte(b, 0);
	return at;
}

bool http_exchange_add_header(struct exchange *x, struct slice name, struct slice value)
{
	const struct http_server_options *o = &x->conn->hl->server->options;

	if (x->fields.n >= HTTP_HEADERS_MAX ||
	    x->head_in.len + name.len + value.len + 32 > o->max_header_bytes)
		return false;
	struct header_place *p = vec_push(&x->fields);
	p->name_len = (uint32_t)name.len;
	p->value_len = (uint32_t)value.len;
	p->name = add_text(&x->head_in, name);
	p->value = add_text(&x->head_in, value);
	return true;
}

static struct slice text_at(const struct buf *b, uint32_t at, uint32_t len)
{
	return slice_of(b->data + at, len);
}

void http_exchange_dispatch(struct exchange *x)
{
	struct http_exchange *pub = &x->pub;
	struct http_header *headers = arena_alloc(&x->arena, sizeof(*headers) * (x->fields.n + 1));

	for (size_t i = 0; i < x->fields.n; i++) {
		const struct header_place *p = &x->fields.at[i];
		headers[i].name = text_at(&x->head_in, p->name, p->name_len);
		headers[i].value = text_at(&x->head_in, p->value, p->value_len);
	}
	pub->headers = headers;
	pub->n_headers = x->fields.n;
	pub->method = x->method;
	pub->target = text_at(&x->head_in, x->target, x->target_len);
	pub->host =
	    x->host_len ? text_at(&x->head_in, x->host, x->host_len) : http_header_get(pub, "host");
	pub->body = buf_view(&x->body);
	x->conn->body_bytes -= x->body.len;
	x->dispatched = true;
	x->body_deadline_ms = 0;
	const struct http_server_options *o = &x->conn->hl->server->options;
	o->on_request(pub, o->arg);
}

void http_exchange_orphan(struct exchange *x)
{
	if (x->ended || !x->dispatched) {
		http_exchange_free(x);
		return;
	}
	list_del(&x->link);
	x->conn = NULL;
	x->pub.closed = true;
	http_queue_clear(&x->out);
	if (x->pub.on_closed)
		x->pub.on_closed(&x->pub);
}

void http_exchange_maybe_writable(struct exchange *x)
{
	const struct http_server_options *o = &x->conn->hl->server->options;

	if (!x->want_writable || x->ended || x->out.bytes > o->queue_high_bytes / 2)
		return;
	x->want_writable = false;
	if (x->pub.on_writable)
		x->pub.on_writable(&x->pub);
}

struct slice http_header_get(const struct http_exchange *x, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < x->n_headers; i++) {
		const struct http_header *h = &x->headers[i];
		if (h->name.len == len && memcmp(h->name.data, name, len) == 0)
			return h->value;
	}
	return SLICE_EMPTY;
}

/* A line break in a value would start a header of its own. */
static void add_value(struct buf *b, const char *value)
{
	for (size_t n = strcspn(value, "\r\n"); *value; n = strcspn(value, "\r\n")) {
		buf_add(b, value, n);
		value += n;
		if (*value) {
			buf_byte(b, ' ');
			value++;
		}
	}
}

void http_set_header(struct http_exchange *pub, const char *name, const char *value)
{
	struct exchange *x = exchange_of(pub);

	assert(!x->started);
	struct header_place *p = vec_push(&x->out_fields);
	p->name = (uint32_t)x->head_out.len;
	buf_str(&x->head_out, name);
	p->name_len = (uint32_t)x->head_out.len - p->name;
	buf_byte(&x->head_out, 0);
	p->value = (uint32_t)x->head_out.len;
	add_value(&x->head_out, value);
	p->value_len = (uint32_t)x->head_out.len - p->value;
	buf_byte(&x->head_out, 0);
}

void http_start(struct http_exchange *pub, int status, const char *content_type,
                int64_t content_length)
{
	struct exchange *x = exchange_of(pub);

	assert(!x->started && !x->ended);
	x->started = true;
	if (!x->conn)
		return;
	x->content_length = content_length;
	x->no_body = strcmp(x->method, "HEAD") == 0 || status == 204 || status == 304;
	if (x->conn->protocol == HTTP_2)
		http2_start(x, status, content_type);
	else
		http1_start(x, status, content_type);
	http_conn_touch(x->conn);
}

static void frame_chunk(struct exchange *x, size_t len)
{
	char size[24];
	int n = snprintf(size, sizeof(size), "%zx\r\n", len);

	http_queue_add(&x->out, slice_of(size, (size_t)n));
}

static int after_write(struct exchange *x)
{
	if (x->chunked)
		http_queue_add(&x->out, SLICE_LIT("\r\n"));
	if (x->conn->protocol == HTTP_2)
		http2_resume(x);
	http_conn_touch(x->conn);
	if (x->out.bytes <= x->conn->hl->server->options.queue_high_bytes)
		return 0;
	x->want_writable = true;
	return 1;
}

int http_write(struct http_exchange *pub, struct slice data)
{
	struct exchange *x = exchange_of(pub);

	assert(x->started && !x->ended);
	if (!x->conn || x->no_body || data.len == 0)
		return 0;
	if (x->chunked)
		frame_chunk(x, data.len);
	http_queue_add(&x->out, data);
	return after_write(x);
}

int http_write_blob(struct http_exchange *pub, struct blob *data)
{
	struct exchange *x = exchange_of(pub);

	assert(x->started && !x->ended);
	if (!x->conn || x->no_body || data->len == 0)
		return 0;
	if (x->chunked)
		frame_chunk(x, data->len);
	http_queue_blob(&x->out, data);
	return after_write(x);
}

void http_end(struct http_exchange *pub)
{
	struct exchange *x = exchange_of(pub);

	assert(x->started && !x->ended);
	x->ended = true;
	if (!x->conn) {
		http_exchange_free(x);
		return;
	}
	if (x->chunked)
		http_queue_add(&x->out, SLICE_LIT("0\r\n\r\n"));
	if (x->conn->protocol == HTTP_2)
		http2_resume(x);
	http_conn_touch(x->conn);
}

void http_reply(struct http_exchange *pub, int status, const char *content_type, struct slice body)
{
	http_start(pub, status, content_type, (int64_t)body.len);
	ERR_IGNORE(http_write(pub, body)); /* whatever it says: this was the last */
	http_end(pub);
}

void http_abort(struct http_exchange *pub)
{
	struct exchange *x = exchange_of(pub);

	assert(!x->ended);
	x->ended = true;
	if (!x->conn) {
		http_exchange_free(x);
		return;
	}
	http_queue_clear(&x->out);
	x->aborted = true;
	if (x->conn->protocol == HTTP_2)
		http2_abort(x);
	http_conn_touch(x->conn);
}

size_t http_queued_bytes(const struct http_exchange *pub)
{
	return exchange_of_const(pub)->out.bytes;
}
