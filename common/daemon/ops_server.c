/* SPDX-License-Identifier: Apache-2.0 */
#include "common/daemon/ops_server.h"

#include <stdio.h>

struct ops_server {
	struct ops_server_options o;
	struct http_server *http;
};

static void reply_text(struct http_exchange *x, int status, const char *type, const struct buf *b)
{
	http_set_header(x, "X-Content-Type-Options", "nosniff");
	http_reply(x, status, type, buf_view(b));
}

static void answer_version(struct http_exchange *x)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	buf_printf(&b,
	           "{\n  \"major\": \"1\",\n  \"minor\": \"36\",\n  \"gitVersion\": \"%s\",\n"
	           "  \"platform\": \"linux/amd64\"\n}\n",
	           KUBERNETES_VERSION);
	reply_text(x, 200, "application/json", &b);
}

static void on_request(struct http_exchange *x, void *arg)
{
	struct ops_server *s = arg;
	struct slice path = x->target, query = SLICE_EMPTY;
	const uint8_t *mark = path.len ? memchr(path.data, '?', path.len) : NULL;
	if (mark) {
		query = slice_skip(path, (size_t)(mark - path.data) + 1);
		path.len = (size_t)(mark - path.data);
	}
	if (s->o.handle && s->o.handle(x, path, s->o.arg))
		return;
	_cleanup_buf_ struct buf b = BUF_INIT;
	bool read_only = !strcmp(x->method, "GET") || !strcmp(x->method, "HEAD");
	if (!read_only) {
		buf_str(&b, "Method Not Allowed\n");
		reply_text(x, 405, "text/plain; charset=utf-8", &b);
	} else if (slice_eq_str(path, "/metrics")) {
		metrics_write(s->o.daemon->metrics, &b);
		reply_text(x, 200, "text/plain; version=0.0.4; charset=utf-8", &b);
	} else if (slice_eq_str(path, "/version")) {
		answer_version(x);
	} else {
		int status = health_answer(&s->o.daemon->health, path, query, &b);
		if (status == 404 && !b.len)
			buf_str(&b, "404 page not found\n");
		reply_text(x, status, "text/plain; charset=utf-8", &b);
	}
}

/* Splits "host:port"; brackets around an IPv6 address go. */
static int split_address(const char *text, char *host, size_t host_bytes, int *port,
                         struct err *err)
{
	const char *colon = strrchr(text, ':');
	char *end = NULL;
	long value = colon ? strtol(colon + 1, &end, 10) : -1;
	size_t n = colon ? (size_t)(colon - text) : 0;
	bool bracketed = n >= 2 && text[0] == '[' && text[n - 1] == ']';
	if (!colon || end == colon + 1 || *end || value < 0 || value > 65535 || n >= host_bytes)
		return err_set(err, ERR_BAD_REQUEST, "\"%s\" is not an address with a port", text);
	snprintf(host, host_bytes, "%.*s", (int)(bracketed ? n - 2 : n),
	         bracketed ? text + 1 : text);
	*port = (int)value;
	return 0;
}

int ops_server_start(const struct ops_server_options *o, struct ops_server **ret, struct err *err)
{
	char host[128];
	int port = 0;
	*ret = NULL;
	if (!o->address || !*o->address)
		return 0;
	int r = split_address(o->address, host, sizeof(host), &port, err);
	if (r || !port)
		return r;
	struct ops_server *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->o = *o;
	http_server_new(
	    &(struct http_server_options){
	        .on_request = on_request, .arg = s, .tls = o->tls, .max_body_bytes = 64 * 1024},
	    &s->http);
	r = http_server_listen(s->http, &o->daemon->loop, host, port, NULL, err);
	if (r) {
		http_server_free(s->http);
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

static void stopped(void *arg)
{
	*(bool *)arg = true;
}

void ops_server_free(struct ops_server *s)
{
	if (!s)
		return;
	bool done = false;
	struct loop *loop = &s->o.daemon->loop;
	http_server_stop(s->http, 0, loop, stopped, &done);
	while (!done)
		loop_run_once(loop, true);
	http_server_free(s->http);
	free(s);
}
