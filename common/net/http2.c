/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 (RFC 9113) by nghttp2. The engine takes bytes in http2_input and gives them in
 * http2_produce; it never touches the socket. */
#include "common/net/http_internal.h"

enum {
	STREAM_WINDOW_BYTES = 256 * 1024,
	CONNECTION_WINDOW_BYTES = 4 << 20,
	CONTROL_BURST = 1000,     /* frames that cost work and move nothing ... */
	CONTROL_PER_SECOND = 100, /* ... before the connection is ended */
};

static struct exchange *exchange_at(nghttp2_session *s, int32_t stream_id)
{
	return nghttp2_session_get_stream_user_data(s, stream_id);
}

/* Is this one of too many cheap frames (rapid resets, pings, settings)? */
static bool flooded(struct http_connection *c)
{
	uint64_t now = loop_now_ms(c->hl->loop);

	c->control_tokens += (double)(now - c->control_at_ms) * CONTROL_PER_SECOND / 1000;
	c->control_tokens = MIN(c->control_tokens, CONTROL_BURST);
	c->control_at_ms = now;
	if (c->control_tokens < 1)
		return true;
	c->control_tokens -= 1;
	return false;
}

static int on_begin_headers(nghttp2_session *s, const nghttp2_frame *frame, void *user)
{
	struct http_connection *c = user;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	struct exchange *x = http_exchange_new(c);
	x->stream_id = frame->hd.stream_id;
	x->body_deadline_ms = loop_now_ms(c->hl->loop) + c->hl->server->options.body_timeout_ms;
	http_conn_arm(c, x->body_deadline_ms);
	c->deadline_ms = 0;
	nghttp2_session_set_stream_user_data(s, x->stream_id, x);
	return 0;
}

static bool take_pseudo(struct exchange *x, struct slice name, struct slice value)
{
	if (slice_eq_str(name, ":method")) {
		snprintf(x->method, sizeof(x->method), "%.*s", SLICE_FMT(value));
		return true;
	}
	if (x->head_in.len + value.len + 1 > x->conn->hl->server->options.max_header_bytes)
		return false;
	uint32_t at = (uint32_t)x->head_in.len;
	if (slice_eq_str(name, ":path")) {
		x->target = at;
		x->target_len = (uint32_t)value.len;
	} else if (slice_eq_str(name, ":authority")) {
		x->host = at;
		x->host_len = (uint32_t)value.len;
	} else {
		return true;
	}
	buf_slice(&x->head_in, value);
	buf_byte(&x->head_in, 0);
	return true;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
	struct exchange *x = exchange_at(s, frame->hd.stream_id);

	if (!x || x->dispatched || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0; /* trailers are not used */
	struct slice n = slice_of(name, name_len), v = slice_of(value, value_len);
	bool fits =
	    name_len && name[0] == ':' ? take_pseudo(x, n, v) : http_exchange_add_header(x, n, v);
	return fits ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void add_body(struct http_connection *c, struct exchange *x, struct slice data)
{
	const struct http_server_options *o = &c->hl->server->options;

	if (x->body.len + data.len > o->max_body_bytes) {
		c->body_bytes -= x->body.len;
		buf_deinit(&x->body);
		x->pub.body_too_large = true;
		http_exchange_dispatch(x);
	} else if (c->body_bytes + data.len > HTTP_BODIES_BYTES) {
		nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, x->stream_id,
		                          NGHTTP2_ENHANCE_YOUR_CALM);
	} else {
		c->body_bytes += data.len;
		buf_slice(&x->body, data);
	}
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t len, void *user)
{
	struct http_connection *c = user;
	struct exchange *x = exchange_at(s, stream_id);

	if (x && !x->dispatched && !x->aborted)
		add_body(c, x, slice_of(data, len));
	return 0;
}

static bool wants_continue(const struct exchange *x)
{
	for (size_t i = 0; i < x->fields.n; i++) {
		const struct header_place *f = &x->fields.at[i];
		if (f->name_len == 6 && memcmp(x->head_in.data + f->name, "expect", 6) == 0)
			return f->value_len == 12 &&
			       memcmp(x->head_in.data + f->value, "100-continue", 12) == 0;
	}
	return false;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *frame, void *user)
{
	struct http_connection *c = user;
	struct exchange *x = NULL;

	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA:
		x = exchange_at(s, frame->hd.stream_id);
		break;
	case NGHTTP2_RST_STREAM:
	case NGHTTP2_PING:
	case NGHTTP2_SETTINGS:
	case NGHTTP2_PRIORITY:
		if (flooded(c))
			nghttp2_session_terminate_session(s, NGHTTP2_ENHANCE_YOUR_CALM);
		return 0;
	default:
		return 0;
	}
	if (!x || x->dispatched || x->aborted)
		return 0;
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
		x->complete = true;
		http_exchange_dispatch(x);
	} else if (frame->hd.type == NGHTTP2_HEADERS && wants_continue(x)) {
		nghttp2_nv nv = {(uint8_t *)":status", (uint8_t *)"100", 7, 3,
		                 NGHTTP2_NV_FLAG_NONE};
		nghttp2_submit_headers(s, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NULL, &nv, 1,
		                       NULL);
	}
	return 0;
}

/* An answer that ends before the request's body has come in: the client need not send the rest. */
static int on_frame_sent(nghttp2_session *s, const nghttp2_frame *frame, void *user)
{
	bool last = (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
	            (frame->hd.flags & NGHTTP2_FLAG_END_STREAM);

	if (last && nghttp2_session_get_stream_remote_close(s, frame->hd.stream_id) == 0)
		nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
		                          NGHTTP2_NO_ERROR);
	return 0;
}

