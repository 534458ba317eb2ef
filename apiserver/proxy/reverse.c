/* SPDX-License-Identifier: Apache-2.0 */
/* One request that a backend answers. Its headers come back but for those of its connection and
 * those that would open the apiserver to other origins; redirects lead back through here. */
#include "apiserver/http/front.h"
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
static const char *redirect_of(const struct reverse *r, const char *location)
{
	const char *host = behind_scheme(location);
	const char *path = location;

	if (host) {
		const char *mine = behind_scheme(r->url);
		size_t n = strcspn(host, "/?#");
		const char *asked = request_header(r->c.req, "host");
		bool same = n == strcspn(mine, "/?#") && !strncmp(host, mine, n);
		bool same_asked = asked && strlen(asked) == n && !strncmp(host, asked, n);
		if (!same && !same_asked)
			return location;
		path = host + n;
	}
	if (*path != '/' || path[1] == '/')
		return location;
	if (!strncmp(path, r->prefix, strlen(r->prefix)))
		return path;
	return arena_printf(r->c.a, "%s%s", r->prefix, path);
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

	for (size_t i = 0; http_request_field(up, i, &h); i++) {
		const char *name = arena_strndup(a, h.name.data, h.name.len);
		const char *value = arena_strndup(a, h.value.data, h.value.len);
		if (is_dropped(h.name) || ws_has_token(connection, name))
			continue;
		if (!strcmp(name, "location"))
			value = redirect_of(r, value);
		response_header(r->c.sink, name, value);
	}
	r->answering = true;
	response_status(r->c.sink, http_request_status(up),
	                type.len ? arena_strndup(a, type.data, type.len) : NULL,
	                length_of(http_request_header(up, "content-length")));
}

static void on_body(struct http_request *up, struct slice data, void *arg)
{
	struct reverse *r = arg;

	if (response_chunk(r->c.sink, data) && !r->waiting) {
		r->waiting = true;
		http_request_pause(up, true);
	}
}

static void on_done(struct http_request *up, int code, const struct err *err, void *arg)
{
	struct reverse *r = arg;

	r->up = NULL;
	proxy_client_free(r->c.req->loop, TAKE(r->client));
	if (r->answering && code)
		response_abort(r->c.sink);
	else if (r->answering)
		response_end(r->c.sink);
	else
		proxy_refuse(&r->c,
		             status_unavailable(
		                 r->c.a, arena_printf(r->c.a, "error trying to reach service: %s",
		                                      err->text)));
}

static void on_closed(void *arg)
{
	struct reverse *r = arg;

	if (!r->up)
		return;
	http_request_cancel(TAKE(r->up));
	proxy_client_free(r->c.req->loop, TAKE(r->client));
	response_abort(r->c.sink);
}

static void on_writable(void *arg)
{
	struct reverse *r = arg;

	if (!r->up || !r->waiting)
		return;
	r->waiting = false;
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
