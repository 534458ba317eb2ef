/* SPDX-License-Identifier: Apache-2.0 */
/* REST over HTTP/1.1 and TLS: a connection a client, and one a watcher. */
#include "tests/bench/apiserver/load.h"

#include <stdio.h>
#include "common/net/http_client.h"
#include "common/net/tls.h"

struct rest {
	struct load_way way;
	const struct load_options *o;
	struct tls_context *tls;
	struct http_client *client;
	bool told;
};

struct exchange {
	struct rest *rest;
	load_done_fn done;
	void *arg;
	size_t bytes;
};

static const char *const METHODS[] = {
    [LOAD_CREATE] = "POST", [LOAD_GET] = "GET",     [LOAD_UPDATE] = "PUT",
    [LOAD_PATCH] = "PATCH", [LOAD_APPLY] = "PATCH", [LOAD_LIST] = "GET"};

static const char *const TYPES[] = {[LOAD_CREATE] = "application/json",
                                    [LOAD_UPDATE] = "application/json",
                                    [LOAD_PATCH] = "application/merge-patch+json",
                                    [LOAD_APPLY] = "application/apply-patch+yaml"};

static void on_body(struct http_request *r, struct slice data, void *arg)
{
	struct exchange *x = arg;

	x->bytes += data.len;
	if (http_request_status(r) >= 300 && !x->rest->told) {
		x->rest->told = true;
		fprintf(stderr, "%.*s\n", SLICE_FMT(data));
	}
}

static void on_done(struct http_request *r, int code, const struct err *err, void *arg)
{
	struct exchange *x = arg;
	int status = code ? 0 : http_request_status(r);

	if (code)
		fprintf(stderr, "%s\n", err->text);
	x->done(x->arg, status == 200 || status == 201, x->bytes);
	free(x);
}

static void set_url(const struct load_options *o, enum load_op op, unsigned long n, struct buf *url)
{
	buf_printf(url, "%s%s", o->url, o->resource->path);
	if (op != LOAD_CREATE && op != LOAD_LIST)
		buf_printf(url, "/%s-%lu", o->prefix, n % o->names);
	if (op == LOAD_APPLY)
		buf_str(url, "?fieldManager=bench");
	if (op == LOAD_LIST && o->limit)
		buf_printf(url, "?limit=%lu", o->limit);
}

static void set_body(const struct load_options *o, enum load_op op, unsigned long n,
                     struct buf *body)
{
	if (op == LOAD_CREATE)
		load_object(o, n, 0, body);
	else if (op == LOAD_PATCH)
		load_patch(o, n + 1, body);
	else if (op == LOAD_UPDATE || op == LOAD_APPLY)
		load_object(o, n % o->names, n + 1, body);
}

static void start(struct load_way *way, unsigned long client, enum load_op op, unsigned long n,
                  load_done_fn done, void *arg)
{
	struct rest *rest = CONTAINER_OF(way, struct rest, way);
	_cleanup_buf_ struct buf url = BUF_INIT, body = BUF_INIT;
	struct exchange *x = calloc(1, sizeof(*x));
	struct http_header headers[] = {
	    {SLICE_LIT("accept"), slice_str(rest->o->accept)},
	    {SLICE_LIT("content-type"), slice_str(TYPES[op])},
	};

	if (!x)
		abort();
	*x = (struct exchange){rest, done, arg, 0};
	set_url(rest->o, op, n, &url);
	set_body(rest->o, op, n, &body);
	http_client_start(rest->client, &(struct http_client_call){.method = METHODS[op],
	                                                           .url = (char *)url.data,
	                                                           .headers = headers,
	                                                           .n_headers = TYPES[op] ? 2 : 1,
	                                                           .body = buf_view(&body),
	                                                           .on_body = on_body,
	                                                           .on_done = on_done,
	                                                           .arg = x});
}

/* --- watching -------------------------------------------------------------------------------- */

static void on_watching(struct http_request *r, void *arg)
{
	struct load_watch *w = arg;

	w->ready(w);
}

/* Every event is one line. */
static void on_events(struct http_request *r, struct slice data, void *arg)
{
	struct load_watch *w = arg;
	size_t n = 0;

	for (size_t i = 0; i < data.len; i++)
		n += data.data[i] == '\n';
	if (n)
		w->events(w, n);
}

static void on_watch_end(struct http_request *r, int code, const struct err *err, void *arg)
{
	struct load_watch *w = arg;

	fprintf(stderr, "a watch ended: %d %s\n", http_request_status(r), code ? err->text : "");
	w->ended(w);
}

static void watch(struct load_way *way, struct load_watch *w)
{
	struct rest *rest = CONTAINER_OF(way, struct rest, way);
	_cleanup_buf_ struct buf url = BUF_INIT, selector = BUF_INIT;

	load_selector(rest->o, w->i, &selector);
	buf_printf(&url, "%s%s?watch=1&resourceVersion=%s", rest->o->url, rest->o->resource->path,
	           rest->o->version);
	if (selector.len)
		buf_printf(&url, "&fieldSelector=%s", (const char *)selector.data);
	http_client_start(rest->client, &(struct http_client_call){.url = (char *)url.data,
	                                                           .on_head = on_watching,
	                                                           .on_body = on_events,
	                                                           .on_done = on_watch_end,
	                                                           .arg = w});
}

/* --- life cycle ------------------------------------------------------------------------------ */

struct load_way *load_rest_new(const struct load_options *o, struct loop *loop, struct err *err)
{
	struct rest *rest = calloc(1, sizeof(*rest));

	if (!rest)
		abort();
	rest->way = (struct load_way){.start = start, .watch = watch};
	rest->o = o;
	if (tls_context_new(
	        &(struct tls_options){.ca_file = o->ca, .cert_file = o->cert, .key_file = o->key},
	        &rest->tls, err) < 0)
		return NULL;
	http_client_new(&(struct http_client_options){.loop = loop,
	                                              .tls = rest->tls,
	                                              .connect_timeout_ms = 120000,
	                                              .max_idle = (uint32_t)o->clients},
	                &rest->client);
	return &rest->way;
}
