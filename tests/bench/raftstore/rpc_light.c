/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include "common/base/clock.h"
#include "tests/bench/raftstore/dial.h"
#include "tests/bench/raftstore/rpc_light.h"

enum {
	READ_BYTES = 256 << 10,
	WRITE_BYTES = 256 << 10, /* about what one send takes */
	WINDOW_BYTES = 16 << 20, /* of a stream and of the connection */
	PREFIX_BYTES = 5,        /* of a gRPC message: compressed or not, length */
	DIAL_MS = 10000,
	WAIT_MS = 1000, /* in the socket, before time is looked at */
	SILENCE_S = 30,
	CODE_UNKNOWN = 2,
	CODE_INTERNAL = 13,
	CODE_UNAVAILABLE = 14,
	CODE_NONE = -1,
};

struct rpc_light {
	nghttp2_session *session;
	char *authority;
	int fd;
	bool stopped, goes_away;
	size_t unary; /* calls that wait for their answer */
	struct rpc_light_call *spare;
	struct buf out; /* on its way to the socket */
	size_t sent;    /* of it */
	uint8_t in[READ_BYTES];
};

struct rpc_light_call {
	struct rpc_light *owner;
	struct rpc_light_call *next_spare;
	struct rpc_light_args args;
	int32_t stream_id;
	bool is_stream;
	struct buf out, in;
	size_t sent; /* of out */
	int code;
	char text[256];
};

/* --- calls --- */

static struct rpc_light_call *call_new(struct rpc_light *c, const struct rpc_light_args *a)
{
	struct rpc_light_call *call = c->spare;

	if (call)
		c->spare = call->next_spare;
	else
		call = calloc(1, sizeof(*call));
	if (!call)
		abort();
	call->owner = c;
	call->args = *a;
	call->is_stream = a->on_message != NULL;
	call->code = CODE_NONE;
	call->text[0] = 0;
	call->sent = 0;
	buf_clear(&call->in);
	buf_clear(&call->out);
	return call;
}

