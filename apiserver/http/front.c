/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/http/front.h"
#include "apiserver/endpoints/pipeline.h"
#include "apiserver/http/compress.h"
#include "apiserver/http/front_metrics.h"
#include "apiserver/http/negotiate.h"
#include "apiserver/request/request_info.h"
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "proto/resource_table.h"
#include <stdatomic.h>
#include <stdio.h>

struct http_front {
	struct http_front_options options;
	struct http_server *server;
	struct front_metrics *metrics;
	atomic_uint inflight[2]; /* reads, writes */
	atomic_uint active;
};

/* One request on its way; all of it lives in the exchange's arena. */
struct front_call {
	struct request req;
	struct response_sink sink;
	struct http_front *front;
	struct http_exchange *exchange;
	struct compressor *compressor; /* NULL: the answer leaves as it is */
	bool mutating, counted, long_running;
};

/* The pipeline's peer, kept with the connection. */
struct front_peer {
	struct request_peer pub;
	struct slice certs[HTTP_PEER_CERTS_MAX];
};

/* --- the sink -------------------------------------------------------------------------------- */

static struct front_call *call_of(struct response_sink *s)
{
	return CONTAINER_OF(s, struct front_call, sink);
}

static void sink_header(struct response_sink *s, const char *name, const char *value)
{
	struct front_call *c = call_of(s);

	/* What is packed already stays as it is. */
	if (!strcmp(name, "Content-Encoding"))
		c->compressor = NULL;
	http_set_header(c->exchange, name, value);
}

static void sink_status(struct response_sink *s, int http_status, const char *content_type,
                        int64_t content_length)
{
	struct front_call *c = call_of(s);

	http_set_header(c->exchange, "Audit-Id", c->req.audit_id);
	http_set_header(c->exchange, "Cache-Control", "no-cache, private");
	if (c->compressor)
		compressor_start(c->compressor, http_status, content_type, content_length);
	else
		http_start(c->exchange, http_status, content_type, content_length);
}

static int sink_chunk(struct response_sink *s, struct slice data)
{
	struct front_call *c = call_of(s);

	return c->compressor ? compressor_write(c->compressor, data)
	                     : http_write(c->exchange, data);
}

static int sink_chunk_blob(struct response_sink *s, struct blob *data)
{
	struct front_call *c = call_of(s);

	return c->compressor ? compressor_write(c->compressor, blob_view(data))
	                     : http_write_blob(c->exchange, data);
}

/* The books are closed before the exchange, whose arena holds the call, is ended. */
static void call_finish(struct front_call *c)
{
	atomic_fetch_sub(&c->front->active, 1);
	if (c->counted)
		atomic_fetch_sub(&c->front->inflight[c->mutating], 1);
	c->counted = false;
	front_metrics_end(c->front->metrics, &c->req, &c->sink, c->long_running);
}

static void sink_end(struct response_sink *s)
{
	struct front_call *c = call_of(s);

	call_finish(c);
	if (c->compressor)
		compressor_end(c->compressor);
	http_end(c->exchange);
}

static void sink_abort(struct response_sink *s)
{
	struct front_call *c = call_of(s);

	call_finish(c);
	if (c->compressor)
		compressor_drop(c->compressor);
	http_abort(c->exchange);
}

static size_t sink_queued(const struct response_sink *s)
{
	return http_queued_bytes(CONTAINER_OF(s, const struct front_call, sink)->exchange);
}

static const struct response_sink_ops sink_ops = {
    .header = sink_header,
    .status = sink_status,
    .chunk = sink_chunk,
    .chunk_blob = sink_chunk_blob,
    .end = sink_end,
    .abort = sink_abort,
    .queued_bytes = sink_queued,
};

static void on_closed(struct http_exchange *x)
{
	struct front_call *c = x->data;

	c->sink.closed = true;
	if (c->sink.on_closed)
		c->sink.on_closed(c->sink.arg);
}

static void on_writable(struct http_exchange *x)
{
	struct front_call *c = x->data;

	if (c->sink.on_writable)
		c->sink.on_writable(c->sink.arg);
}

struct http_exchange *http_front_exchange(const struct request *r)
{
	return r->front ? ((const struct front_call *)r->front)->exchange : NULL;
}

void http_front_upgraded(struct request *r)
{
	struct front_call *c = r->front;

	c->sink.http_status = 101;
	call_finish(c);
}

/* --- the request ----------------------------------------------------------------------------- */

