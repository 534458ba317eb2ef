/* SPDX-License-Identifier: Apache-2.0 */
#include "common/net/http_client_internal.h"
#include <arpa/inet.h>
#include <netinet/in.h>

/* A look-up of a name; outlives its request when that is cancelled. */
struct client_resolve {
	uv_getaddrinfo_t req;
	struct http_request *request;
};

/* --- URLs and requests as text --------------------------------------------------------------- */

static bool parse_url(const char *url, struct client_target *t)
{
	struct http_parser_url u;
	size_t len = strlen(url);

	http_parser_url_init(&u);
	if (http_parser_parse_url(url, len, 0, &u) != 0 || !(u.field_set & 1 << UF_HOST))
		return false;
	struct slice scheme =
	    slice_of(url + u.field_data[UF_SCHEMA].off, u.field_data[UF_SCHEMA].len);
	struct slice host = slice_of(url + u.field_data[UF_HOST].off, u.field_data[UF_HOST].len);
	t->https = slice_eq_str(scheme, "https");
	if ((!t->https && !slice_eq_str(scheme, "http")) || host.len >= sizeof(t->host))
		return false;
	snprintf(t->host, sizeof(t->host), "%.*s", SLICE_FMT(host));
	t->port_number = u.port ? u.port : t->https ? 443 : 80;
	snprintf(t->port, sizeof(t->port), "%d", t->port_number);
	snprintf(t->key, sizeof(t->key), "%s://%s:%s", t->https ? "https" : "http", t->host,
	         t->port);
	t->path = SLICE_LIT("/");
	if (u.field_set & 1 << UF_PATH) {
		size_t at = u.field_data[UF_PATH].off;
		size_t end =
		    u.field_set & 1 << UF_FRAGMENT ? u.field_data[UF_FRAGMENT].off - 1u : len;
		t->path = slice_of(url + at, end - at);
	}
	return true;
}

static void add_line(struct buf *b, struct slice name, struct slice value)
{
	buf_slice(b, name);
	buf_add(b, ": ", 2);
	for (size_t i = 0; i < value.len; i++) {
		uint8_t c = value.data[i];
		buf_byte(b, c == '\r' || c == '\n' ? ' ' : c);
	}
	buf_add(b, "\r\n", 2);
}

static void write_request(struct http_request *r)
{
	const struct http_client_call *c = &r->call;
	struct buf *b = &r->out;
	bool v6 = strchr(r->target.host, ':');

	bool has_host = false;

	for (size_t i = 0; i < c->n_headers; i++)
		has_host = has_host || slice_eq_str(c->headers[i].name, "host");
	buf_printf(b, "%s %.*s HTTP/1.1\r\n", c->method, SLICE_FMT(r->target.path));
	if (!has_host)
		buf_printf(b, v6 ? "Host: [%s]:%s\r\n" : "Host: %s:%s\r\n", r->target.host,
		           r->target.port);
	for (size_t i = 0; i < c->n_headers; i++)
		add_line(b, c->headers[i].name, c->headers[i].value);
	if (c->upgrade)
		buf_printf(b, "Connection: Upgrade\r\nUpgrade: %s\r\n", c->upgrade);
	if (c->body.len || strcmp(c->method, "POST") == 0 || strcmp(c->method, "PUT") == 0 ||
	    strcmp(c->method, "PATCH") == 0)
		buf_printf(b, "Content-Length: %zu\r\n", c->body.len);
	buf_str(b, "\r\n");
	buf_slice(b, c->body);
}

/* --- the end --------------------------------------------------------------------------------- */

static void request_detach(struct http_request *r)
{
	loop_timer_stop(&r->phase);
	loop_timer_stop(&r->total);
	list_del(&r->link);
	if (r->resolve) {
		r->resolve->request = NULL;
		uv_cancel((uv_req_t *)&r->resolve->req);
		r->resolve = NULL;
	}
	if (r->conn)
		r->conn->request = NULL;
	r->conn = NULL;
}

static void request_free(struct http_request *r)
{
	buf_deinit(&r->out);
	buf_deinit(&r->head);
	buf_deinit(&r->body);
	vec_deinit(&r->fields);
	free(r);
}

