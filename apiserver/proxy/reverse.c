/* SPDX-License-Identifier: Apache-2.0 */
/* One request that a backend answers. Its headers come back but for those of its connection and
 * those that would open the apiserver to other origins; redirects and the links of pages lead back
 * through here. */
#include "apiserver/http/front.h"
#include "apiserver/proxy/page.h"
#include "apiserver/proxy/proxy_impl.h"
#include "common/net/loop.h"
#include "common/net/websocket.h"

/* Lives in its request's arena. */
struct reverse {
	struct proxy_call c;
	const char *prefix, *url;
	struct http_client *client;
	struct http_request *up;
	bool answering, waiting;
	struct page page;
	bool is_page;  /* the answer goes through it */
	bool complete; /* the backend is done; the page may not be */
};

/* --- the answer ------------------------------------------------------------------------------ */

/* What is not passed on, besides the connection's own: the front door makes it, or must not be. */
static bool is_dropped(struct slice name)
{
	static const char *const names[] = {"content-type",
	                                    "content-length",
	                                    "date",
	                                    "access-control-allow-credentials",
	                                    "access-control-allow-headers",
	                                    "access-control-allow-methods",
	                                    "access-control-allow-origin"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (slice_eq_str(name, names[i]))
			return true;
	return proxy_is_hop(name);
}

/* The part of an absolute URL behind "scheme://"; NULL: it is a path. */
static const char *behind_scheme(const char *url)
{
	const char *s = strstr(url, "://");

	return s && strcspn(url, "/?#") > (size_t)(s - url) ? s + 3 : NULL;
}

/* A redirect to a path of the backend becomes one to the same path through us; others stay. */
static const char *redirect_of(const struct reverse *r, const char *location, struct arena *a)
{
	const char *host = behind_scheme(location);
	const char *path = location;

	if (host) {
		const char *mine = behind_scheme(r->url);
		size_t n = strcspn(host, "/?#");
		struct slice asked = proxy_host(r->c.req);
		bool same = n == strcspn(mine, "/?#") && !strncmp(host, mine, n);
		bool same_asked = slice_eq(asked, slice_of(host, n));
		if (!same && !same_asked)
			return location;
		path = host + n;
	}
	if (*path != '/' || path[1] == '/')
		return location;
	if (!strncmp(path, r->prefix, strlen(r->prefix)))
		return path;
	return arena_printf(a, "%s%s", r->prefix, path);
}

static void rewrite_link(void *arg, struct slice url, struct buf *out)
{
	struct reverse *r = arg;
	_cleanup_arena_ struct arena a = {0};

	buf_str(out, redirect_of(r, arena_strndup(&a, url.data, url.len), &a));
}

/* A page in HTML that we can read. */
static bool is_page(const struct http_request *up, const struct request *req, bool *ret_gzip)
{
	struct slice type = http_request_header(up, "content-type");
	struct slice encoding = http_request_header(up, "content-encoding");
	size_t n = 0;

	while (n < type.len && type.data[n] != ';' && type.data[n] != ' ')
		n++;
	*ret_gzip = slice_eq_str(encoding, "gzip");
	return slice_eq_str(slice_of(type.data, n), "text/html") && (!encoding.len || *ret_gzip) &&
	       strcmp(req->method, "HEAD") != 0;
}

static int64_t length_of(struct slice text)
{
	int64_t v = 0;

	if (!text.len || text.len > 18)
		return -1;
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return -1;
		v = v * 10 + (text.data[i] - '0');
	}
	return v;
}

static void on_head(struct http_request *up, void *arg)
{
	struct reverse *r = arg;
	struct arena *a = r->c.a;
	struct slice connection = http_request_header(up, "connection");
	struct slice type = http_request_header(up, "content-type");
	struct http_header h;

	r->is_page = is_page(up, r->c.req, &r->page.gzip);
	r->page.links.rewrite = rewrite_link;
	r->page.links.arg = r;
	for (size_t i = 0; http_request_field(up, i, &h); i++) {
		const char *name = arena_strndup(a, h.name.data, h.name.len);
		const char *value = arena_strndup(a, h.value.data, h.value.len);
		if (is_dropped(h.name) || ws_has_token(connection, name))
			continue;
		if (r->is_page && !strcmp(name, "content-encoding"))
			continue;
		if (!strcmp(name, "location"))
			value = redirect_of(r, value, a);
		response_header(r->c.sink, name, value);
	}
	r->answering = true;
	response_status(r->c.sink, http_request_status(up),
	                type.len ? arena_strndup(a, type.data, type.len) : NULL,
	                r->is_page ? -1 : length_of(http_request_header(up, "content-length")));
}

