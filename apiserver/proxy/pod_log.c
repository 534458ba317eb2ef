/* SPDX-License-Identifier: Apache-2.0 */
/* GET pods/log: the kubelet's answer, as it comes. */
#include "apiserver/http/front.h"
#include "apiserver/proxy/log_request.h"
#include "apiserver/proxy/proxy_impl.h"

enum { ERROR_BYTES_MAX = 10000 };

/* One GET of pods/log. Lives in its request's arena. */
struct log_call {
	struct proxy_call c;
	struct log_request options;
	const char *url;
	struct http_client *client;
	struct http_request *up;
	struct buf error; /* what a kubelet that refuses says */
	bool streaming, waiting;
};

/* --- the kubelet's answer --------------------------------------------------------------------- */

static void release(struct log_call *l)
{
	buf_deinit(&l->error);
	proxy_client_free(l->c.req->loop, TAKE(l->client));
}

static void on_head(struct http_request *r, void *arg)
{
	struct log_call *l = arg;

	if (http_request_status(r) != 200)
		return;
	l->streaming = true;
	response_status(l->c.sink, 200, "text/plain", -1);
}

static void on_body(struct http_request *r, struct slice data, void *arg)
{
	struct log_call *l = arg;

	if (!l->streaming) {
		if (l->error.len < ERROR_BYTES_MAX)
			buf_add(&l->error, data.data,
			        MIN(data.len, ERROR_BYTES_MAX - l->error.len));
		return;
	}
	if (response_chunk(l->c.sink, data) && !l->waiting) {
		l->waiting = true;
		http_request_pause(r, true);
	}
}

static const struct status *refusal_of(struct log_call *l, int http_status)
{
	struct arena *a = l->c.a;
	const char *text = l->error.len ? arena_strndup(a, l->error.data, l->error.len) : "";

	if (http_status == 400)
		return status_bad_request(a, "%s", text);
	if (http_status == 404) {
		struct status *s = status_new(a, 404, "NotFound",
		                              "the server could not find the requested resource ( "
		                              "pods/log %s)",
		                              l->c.req->name);
		struct status_cause *cause = arena_new(a, struct status_cause);
		*cause = (struct status_cause){"UnexpectedServerResponse", text, ""};
		status_details(s, "", "pods/log", l->c.req->name);
		s->details.causes = cause;
		s->details.n_causes = 1;
		return s;
	}
	return status_internal(a, text);
}

static void on_done(struct http_request *r, int code, const struct err *err, void *arg)
{
	struct log_call *l = arg;
	const struct status *s = NULL;

	l->up = NULL;
	if (!l->streaming)
		s = code ? status_new(l->c.a, 500, "", "Get \"%s\": %s", l->url, err->text)
		         : refusal_of(l, http_request_status(r));
	release(l);
	if (s)
		proxy_refuse(&l->c, s);
	else if (code)
		response_abort(l->c.sink);
	else
		response_end(l->c.sink);
}

static void on_closed(void *arg)
{
	struct log_call *l = arg;

	if (!l->up)
		return;
	http_request_cancel(TAKE(l->up));
	release(l);
	/* No answer was begun: there is nobody to read one. */
	if (l->streaming)
		response_end(l->c.sink);
	else
		response_abort(l->c.sink);
}

static void on_writable(void *arg)
{
	struct log_call *l = arg;

	if (!l->up || !l->waiting)
		return;
	l->waiting = false;
	http_request_pause(l->up, false);
}

static void call_kubelet(struct log_call *l)
{
	struct proxy *p = l->c.proxy;
	struct http_exchange *x = http_front_exchange(l->c.req);

	if (x)
		x->patient = true;
	metric_inc(metric_labels(p->log_backends,
	                         l->options.insecure ? "skip_tls_allowed" : "enforce_tls"));
	http_client_new(
	    &(struct http_client_options){
	        .loop = l->c.req->loop,
	        .tls = l->options.insecure ? p->kubelet_insecure : p->kubelet,
	        .connect_timeout_ms = p->o.timeout_ms,
	    },
	    &l->client);
	l->c.sink->on_closed = on_closed;
	l->c.sink->on_writable = on_writable;
	l->c.sink->arg = l;
	l->up = http_client_start(l->client, &(struct http_client_call){
	                                         .url = l->url,
	                                         .on_head = on_head,
	                                         .on_body = on_body,
	                                         .on_done = on_done,
	                                         .arg = l,
	                                     });
}

/* --- the request ------------------------------------------------------------------------------ */

static void locate(void *arg)
{
	struct log_call *l = arg;
	struct proxy_call *c = &l->c;
	const struct request *req = c->req;
	const CoreV1__Pod *pod = (void *)proxy_find(c, "pods", req->ns, req->name);
	const struct status *refusal = NULL;

	if (!pod) {
		proxy_refuse(c, status_not_found(c->a, "", "pods", req->name));
		return;
	}
	const char *container = proxy_container(pod, l->options.container, c->a, &refusal);
	if (container && !*pod->spec->node_name) {
		response_reply(c->sink, 204, NULL, SLICE_EMPTY); /* not placed yet: no log */
		return;
	}
	const char *base = container ? proxy_kubelet(c, pod->spec->node_name, &refusal) : NULL;
	if (!base) {
		proxy_refuse(c, refusal);
		return;
	}
	l->url = arena_printf(c->a, "%s/containerLogs/%s/%s/%s%s%s", base, req->ns, req->name,
	                      container, *l->options.query ? "?" : "", l->options.query);
	call_kubelet(l);
}

void proxy_pod_log(void *arg, struct pipeline *p, struct request *req, struct response_sink *sink)
{
	struct log_call *l = arena_new(req->arena, struct log_call);

	*l = (struct log_call){.c = {arg, p, req, sink, req->arena}};
	const struct status *refusal = log_request_parse(req, &l->options);
	if (refusal)
		proxy_refuse(&l->c, refusal);
	else
		proxy_fresh(&l->c, locate, l);
}