static void peer_free(void *data)
{
	struct front_peer *p = data;

	if (p->pub.auth_free)
		p->pub.auth_free(p->pub.auth);
	free(p);
}

static struct request_peer *peer_of(struct http_exchange *x)
{
	struct http_peer *hp = x->peer;

	if (hp->data)
		return &((struct front_peer *)hp->data)->pub;
	struct front_peer *p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	memcpy(p->certs, hp->certs, sizeof(p->certs));
	p->pub.certs = p->certs;
	p->pub.n_certs = hp->n_certs;
	p->pub.address = hp->address;
	hp->data = p;
	hp->data_free = peer_free;
	return &p->pub;
}

static const char *text_of(struct arena *a, struct slice s)
{
	return arena_strndup(a, s.data, s.len);
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* NULL: a broken escape. */
static const char *decode_path(struct arena *a, struct slice raw)
{
	char *out = arena_alloc(a, raw.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < raw.len; i++) {
		int c = raw.data[i];
		if (c == '%') {
			int high = i + 2 < raw.len ? hex_digit(raw.data[i + 1]) : -1;
			int low = i + 2 < raw.len ? hex_digit(raw.data[i + 2]) : -1;
			if (high < 0 || low < 0)
				return NULL;
			c = high << 4 | low;
			i += 2;
		}
		if (c == 0)
			return NULL;
		out[n++] = (char)c;
	}
	out[n] = 0;
	return out;
}

/* The path and query of a target in absolute form, as proxies send it. */
static struct slice origin_form(struct slice target)
{
	const uint8_t *path;
	size_t scheme = slice_has_prefix(target, SLICE_LIT("http://"))    ? 7
	                : slice_has_prefix(target, SLICE_LIT("https://")) ? 8
	                                                                  : 0;

	if (!scheme)
		return target;
	path = memchr(target.data + scheme, '/', target.len - scheme);
	return path ? slice_skip(target, (size_t)(path - target.data)) : SLICE_LIT("/");
}

static bool split_target(struct request *r, struct slice whole)
{
	struct slice target = origin_form(whole);
	const uint8_t *mark = memchr(target.data, '?', target.len);
	struct slice path = {target.data, mark ? (size_t)(mark - target.data) : target.len};

	r->uri = text_of(r->arena, target);
	r->path = decode_path(r->arena, path);
	request_parse_query(r, slice_skip(target, mark ? path.len + 1 : path.len));
	return r->path && r->path[0] == '/';
}

static void copy_headers(struct request *r, const struct http_exchange *x)
{
	struct request_pair *pairs = arena_array(r->arena, struct request_pair, x->n_headers + 1);

	for (size_t i = 0; i < x->n_headers; i++) {
		pairs[i].name = text_of(r->arena, x->headers[i].name);
		pairs[i].value = text_of(r->arena, x->headers[i].value);
	}
	r->headers = pairs;
	r->n_headers = x->n_headers;
}

/* A client may name its request; nobody may put what he likes into our logs. */
static bool is_audit_id(const char *id)
{
	enum { AUDIT_ID_MAX = 64 };

	return id && *id && strlen(id) <= AUDIT_ID_MAX && !strpbrk(id, "\r\n\" ");
}

/* A version 4 UUID. It names, and guards nothing: a generator of the thread's own is enough, and
 * spares a call of the kernel a request. */
static void make_audit_id(char out[37])
{
	static _Thread_local struct rng rng;
	static _Thread_local bool seeded;
	uint64_t seed;

	if (!seeded) {
		rng_system(&seed, sizeof(seed));
		rng_init(&rng, seed);
		seeded = true;
	}
	uint64_t a = rng_next(&rng), b = rng_next(&rng);
	snprintf(out, 37, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(a >> 32),
	         (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xfff),
	         (unsigned)(0x8000 | (b >> 48 & 0x3fff)), (unsigned long long)(b & 0xffffffffffff));
}

static void name_request(struct request *r)
{
	const char *given = request_header(r, "audit-id");

	if (is_audit_id(given)) {
		r->audit_id = given;
		return;
	}
	char *id = arena_alloc(r->arena, 37);
	make_audit_id(id);
	r->audit_id = id;
}

static void clear_user(struct user_info *u)
{
	*u = (struct user_info){.name = "", .uid = ""};
}

static bool is_handed_on(const struct request *r)
{
	static const char *const streams[] = {"exec", "attach", "portforward", "proxy", "log"};

	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		if (strcmp(r->subresource, streams[i]) == 0)
			return true;
	return false;
}

static bool fill_request(struct front_call *c, struct http_exchange *x)
{
	struct request *r = &c->req;

	r->arena = x->arena;
	r->loop = x->loop;
	r->front = c;
	r->peer = peer_of(x);
	r->received_mono_ns = clock_mono_ns();
	r->received_real_ns = clock_real_ns();
	r->method = x->method;
	r->body = x->body;
	clear_user(&r->user);
	clear_user(&r->impersonator);
	copy_headers(r, x);
	const char *agent = request_header(r, "user-agent");
	r->user_agent = agent ? agent : "";
	name_request(r);
	if (!split_target(r, x->target))
		return false;
	request_info_parse(r);
	if (r->is_resource &&
	    r->path[1] != '/') /* rights go by what "//api/v1" names; nobody serves it */
		r->info = resource_find(r->group, r->version, r->resource, r->subresource);
	r->fault = negotiate(r, x->body_too_large, c->front->options.max_body_bytes);
	const struct status *options_fault = request_options_parse(r);
	/* The query of what is handed on is the backend's. */
	if (!r->fault && !is_handed_on(r))
		r->fault = options_fault;
	return true;
}

static bool is_long_running(const struct request *r)
{
	return r->verb == VERB_WATCH || strcmp(r->verb_name, "proxy") == 0 || is_handed_on(r);
}

/* False: the server is full. */
static bool enter(struct front_call *c)
{
	struct http_front *f = c->front;
	const char *method = c->req.method;
	uint32_t limit;

	c->long_running = is_long_running(&c->req);
	if (c->long_running)
		return true;
	c->mutating = strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0 &&
	              strcmp(method, "OPTIONS") != 0;
	limit = c->mutating ? f->options.max_mutating_inflight : f->options.max_inflight;
	unsigned now = atomic_fetch_add(&f->inflight[c->mutating], 1);
	c->counted = true;
	return !limit || now < limit;
}

static void refuse_plain(struct front_call *c, int code, const char *text)
{
	response_header(&c->sink, "X-Content-Type-Options", "nosniff");
	response_reply(&c->sink, code, "text/plain; charset=utf-8", slice_str(text));
}

static void on_request(struct http_exchange *x, void *arg)
{
	struct http_front *f = arg;

	if (f->options.early && f->options.early(f->options.early_arg, x))
		return;
	struct front_call *c = arena_new(x->arena, struct front_call);
	c->front = f;
	c->exchange = x;
	c->sink.ops = &sink_ops;
	atomic_fetch_add(&f->active, 1);
	x->data = c;
	x->on_closed = on_closed;
	x->on_writable = on_writable;
	if (!fill_request(c, x)) {
		c->req.verb_name = "";
		refuse_plain(c, 400, "400 Bad Request");
		return;
	}
	if ((c->req.verb == VERB_GET || c->req.verb == VERB_LIST) && !is_long_running(&c->req) &&
	    compress_accepted(http_header_get(x, "accept-encoding")))
		c->compressor = compressor_new(x);
	bool fits = enter(c);
	front_metrics_begin(f->metrics, &c->req, c->long_running);
	if (!fits) {
		response_header(&c->sink, "Retry-After", "1");
		refuse_plain(c, 429, "Too many requests, please try again later.\n");
		return;
	}
	endpoints_serve(f->options.pipeline, &c->req, &c->sink);
}

/* --- life cycle ------------------------------------------------------------------------------ */

struct http_front *http_front_new(const struct http_front_options *o)
{
	struct http_front *f = calloc(1, sizeof(*f));
	if (!f)
		abort();
	f->options = *o;
	if (!f->options.max_body_bytes)
		f->options.max_body_bytes = 3 << 20;
	f->metrics = front_metrics_new(o->metrics, f->inflight);
	http_server_new(&(struct http_server_options){.on_request = on_request,
	                                              .arg = f,
	                                              .tls = o->tls,
	                                              .max_body_bytes = f->options.max_body_bytes,
	                                              .max_streams = o->max_streams},
	                &f->server);
	return f;
}

struct http_server *http_front_server(struct http_front *f)
{
	return f->server;
}

unsigned http_front_active(const struct http_front *f)
{
	return atomic_load(&f->active);
}

void http_front_free(struct http_front *f)
{
	if (!f)
		return;
	http_server_free(f->server);
	front_metrics_free(f->metrics);
	free(f);
}