void http_request_finish(struct http_request *r, int code, const struct err *err)
{
	struct client_conn *c = r->conn;

	request_detach(r);
	if (c && code == 0)
		http_client_conn_release(c);
	else if (c)
		http_client_conn_close(c);
	if (r->call.on_done)
		r->call.on_done(r, code, err, r->call.arg);
	request_free(r);
}

/* The texts are those of Go's client, which operators know from kubectl. */
static void request_fail(struct http_request *r, enum err_code code, const char *fmt, ...)
    _printf_(3, 4);
static void request_fail(struct http_request *r, enum err_code code, const char *fmt, ...)
{
	struct err err = ERR_INIT;
	va_list ap;

	va_start(ap, fmt);
	err_setv(&err, code, fmt, ap);
	va_end(ap);
	http_request_finish(r, -(int)code, &err);
}

static void dial_fail(struct http_request *r, enum err_code code, const char *why)
{
	bool v6 = strchr(r->target.host, ':');

	request_fail(r, code, v6 ? "dial tcp [%s]:%s: %s" : "dial tcp %s:%s: %s", r->target.host,
	             r->target.port, why);
}

static void request_connect(struct http_request *r);

/* A kept connection may have been closed by the server while we wrote: that says nothing about the
 * request, which goes once more over a fresh one. */
void http_request_broken(struct http_request *r, const char *why)
{
	struct client_conn *c = r->conn;

	if (c && c->used && !r->retried && !r->answered) {
		r->retried = true;
		r->conn = NULL;
		c->request = NULL;
		http_client_conn_close(c);
		request_connect(r);
		return;
	}
	if (c && c->opened) {
		request_fail(r, r->answered || c->ready ? ERR_IO : ERR_UNAVAILABLE, "%s", why);
		return;
	}
	char text[128];
	if (!strcmp(why, uv_strerror(UV_EHOSTUNREACH)))
		why = "no route to host";
	snprintf(text, sizeof(text), "connect: %s", why);
	dial_fail(r, ERR_UNAVAILABLE, text);
}

void http_request_cancel(struct http_request *r)
{
	struct client_conn *c = r->conn;

	request_detach(r);
	if (c)
		http_client_conn_close(c);
	request_free(r);
}

static void on_total(void *arg)
{
	request_fail(arg, ERR_TIMEOUT, "context deadline exceeded");
}

static void on_phase(void *arg)
{
	struct http_request *r = arg;

	if (!r->started) {
		r->started = true;
		request_connect(r);
		return;
	}
	if (r->conn && r->conn->ready)
		request_fail(r, ERR_TIMEOUT, "net/http: timeout awaiting response headers");
	else
		dial_fail(r, ERR_TIMEOUT, "i/o timeout");
}

/* --- connecting ------------------------------------------------------------------------------ */

static void look_up_fail(struct http_request *r, int status)
{
	request_fail(r, ERR_UNAVAILABLE, "dial tcp: lookup %s: %s", r->target.host,
	             status == UV_EAI_NONAME ? "no such host" : uv_strerror(status));
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
	struct client_resolve *c = req->data;
	struct http_request *r = c->request;

	free(c);
	if (r) {
		r->resolve = NULL;
		if (status < 0 || !list)
			look_up_fail(r, status);
		else
			http_client_conn_open(r, list->ai_addr);
	}
	uv_freeaddrinfo(list);
}

static void look_up(struct http_request *r)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct client_resolve *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->request = r;
	c->req.data = c;
	int status = uv_getaddrinfo(&r->client->options.loop->uv, &c->req, on_resolved,
	                            r->target.host, r->target.port, &hints);
	if (status < 0) {
		free(c);
		look_up_fail(r, status);
		return;
	}
	r->resolve = c;
}

