/* SPDX-License-Identifier: Apache-2.0 */
/* From the bytes of the pipeline's answer to the messages of the call. */
#include <string.h>
#include "apiserver/grpc/exchange.h"
#include "apiserver/grpc/object_bytes.h"

enum {
	BATCH_BYTES = 64 << 10,        /* a list batch is sent when it has so many */
	STATUS_LIMIT_BYTES = 24 << 10, /* of the trailer */
	FRAME_HEADER_BYTES = 4,
};

/* Field numbers of the answers (proto/resources.proto) and of what they are made from. */
enum {
	RESPONSE_CONTENT_TYPE = 1,
	RESPONSE_OBJECT = 2,
	RESPONSE_VERSION = 3,
	RESPONSE_CREATED = 4,
	RESPONSE_WARNINGS = 5,
	RESPONSE_IS_STATUS = 6,
	BATCH_ITEMS = 2,
	BATCH_VERSION = 3,
	BATCH_CONTINUE = 4,
	BATCH_REMAINING = 5,
	WATCH_EVENTS = 2,
	EVENT_TYPE = 1,
	EVENT_OBJECT = 2,
	EVENT_VERSION = 3,
	EVENT_INITIAL_END = 4,
	LIST_METADATA = 1,
	LIST_ITEMS = 2,
	LIST_META_VERSION = 2,
	LIST_META_CONTINUE = 3,
	LIST_META_REMAINING = 4,
	UNKNOWN_RAW = 2,
	STATUS_METADATA = 1,
	STATUS_MESSAGE = 3,
	STATUS_REASON = 4,
	META_ANNOTATIONS = 12,
};

static struct exchange *exchange_of(const struct response_sink *s)
{
	return CONTAINER_OF(s, struct exchange, sink);
}

static void send_out(struct exchange *x)
{
	x->high = rpc_call_send(x->call, buf_view(&x->out));
	buf_clear(&x->out);
}

/* Drops the first n bytes of the input. */
static void eat(struct exchange *x, size_t n)
{
	memmove(x->in.data, x->in.data + n, x->in.len - n);
	x->in.len -= n;
}

/* --- lists --- */

static void take_list_meta(struct exchange *x, struct slice meta)
{
	struct pb_field f;
	while (pb_next_field(&meta, &f) == 1) {
		struct slice *to = f.number == LIST_META_VERSION    ? &x->list_version
		                   : f.number == LIST_META_CONTINUE ? &x->list_continue
		                                                    : NULL;
		if (to)
			*to = slice_of(arena_memdup(&x->arena, f.bytes.data, f.bytes.len),
			               f.bytes.len);
		else if (f.number == LIST_META_REMAINING)
			x->list_remaining = f.value;
	}
}

static void take_list_field(struct exchange *x, uint32_t number, struct slice value)
{
	if (number == LIST_METADATA) {
		take_list_meta(x, value);
	} else if (number == LIST_ITEMS) {
		add_object_field(&x->out, BATCH_ITEMS, value, x->omit_managed_fields);
		if (x->out.len >= BATCH_BYTES)
			send_out(x);
	}
}

/* Takes one step through the input from `at`; how many bytes it used, 0 when more is needed, -1
 * when the input is not a list. */
static ssize_t list_step(struct exchange *x, struct slice in)
{
	uint32_t number;
	uint64_t len;
	size_t header;
	if (x->phase == LIST_MAGIC) {
		if (in.len < 4)
			return 0;
		x->phase = LIST_ENVELOPE;
		return memcmp(in.data, "k8s\0", 4) == 0 ? 4 : -1;
	}
	int r = bytes_field_header(in, &number, &len, &header);
	if (r < 1)
		return r;
	if (x->phase == LIST_ENVELOPE && number == UNKNOWN_RAW) {
		x->phase = len ? LIST_FIELDS : LIST_DONE;
		x->left = len;
		return (ssize_t)header;
	}
	if (len > UINT32_MAX || (x->phase == LIST_FIELDS && header + len > x->left))
		return -1;
	if (in.len - header < len)
		return 0;
	if (x->phase == LIST_FIELDS) {
		take_list_field(x, number, slice_of(in.data + header, (size_t)len));
		x->left -= header + len;
		if (!x->left)
			x->phase = LIST_DONE;
	}
	return (ssize_t)(header + len);
}