static uint32_t length_at(const uint8_t *p)
{
	return (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
}

/* The message at the beginning of these bytes when all of it is there and none of it packed. */
static bool message_at(struct slice in, struct slice *ret)
{
	if (in.len < PREFIX_BYTES || in.data[0] || in.len - PREFIX_BYTES < length_at(in.data))
		return false;
	*ret = slice_of(in.data + PREFIX_BYTES, length_at(in.data));
	return true;
}

static void add_message(struct rpc_light_call *call, struct slice message)
{
	uint32_t n = (uint32_t)message.len;
	const uint8_t prefix[PREFIX_BYTES] = {0, (uint8_t)(n >> 24), (uint8_t)(n >> 16),
	                                      (uint8_t)(n >> 8), (uint8_t)n};

	buf_add(&call->out, prefix, sizeof(prefix));
	buf_slice(&call->out, message);
}

static void call_end(struct rpc_light_call *call, uint32_t http2_error)
{
	struct rpc_light *c = call->owner;
	struct slice in = buf_view(&call->in);
	struct rpc_light_result r = {.code = call->code, .text = call->text};

	if (r.code == CODE_NONE) {
		r.code = CODE_UNAVAILABLE;
		snprintf(call->text, sizeof(call->text), "the stream ended without a status: %s",
		         nghttp2_http2_strerror(http2_error));
	} else if (!r.code && !call->is_stream &&
	           (!message_at(in, &r.message) || r.message.len + PREFIX_BYTES != in.len)) {
		r.code = CODE_INTERNAL;
		snprintf(call->text, sizeof(call->text), "the answer is not one message");
	}
	c->unary -= !call->is_stream;
	call->args.on_end(&r, call->args.arg);
	call->next_spare = c->spare;
	c->spare = call;
}

/* --- from nghttp2 --- */

static ssize_t read_out(nghttp2_session *s, int32_t stream_id, uint8_t *out, size_t len,
                        uint32_t *flags, nghttp2_data_source *source, void *user)
{
	struct rpc_light_call *call = source->ptr;
	size_t n = MIN(len, call->out.len - call->sent);

	if (n)
		memcpy(out, call->out.data + call->sent, n);
	call->sent += n;
	if (call->sent == call->out.len) {
		buf_clear(&call->out);
		call->sent = 0;
		if (!call->is_stream)
			*flags |= NGHTTP2_DATA_FLAG_EOF;
		else if (!n)
			return NGHTTP2_ERR_DEFERRED;
	}
	return (ssize_t)n;
}

static int hex_of(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* grpc-message is percent-encoded; whatever does not fit is cut. */
static void take_text(struct rpc_light_call *call, struct slice in)
{
	size_t n = 0;

	for (size_t i = 0; i < in.len && n + 1 < sizeof(call->text); i++) {
		int high = i + 2 < in.len && in.data[i] == '%' ? hex_of(in.data[i + 1]) : -1;
		int low = high >= 0 ? hex_of(in.data[i + 2]) : -1;
		if (low >= 0)
			i += 2;
		call->text[n++] = (char)(low >= 0 ? high << 4 | low : in.data[i]);
	}
	call->text[n] = 0;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
	struct slice n = slice_of(name, name_len), v = slice_of(value, value_len);
	bool is_status = slice_eq(n, SLICE_LIT(":status"));

	if (is_status ? slice_eq(v, SLICE_LIT("200")) : name[0] != 'g')
		return 0;
	struct rpc_light_call *call = nghttp2_session_get_stream_user_data(s, frame->hd.stream_id);
	if (!call)
		return 0;
	if (is_status) {
		call->code = CODE_UNKNOWN;
		snprintf(call->text, sizeof(call->text), "HTTP status %.*s", SLICE_FMT(v));
	} else if (slice_eq(n, SLICE_LIT("grpc-status"))) {
		call->code = (int)strtol((const char *)value, NULL, 10);
	} else if (slice_eq(n, SLICE_LIT("grpc-message"))) {
		take_text(call, v);
	}
	return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t len, void *user)
{
	struct rpc_light_call *call = nghttp2_session_get_stream_user_data(s, stream_id);
	struct slice message;

	if (!call)
		return 0;
	buf_add(&call->in, data, len);
	if (!call->is_stream)
		return 0;
	struct slice in = buf_view(&call->in);
	while (message_at(in, &message)) {
		call->args.on_message(message, call->args.arg);
		in = slice_skip(in, PREFIX_BYTES + message.len);
	}
	if (in.len)
		memmove(call->in.data, in.data, in.len);
	call->in.len = in.len;
	return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *frame, void *user)
{
	struct rpc_light *c = user;
	int32_t id = frame->hd.stream_id;

	if (frame->hd.type == NGHTTP2_GOAWAY)
		c->goes_away = true;
	/* The server has ended a call which this side has not: nothing more is to be said. */
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
	    nghttp2_session_get_stream_local_close(s, id) == 0)
		nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
	return 0;
}

static int on_close(nghttp2_session *s, int32_t stream_id, uint32_t error_code, void *user)
{
	struct rpc_light_call *call = nghttp2_session_get_stream_user_data(s, stream_id);

	if (call)
		call_end(call, error_code);
	return 0;
}

static void session_init(struct rpc_light *c)
{
	nghttp2_session_callbacks *cb;
	nghttp2_option *option;

	if (nghttp2_session_callbacks_new(&cb) || nghttp2_option_new(&option))
		abort();
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	nghttp2_option_set_no_closed_streams(option, 1);
	/* Until the server has said how many calls it admits, none begins. */
	nghttp2_option_set_peer_max_concurrent_streams(option, 0);
	if (nghttp2_session_client_new2(&c->session, cb, c, option))
		abort();
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(cb);
	nghttp2_settings_entry settings[] = {
	    {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
	    {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES},
	};
	if (nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) ||
	    nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, WINDOW_BYTES))
		abort();
}

/* --- the socket --- */

static int lost(const char *why, struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE, "the connection is lost: %s", why);
}

static int flush(struct rpc_light *c, struct err *err)
{
	for (;;) {
		const uint8_t *data;
		ssize_t n = 0;
		while (c->out.len < WRITE_BYTES &&
		       (n = nghttp2_session_mem_send(c->session, &data)) > 0)
			buf_add(&c->out, data, (size_t)n);
		if (n < 0)
			return lost(nghttp2_strerror((int)n), err);
		if (!c->out.len)
			return 0;
		n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent,
		         MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0 && errno != EINTR)
			return lost(strerror(errno), err);
		c->sent += n > 0 ? (size_t)n : 0;
		if (c->sent == c->out.len) {
			buf_clear(&c->out);
			c->sent = 0;
		}
	}
}