static int on_stream_close(nghttp2_session *s, int32_t stream_id, uint32_t error_code, void *user)
{
	struct http_connection *c = user;
	struct exchange *x = exchange_at(s, stream_id);

	if (!x)
		return 0;
	nghttp2_session_set_stream_user_data(s, stream_id, NULL);
	http_exchange_orphan(x);
	if (list_empty(&c->exchanges))
		http_conn_set_deadline(c, c->hl->server->options.idle_timeout_ms);
	return 0;
}

static nghttp2_session_callbacks *callbacks_new(void)
{
	nghttp2_session_callbacks *cb;

	if (nghttp2_session_callbacks_new(&cb) != 0)
		abort();
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	return cb;
}

int http2_init(struct http_connection *c)
{
	const struct http_server_options *o = &c->hl->server->options;
	nghttp2_session_callbacks *cb = callbacks_new();
	nghttp2_option *option;

	if (nghttp2_option_new(&option) != 0)
		abort();
	nghttp2_option_set_no_closed_streams(option, 1);
	int r = nghttp2_session_server_new2(&c->session, cb, c, option);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(cb);
	if (r != 0)
		return -ERR_INTERNAL;
	c->control_tokens = CONTROL_BURST;
	c->control_at_ms = loop_now_ms(c->hl->loop);
	nghttp2_settings_entry settings[] = {
	    {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, o->max_streams},
	    {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES},
	    {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, o->max_header_bytes},
	};
	nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
	nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
	                                      CONNECTION_WINDOW_BYTES);
	http_conn_set_deadline(c, o->idle_timeout_ms);
	http_conn_touch(c);
	return 0;
}

void http2_deinit(struct http_connection *c)
{
	if (c->session)
		nghttp2_session_del(TAKE(c->session));
}

static void close_when_done(struct http_connection *c)
{
	if (!nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session))
		c->finish = true;
}

void http2_input(struct http_connection *c, struct slice data)
{
	ssize_t n = nghttp2_session_mem_recv(c->session, data.data, data.len);

	if (n < 0)
		nghttp2_session_terminate_session(c->session, NGHTTP2_PROTOCOL_ERROR);
	close_when_done(c);
	http_conn_touch(c);
}

bool http2_produce(struct http_connection *c, struct buf *out, size_t max)
{
	const uint8_t *data;
	ssize_t n = nghttp2_session_mem_send(c->session, &data);

	if (n < 0)
		c->finish = true;
	if (n > 0)
		buf_add(out, data, (size_t)n);
	if (n <= 0) {
		close_when_done(c);
		if (c->draining && list_empty(&c->exchanges))
			c->finish = true;
	}
	return n > 0;
}

static ssize_t read_body(nghttp2_session *s, int32_t stream_id, uint8_t *out, size_t len,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
	struct exchange *x = source->ptr;
	size_t n = http_queue_take(&x->out, out, len);

	if (x->out.bytes == 0 && x->ended)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	else if (n == 0)
		return NGHTTP2_ERR_DEFERRED;
	return (ssize_t)n;
}

static nghttp2_nv nv_of(const char *name, size_t name_len, const char *value, size_t value_len)
{
	return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, name_len,
	                    value_len, NGHTTP2_NV_FLAG_NONE};
}

static void lower(char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] >= 'A' && s[i] <= 'Z')
			s[i] |= 0x20;
	}
}

void http2_start(struct exchange *x, int status, const char *content_type)
{
	struct http_connection *c = x->conn;
	nghttp2_nv *nv = arena_array(&x->arena, nghttp2_nv, x->out_fields.n + 4);
	const char *date = http_loop_date(c->hl);
	char code[8], length[24];
	size_t n = 0;

	snprintf(code, sizeof(code), "%d", status);
	nv[n++] = nv_of(":status", 7, code, strlen(code));
	for (size_t i = 0; i < x->out_fields.n; i++) {
		const struct header_place *f = &x->out_fields.at[i];
		char *name = (char *)x->head_out.data + f->name;
		lower(name, f->name_len);
		nv[n++] =
		    nv_of(name, f->name_len, (char *)x->head_out.data + f->value, f->value_len);
	}
	if (content_type)
		nv[n++] = nv_of("content-type", 12, content_type, strlen(content_type));
	nv[n++] = nv_of("date", 4, date, strlen(date));
	if (x->content_length >= 0 && status != 204 && status != 304) {
		snprintf(length, sizeof(length), "%lld", (long long)x->content_length);
		nv[n++] = nv_of("content-length", 14, length, strlen(length));
	}
	nghttp2_data_provider provider = {.source.ptr = x, .read_callback = read_body};
	x->has_provider = !x->no_body && x->content_length != 0;
	nghttp2_submit_response(c->session, x->stream_id, nv, n,
	                        x->has_provider ? &provider : NULL);
}

void http2_resume(struct exchange *x)
{
	if (x->has_provider)
		nghttp2_session_resume_data(x->conn->session, x->stream_id);
}

void http2_abort(struct exchange *x)
{
	nghttp2_submit_rst_stream(x->conn->session, NGHTTP2_FLAG_NONE, x->stream_id,
	                          NGHTTP2_INTERNAL_ERROR);
}

void http2_goaway(struct http_connection *c)
{
	int32_t last = nghttp2_session_get_last_proc_stream_id(c->session);

	nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
}