static void feed_list(struct exchange *x)
{
	size_t at = 0;
	ssize_t n = 0;
	while (x->phase != LIST_DONE && at < x->in.len &&
	       (n = list_step(x, slice_skip(buf_view(&x->in), at))) > 0)
		at += (size_t)n;
	x->broken |= n < 0;
	eat(x, x->phase == LIST_DONE ? x->in.len : at);
}

static void end_list(struct exchange *x)
{
	if (x->broken || x->phase != LIST_DONE) {
		rpc_call_fail(x->call, RPC_INTERNAL, "the list is not whole", NULL, 0);
		return;
	}
	add_bytes_field(&x->out, BATCH_VERSION, x->list_version);
	if (x->list_continue.len)
		add_bytes_field(&x->out, BATCH_CONTINUE, x->list_continue);
	if (x->list_remaining)
		add_int_field(&x->out, BATCH_REMAINING, x->list_remaining);
	send_out(x);
	rpc_call_finish(x->call);
}

/* --- watches --- */

static bool ends_initial_events(struct slice object)
{
	struct slice meta = pb_peek_path(object, 1);
	struct pb_field f;
	while (pb_next_field(&meta, &f) == 1)
		if (f.number == META_ANNOTATIONS &&
		    slice_eq_str(pb_peek_path(f.bytes, 1), "k8s.io/initial-events-end"))
			return true;
	return false;
}

static uint64_t version_of(struct slice object)
{
	struct meta_peek m;
	uint64_t v = 0;
	if (!meta_peek(object, &m))
		return 0;
	for (size_t i = 0; i < m.resource_version.len && i < 19; i++)
		v = v * 10 + (uint64_t)(m.resource_version.data[i] - '0');
	return v;
}