/* Waits WAIT_MS at most; returns 1 when something came. Bytes that the socket has not taken do not
 * keep it from reading: the server may take none before its own are read. */
static int receive(struct rpc_light *c, struct err *err)
{
	if (c->out.len)
		poll(&(struct pollfd){.fd = c->fd, .events = POLLIN | POLLOUT}, 1, WAIT_MS);
	ssize_t n = recv(c->fd, c->in, sizeof(c->in), c->out.len ? MSG_DONTWAIT : 0);
	if (n == 0)
		return lost("the server has closed it", err);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : lost(strerror(errno), err);
	n = nghttp2_session_mem_recv(c->session, c->in, (size_t)n);
	if (n < 0)
		return lost(nghttp2_strerror((int)n), err);
	return c->goes_away && !c->stopped ? lost("the server goes away", err) : 1;
}

/* --- public --- */

int rpc_light_new(const char *endpoint, struct rpc_light **ret, struct err *err)
{
	const char *authority = strncmp(endpoint, "http://", 7) ? endpoint : endpoint + 7;
	int fd = dial(authority, DIAL_MS, WAIT_MS, err);

	if (fd < 0)
		return fd;
	struct rpc_light *c = calloc(1, sizeof(*c));
	if (!c || !(c->authority = strdup(authority)))
		abort();
	c->fd = fd;
	session_init(c);
	*ret = c;
	return 0;
}

static struct rpc_light_call *start(struct rpc_light *c, const struct rpc_light_args *a,
                                    const struct slice *message)
{
	struct rpc_light_call *call = call_new(c, a);
	struct slice authority = slice_str(c->authority), path = slice_str(a->method);
	enum { BORROWED = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE };
#define FIELD(name, value)                                                        \
	{                                                                         \
		(uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value).data, \
		    sizeof(name) - 1, (value).len, BORROWED                       \
	}
	const nghttp2_nv nv[] = {
	    FIELD(":method", SLICE_LIT("POST")),
	    FIELD(":scheme", SLICE_LIT("http")),
	    FIELD(":path", path),
	    FIELD(":authority", authority),
	    FIELD("te", SLICE_LIT("trailers")),
	    FIELD("content-type", SLICE_LIT("application/grpc")),
	    FIELD("grpc-timeout", SLICE_LIT("30S")), /* of unary calls alone: it stands last */
	};
#undef FIELD
	const nghttp2_data_provider body = {.source.ptr = call, .read_callback = read_out};

	if (message)
		add_message(call, *message);
	call->stream_id = nghttp2_submit_request(c->session, NULL, nv,
	                                         ARRAY_LEN(nv) - call->is_stream, &body, call);
	if (call->stream_id < 0)
		abort();
	return call;
}

void rpc_light_unary(struct rpc_light *c, const struct rpc_light_args *a, struct slice message)
{
	start(c, a, &message);
	c->unary++;
}

struct rpc_light_call *rpc_light_stream(struct rpc_light *c, const struct rpc_light_args *a)
{
	return start(c, a, NULL);
}

void rpc_light_send(struct rpc_light_call *call, struct slice message)
{
	add_message(call, message);
	/* It fails for a stream that does not wait for bytes: one which sends without being told.
	 */
	ERR_IGNORE(nghttp2_session_resume_data(call->owner->session, call->stream_id));
}

int rpc_light_run(struct rpc_light *c, uint64_t deadline_ns, struct err *err)
{
	uint64_t heard_ns = clock_mono_ns();

	c->stopped = false;
	while (!c->stopped) {
		int r = flush(c, err);
		if (!r)
			r = receive(c, err);
		if (r < 0)
			return r;
		uint64_t now_ns = clock_mono_ns();
		if (r > 0 || !c->unary)
			heard_ns = now_ns;
		if (now_ns - heard_ns > SILENCE_S * 1000000000ull)
			return lost("the server is silent", err);
		if (!c->stopped && deadline_ns && now_ns >= deadline_ns)
			return 1;
	}
	return 0;
}

void rpc_light_stop(struct rpc_light *c)
{
	c->stopped = true;
}
