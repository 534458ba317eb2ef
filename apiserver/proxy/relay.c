/* SPDX-License-Identifier: Apache-2.0 */
/* An upgrade that is handed on untouched: the backend answers it, and then bytes go both ways,
 * whatever they are (SPDY/3.1, WebSocket v4 and older, a web server's own WebSocket). */
#include "apiserver/http/front.h"
#include "apiserver/proxy/proxy_impl.h"
#include "common/base/heap.h"
#include "common/net/http_splice.h"
#include "common/net/loop.h"

struct relay {
	struct loop *loop;
	struct http_client *client;
	struct http_request *up;
	struct http_splice splice;

	/* Until the upgrade. */
	struct proxy_call c;
	bool answering, waiting;
};

static void relay_free(struct relay *r)
{
	if (r->up)
		http_request_cancel(r->up);
	proxy_client_free(r->loop, r->client);
	free(r);
}

static void on_pipe_end(void *arg)
{
	relay_free(arg);
}

/* --- the backend upgrades --------------------------------------------------------------------- */

static void on_upgraded(struct http_request *up, void *arg)
{
	struct relay *r = arg;
	struct request *req = r->c.req;
	struct http_exchange *x = http_front_exchange(req);
	struct http_header h;

	r->up = NULL;
	for (size_t i = 0; http_request_field(up, i, &h); i++)
		if (!proxy_is_hop(h.name) && !slice_eq_str(h.name, "date"))
			http_set_header(x, arena_strndup(x->arena, h.name.data, h.name.len),
			                arena_strndup(x->arena, h.value.data, h.value.len));
	struct slice protocol = http_request_header(up, "upgrade");
	const char *name = arena_strndup(x->arena, protocol.data, protocol.len);
	/* The exchange can be upgraded: proxy_wants_upgrade said so, and it has not been closed. */
	http_front_upgraded(req);
	if (!http_upgrade(x, name, &r->splice.near))
		abort();
}

/* --- the backend refuses: its answer is the client's ------------------------------------------ */

static void on_head(struct http_request *up, void *arg)
{
	struct relay *r = arg;
	struct slice type = http_request_header(up, "content-type");
	int status = http_request_status(up);

	if (status < 400)
		return;
	r->answering = true;
	response_status(r->c.sink, status,
	                type.len ? arena_strndup(r->c.a, type.data, type.len) : NULL, -1);
}

static void on_body(struct http_request *up, struct slice data, void *arg)
{
	struct relay *r = arg;

	if (r->answering && response_chunk(r->c.sink, data) && !r->waiting) {
		r->waiting = true;
		http_request_pause(up, true);
	}
}

static void on_done(struct http_request *up, int code, const struct err *err, void *arg)
{
	struct relay *r = arg;
	struct proxy_call c = r->c;
	bool answering = r->answering;

	r->up = NULL;
	relay_free(r);
	if (answering && code)
		response_abort(c.sink);
	else if (answering)
		response_end(c.sink);
	else if (code)
		proxy_refuse(&c, proxy_unreachable(c.a, "error dialing backend", err));
	else
		proxy_refuse(&c,
		             status_new(c.a, 500, "", "invalid upgrade response: status code %d",
		                        http_request_status(up)));
}

static void on_closed(void *arg)
{
	struct relay *r = arg;
	struct response_sink *sink = r->c.sink;

	relay_free(r);
	response_abort(sink);
}

static void on_writable(void *arg)
{
	struct relay *r = arg;

	if (!r->waiting)
		return;
	r->waiting = false;
	http_request_pause(r->up, false);
}

void relay_start(const struct proxy_call *c, const struct backend *b)
{
	struct relay *r = heap_new(struct relay);

	r->c = *c;
	r->loop = c->req->loop;
	http_splice_init(&r->splice, on_pipe_end, r);
	c->sink->on_closed = on_closed;
	c->sink->on_writable = on_writable;
	c->sink->arg = r;
	http_client_new(&(struct http_client_options){.loop = r->loop,
	                                              .tls = b->tls,
	                                              .connect_timeout_ms = c->proxy->o.timeout_ms},
	                &r->client);
	r->up = http_client_start(r->client, &(struct http_client_call){
	                                         .method = c->req->method,
	                                         .url = b->url,
	                                         .headers = b->headers,
	                                         .n_headers = b->n_headers,
	                                         .body = c->req->body,
	                                         .upgrade = request_header(c->req, "upgrade"),
	                                         .on_head = on_head,
	                                         .on_body = on_body,
	                                         .on_done = on_done,
	                                         .on_upgraded = on_upgraded,
	                                         .tunnel = &r->splice.far,
	                                         .arg = r,
	                                     });
}