/* One frame: meta/v1 WatchEvent {type, object {raw}}. */
static void take_frame(struct exchange *x, struct slice frame)
{
	static const char *const types[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"};
	struct slice raw = frame;
	(void)envelope_open(frame, &raw, NULL); /* the event itself may have one, too */
	struct slice type = pb_peek_path(raw, 1), object = pb_peek_path(raw, 2, 1);
	_cleanup_buf_ struct buf event = BUF_INIT;
	size_t code = 0;
	while (code < ARRAY_LEN(types) && !slice_eq_str(type, types[code]))
		code++;
	if (code == ARRAY_LEN(types) || !envelope_open(object, &object, NULL)) {
		x->broken = true;
		return;
	}
	bool is_error = code == RESOURCES__WATCH_EVENT__TYPE__ERROR;
	if (code)
		add_int_field(&event, EVENT_TYPE, code);
	add_object_field(&event, EVENT_OBJECT, object, x->omit_managed_fields && !is_error);
	if (!is_error)
		add_int_field(&event, EVENT_VERSION, version_of(object));
	if (code == RESOURCES__WATCH_EVENT__TYPE__BOOKMARK && ends_initial_events(object))
		add_int_field(&event, EVENT_INITIAL_END, 1);
	add_bytes_field(&x->out, WATCH_EVENTS, buf_view(&event));
}

static void feed_watch(struct exchange *x)
{
	size_t at = 0;
	while (x->in.len - at >= FRAME_HEADER_BYTES && !x->broken) {
		const uint8_t *p = x->in.data + at;
		size_t len = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
		if (x->in.len - at - FRAME_HEADER_BYTES < len)
			break;
		take_frame(x, slice_of(p + FRAME_HEADER_BYTES, len));
		at += FRAME_HEADER_BYTES + len;
	}
	eat(x, at);
	if (x->out.len)
		send_out(x);
}

static void end_watch(struct exchange *x)
{
	if (x->broken)
		rpc_call_fail(x->call, RPC_INTERNAL, "a watch event cannot be read", NULL, 0);
	else
		rpc_call_finish(x->call);
}

/* --- single objects and errors --- */

static int rpc_code_of(struct slice reason, int http_status)
{
	for (int code = 1; code < ERR_CODE_COUNT; code++)
		if (err_http_status(code) == http_status && slice_eq_str(reason, err_reason(code)))
			return err_grpc_status(code);
	for (int code = 1; code < ERR_CODE_COUNT; code++)
		if (err_http_status(code) == http_status)
			return err_grpc_status(code);
	return RPC_UNKNOWN;
}

static void end_error(struct exchange *x)
{
	struct slice status = SLICE_EMPTY;
	bool readable = envelope_open(buf_view(&x->in), &status, NULL);
	struct slice message = pb_peek_path(status, STATUS_MESSAGE);
	const char *text = readable ? arena_strndup(&x->arena, message.data, message.len)
	                            : arena_strndup(&x->arena, x->in.data, MIN(x->in.len, 1024U));
	struct rpc_meta trailer = {"kubec-status-bin", status};
	bool fits = readable && status.len <= STATUS_LIMIT_BYTES;
	rpc_call_fail(x->call,
	              rpc_code_of(pb_peek_path(status, STATUS_REASON), x->sink.http_status), text,
	              &trailer, fits);
}

static void end_object(struct exchange *x)
{
	struct slice object = buf_view(&x->in), raw, kind = SLICE_EMPTY;
	bool bare = envelope_open(object, &raw, &kind);
	bool is_status = slice_eq_str(kind, "Status");
	struct meta_peek m = {0};
	if (bare)
		(void)meta_peek(raw, &m); /* without metadata there is no version to tell */
	if (bare && x->accept == RESOURCES__CONTENT_TYPE__CONTENT_PROTOBUF)
		object = raw;
	if (x->accept)
		add_int_field(&x->out, RESPONSE_CONTENT_TYPE, x->accept);
	add_object_field(&x->out, RESPONSE_OBJECT, object,
	                 x->omit_managed_fields && bare && object.data == raw.data && !is_status);
	add_bytes_field(&x->out, RESPONSE_VERSION, m.resource_version);
	if (x->sink.http_status == 201)
		add_int_field(&x->out, RESPONSE_CREATED, 1);
	VEC_FOREACH (&x->warnings, w)
		add_bytes_field(&x->out, RESPONSE_WARNINGS, slice_str(*w));
	if (is_status)
		add_int_field(&x->out, RESPONSE_IS_STATUS, 1);
	rpc_call_reply(x->call, buf_view(&x->out));
}

/* The list of what was deleted, or a Status: only the version counts. */
static void end_collection(struct exchange *x)
{
	struct slice raw = SLICE_EMPTY;
	(void)envelope_open(buf_view(&x->in), &raw, NULL); /* else there is no version to tell */
	add_bytes_field(&x->out, 1, pb_peek_path(raw, STATUS_METADATA, LIST_META_VERSION));
	rpc_call_reply(x->call, buf_view(&x->out));
}

/* --- the sink --- */

static void on_header(struct response_sink *s, const char *name, const char *value)
{
	struct exchange *x = exchange_of(s);
	const char *open = strchr(value, '"'), *close = strrchr(value, '"');
	/* Warning: 299 - "text" */
	if (strcasecmp(name, "warning") == 0 && open && close > open + 1)
		*vec_push(&x->warnings) =
		    arena_strndup(&x->arena, open + 1, (size_t)(close - open - 1));
}

static void on_status(struct response_sink *s, int http_status, const char *content_type,
                      int64_t content_length)
{
}

static int on_chunk(struct response_sink *s, struct slice data)
{
	struct exchange *x = exchange_of(s);
	bool streams = x->mode == EXCHANGE_LIST || x->mode == EXCHANGE_WATCH;
	if (x->sink.closed || x->broken)
		return 0;
	buf_slice(&x->in, data);
	if (!streams || s->http_status >= 400)
		return 0;
	x->high = 0;
	if (x->mode == EXCHANGE_LIST)
		feed_list(x);
	else
		feed_watch(x);
	return x->high;
}

static int on_chunk_blob(struct response_sink *s, struct blob *data)
{
	return on_chunk(s, blob_view(data));
}

static void finish(struct exchange *x)
{
	x->ended = true;
	if (x->closed)
		exchange_free(x);
}

static void on_end(struct response_sink *s)
{
	struct exchange *x = exchange_of(s);
	if (s->http_status >= 400)
		end_error(x);
	else if (x->mode == EXCHANGE_LIST)
		end_list(x);
	else if (x->mode == EXCHANGE_WATCH)
		end_watch(x);
	else if (x->mode == EXCHANGE_COLLECTION)
		end_collection(x);
	else
		end_object(x);
	finish(x);
}

static void on_abort(struct response_sink *s)
{
	struct exchange *x = exchange_of(s);
	rpc_call_fail(x->call, RPC_UNAVAILABLE, "the answer was cut off", NULL, 0);
	finish(x);
}

static size_t on_queued_bytes(const struct response_sink *s)
{
	return rpc_call_queued_bytes(exchange_of(s)->call);
}

const struct response_sink_ops exchange_sink_ops = {
    on_header, on_status, on_chunk, on_chunk_blob, on_end, on_abort, on_queued_bytes};