static void request_connect(struct http_request *r)
{
	struct client_conn *c = r->retried ? NULL : http_client_conn_idle(r->client, r->target.key);
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	int port = r->target.port_number;

	if (c) {
		http_client_conn_attach(c, r);
		http_request_send(r);
		return;
	}
	loop_timer_start(&r->phase, r->client->options.connect_timeout_ms);
	if (uv_ip4_addr(r->target.host, port, &v4) == 0)
		http_client_conn_open(r, (struct sockaddr *)&v4);
	else if (uv_ip6_addr(r->target.host, port, &v6) == 0)
		http_client_conn_open(r, (struct sockaddr *)&v6);
	else
		look_up(r);
}

void http_request_send(struct http_request *r)
{
	if (r->call.timeout_ms)
		loop_timer_start(&r->phase, r->call.timeout_ms);
	else
		loop_timer_stop(&r->phase);
	http_client_conn_write(r->conn, buf_view(&r->out));
}

/* --- for callers ----------------------------------------------------------------------------- */

void http_client_new(const struct http_client_options *o, struct http_client **ret)
{
	struct http_client *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->options = *o;
	if (!o->connect_timeout_ms)
		c->options.connect_timeout_ms = 10000;
	if (!o->idle_timeout_ms)
		c->options.idle_timeout_ms = 90000;
	if (!o->max_idle)
		c->options.max_idle = 4;
	if (!o->max_header_bytes)
		c->options.max_header_bytes = 1 << 20;
	if (o->tls)
		tls_context_ref(o->tls);
	list_init(&c->requests);
	list_init(&c->connections);
	*ret = c;
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	while (!list_empty(&c->requests))
		http_request_cancel(list_first(&c->requests, struct http_request, link));
	while (!list_empty(&c->connections))
		http_client_conn_close(list_first(&c->connections, struct client_conn, link));
	tls_context_unref(c->options.tls);
	free(c);
}

static void on_bad_url(void *arg)
{
	struct err err = ERR_INIT;

	err_set(&err, ERR_BAD_REQUEST, "not an http or https URL");
	http_request_finish(arg, -ERR_BAD_REQUEST, &err);
}

struct http_request *http_client_start(struct http_client *c, const struct http_client_call *call)
{
	enum { BODY_BYTES = 10 << 20 };
	struct http_request *r = calloc(1, sizeof(*r));
	if (!r)
		abort();
	r->client = c;
	r->call = *call;
	if (!call->method)
		r->call.method = "GET";
	if (!call->max_body_bytes)
		r->call.max_body_bytes = BODY_BYTES;
	r->is_head = strcmp(r->call.method, "HEAD") == 0;
	list_add_tail(&c->requests, &r->link);
	bool good = parse_url(call->url, &r->target) && (!r->target.https || c->options.tls);
	if (good)
		write_request(r);
	/* What the call borrowed is copied into `out` by now. */
	r->call.headers = NULL;
	r->call.body = SLICE_EMPTY;
	r->target.path = SLICE_EMPTY;
	loop_timer_init(&r->phase, c->options.loop, good ? on_phase : on_bad_url, r);
	loop_timer_init(&r->total, c->options.loop, on_total, r);
	loop_timer_start(&r->phase, 0);
	if (call->total_timeout_ms)
		loop_timer_start(&r->total, call->total_timeout_ms);
	return r;
}

void http_request_pause(struct http_request *r, bool pause)
{
	if (r->conn)
		http_client_conn_read(r->conn, !pause);
}

int http_request_status(const struct http_request *r)
{
	return r->status;
}

struct slice http_request_header(const struct http_request *r, const char *name)
{
	for (size_t i = 0; i < r->fields.n; i++) {
		const struct header_place *f = &r->fields.at[i];
		if (strcmp((const char *)r->head.data + f->name, name) == 0)
			return slice_of(r->head.data + f->value, f->value_len);
	}
	return SLICE_EMPTY;
}

bool http_request_field(const struct http_request *r, size_t i, struct http_header *ret)
{
	if (i >= r->fields.n)
		return false;
	const struct header_place *f = &r->fields.at[i];
	ret->name = slice_of(r->head.data + f->name, f->name_len);
	ret->value = slice_of(r->head.data + f->value, f->value_len);
	return true;
}

struct slice http_request_body(const struct http_request *r)
{
	return buf_view(&r->body);
}
