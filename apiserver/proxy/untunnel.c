/* SPDX-License-Identifier: Apache-2.0 */
/* Port-forward over WebSocket: the messages carry the bytes of a SPDY/3.1 connection, which goes on
 * to the kubelet as such. The kubelet is asked first, so that its refusal is the answer. */
#include "apiserver/http/front.h"
#include "apiserver/proxy/proxy_impl.h"
#include "apiserver/proxy/ws_server.h"
#include "common/base/heap.h"
#include "common/net/loop.h"

static const char tunnel_protocol[] = "SPDY/3.1+portforward.k8s.io";

struct untunnel {
	struct loop *loop;
	struct http_client *client;
	struct http_request *up;
	struct ws_server near;
	struct http_tunnel far;
	struct metric_family *counted;
	bool over;

	/* Until the upgrade. */
	struct proxy_call c;
	int status; /* that the kubelet refused with */
};

static void untunnel_free(void *arg)
{
	struct untunnel *u = arg;

	ws_server_deinit(&u->near);
	http_client_free(u->client);
	free(u);
}

/* Once the callback that we may be in has returned. */
static void end(struct untunnel *u)
{
	if (u->over)
		return;
	u->over = true;
	if (u->up)
		http_request_cancel(TAKE(u->up));
	http_tunnel_close(&u->far);
	loop_post(u->loop, untunnel_free, u);
}

/* --- both ways ------------------------------------------------------------------------------- */

static void on_piece(struct ws_server *w, const struct ws_piece *piece)
{
	struct untunnel *u = CONTAINER_OF(w, struct untunnel, near);

	if (http_tunnel_write(&u->far, piece->data))
		ws_server_pause(w, true);
}

static void near_writable(struct ws_server *w)
{
	http_tunnel_pause(&CONTAINER_OF(w, struct untunnel, near)->far, false);
}

static void near_end(struct ws_server *w)
{
	end(CONTAINER_OF(w, struct untunnel, near));
}

static void far_data(struct http_tunnel *t, struct slice data)
{
	struct untunnel *u = CONTAINER_OF(t, struct untunnel, far);

	if (ws_server_send(&u->near, SLICE_EMPTY, data))
		http_tunnel_pause(t, true);
}

static void far_writable(struct http_tunnel *t)
{
	ws_server_pause(&CONTAINER_OF(t, struct untunnel, far)->near, false);
}

static void far_closed(struct http_tunnel *t)
{
	struct untunnel *u = CONTAINER_OF(t, struct untunnel, far);

	ws_server_close(&u->near, WS_CLOSE_NORMAL, "");
	end(u);
}

/* --- the beginning --------------------------------------------------------------------------- */

static void count(const struct untunnel *u, int code)
{
	char text[12];

	snprintf(text, sizeof(text), "%d", code);
	metric_inc(metric_labels(u->counted, text));
}

static void on_upgraded(struct http_request *up, void *arg)
{
	struct untunnel *u = arg;
	struct http_exchange *x = http_front_exchange(u->c.req);

	u->up = NULL;
	count(u, 101);
	http_front_upgraded(u->c.req);
	ws_server_accept(&u->near, x, tunnel_protocol);
}

static void on_done(struct http_request *up, int code, const struct err *err, void *arg)
{
	struct untunnel *u = arg;
	struct proxy_call c = u->c;
	struct slice type = http_request_header(up, "content-type");
	int status = http_request_status(up);

	u->up = NULL;
	count(u, code || status < 400 ? 500 : status);
	end(u);
	if (code)
		proxy_refuse(&c, proxy_unreachable(c.a, "error dialing backend", err));
	else if (status < 400)
		proxy_refuse(&c, status_new(c.a, 500, "",
		                            "invalid upgrade response: status code %d", status));
	else
		response_reply(c.sink, status,
		               type.len ? arena_strndup(c.a, type.data, type.len) : NULL,
		               http_request_body(up));
}

static void on_closed(void *arg)
{
	struct untunnel *u = arg;
	struct response_sink *sink = u->c.sink;

	if (u->over)
		return;
	end(u);
	response_abort(sink);
}

void untunnel_start(const struct proxy_call *c, const struct backend *b)
{
	static const struct http_header headers[] = {
	    {SLICE_LIT("X-Stream-Protocol-Version"), SLICE_LIT("portforward.k8s.io")}};
	const char *fault = ws_server_fault(http_front_exchange(c->req));
	struct untunnel *u;

	if (fault) {
		proxy_refuse(c, status_bad_request(c->a, "%s", fault));
		return;
	}
	u = heap_new(struct untunnel);
	u->c = *c;
	u->loop = c->req->loop;
	u->counted = c->proxy->tunnelled;
	u->near.on_piece = on_piece;
	u->near.on_writable = near_writable;
	u->near.on_end = near_end;
	u->far = (struct http_tunnel){
	    .on_data = far_data, .on_writable = far_writable, .on_closed = far_closed};
	c->sink->on_closed = on_closed;
	c->sink->on_writable = NULL;
	c->sink->arg = u;
	http_client_new(&(struct http_client_options){.loop = u->loop,
	                                              .tls = b->tls,
	                                              .connect_timeout_ms = c->proxy->o.timeout_ms},
	                &u->client);
	u->up = http_client_start(u->client, &(struct http_client_call){
	                                         .method = "POST",
	                                         .url = b->url,
	                                         .headers = headers,
	                                         .n_headers = ARRAY_LEN(headers),
	                                         .upgrade = "SPDY/3.1",
	                                         .on_done = on_done,
	                                         .on_upgraded = on_upgraded,
	                                         .tunnel = &u->far,
	                                         .arg = u,
	                                     });
}