static void send_chunk(struct reverse *r, struct slice data)
{
	if (!data.len || !response_chunk(r->c.sink, data) || r->waiting)
		return;
	r->waiting = true;
	if (r->up)
		http_request_pause(r->up, true);
}

static void release(struct reverse *r)
{
	_cleanup_buf_ struct buf rest = BUF_INIT;

	page_end(&r->page, &rest);
	if (r->is_page && r->complete)
		ERR_IGNORE(response_chunk(r->c.sink, buf_view(&rest))); /* the last one */
	proxy_client_free(r->c.req->loop, TAKE(r->client));
}

static void finish(struct reverse *r)
{
	release(r);
	response_end(r->c.sink);
}

/* Sends on what the page holds, as long as the client takes it. */
static void pump(struct reverse *r)
{
	int more = 1;

	while (more > 0 && !r->waiting) {
		_cleanup_buf_ struct buf out = BUF_INIT;
		more = page_next(&r->page, &out);
		send_chunk(r, buf_view(&out));
	}
	if (more < 0) {
		if (r->up)
			http_request_cancel(TAKE(r->up));
		r->complete = false;
		release(r);
		response_abort(r->c.sink);
	} else if (more == 0 && r->complete) {
		finish(r);
	}
}

static void on_body(struct http_request *up, struct slice data, void *arg)
{
	struct reverse *r = arg;
	_cleanup_buf_ struct buf out = BUF_INIT;

	if (!r->is_page) {
		send_chunk(r, data);
		return;
	}
	page_add(&r->page, data, &out);
	send_chunk(r, buf_view(&out));
	if (!r->waiting)
		pump(r);
}

static void on_done(struct http_request *up, int code, const struct err *err, void *arg)
{
	struct reverse *r = arg;

	r->up = NULL;
	if (r->answering && !code) {
		r->complete = true;
		if (!r->is_page)
			finish(r);
		else if (!r->waiting)
			pump(r);
		return;
	}
	release(r);
	if (r->answering)
		response_abort(r->c.sink);
	else
		proxy_refuse(&r->c,
		             status_unavailable(
		                 r->c.a, arena_printf(r->c.a, "error trying to reach service: %s",
		                                      err->text)));
}

static void on_closed(void *arg)
{
	struct reverse *r = arg;

	if (!r->client)
		return;
	if (r->up)
		http_request_cancel(TAKE(r->up));
	r->complete = false;
	release(r);
	response_abort(r->c.sink);
}

static void on_writable(void *arg)
{
	struct reverse *r = arg;

	if (!r->client || !r->waiting)
		return;
	r->waiting = false;
	if (r->is_page)
		pump(r);
	if (r->client && r->up && !r->waiting)
		http_request_pause(r->up, false);
}

/* --- the request ----------------------------------------------------------------------------- */

void reverse_start(const struct proxy_call *c, const struct backend *b, const char *prefix)
{
	struct reverse *r = arena_new(c->a, struct reverse);
	struct http_exchange *x = http_front_exchange(c->req);

	*r = (struct reverse){.c = *c, .prefix = prefix, .url = b->url};
	if (x && x->body_too_large) {
		proxy_refuse(c, status_too_large(c->a, "the body of a proxied request is limited"));
		return;
	}
	if (x)
		x->patient = true;
	c->sink->on_closed = on_closed;
	c->sink->on_writable = on_writable;
	c->sink->arg = r;
	http_client_new(&(struct http_client_options){.loop = c->req->loop,
	                                              .tls = b->tls,
	                                              .connect_timeout_ms = c->proxy->o.timeout_ms},
	                &r->client);
	r->up = http_client_start(r->client, &(struct http_client_call){
	                                         .method = c->req->method,
	                                         .url = b->url,
	                                         .headers = b->headers,
	                                         .n_headers = b->n_headers,
	                                         .body = c->req->body,
	                                         .on_head = on_head,
	                                         .on_body = on_body,
	                                         .on_done = on_done,
	                                         .arg = r,
	                                     });
}
