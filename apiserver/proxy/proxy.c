/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/proxy/proxy.h"

#include <string.h>

#include "apiserver/endpoints/pipeline.h"
#include "apiserver/endpoints/stored.h"
#include "apiserver/proxy/log_request.h"
#include "apiserver/storage/cacher.h"
#include "common/net/http_client.h"
#include "common/net/loop.h"

enum { FRESH_TIMEOUT_MS = 10000, ERROR_BYTES_MAX = 10000, KUBELET_PORT = 10250 };

static const char *const default_types[] = {"Hostname", "InternalDNS", "InternalIP", "ExternalDNS",
                                            "ExternalIP"};

struct proxy {
	struct proxy_options o;
	struct tls_context *tls, *tls_insecure;
};

/* One GET of pods/log. Lives in its request's arena. */
struct log_call {
	struct proxy *proxy;
	struct pipeline *pipeline;
	struct request *req;
	struct response_sink *sink;
	struct log_request options;
	const char *url;
	struct http_client *client;
	struct http_request *up;
	struct buf error; /* what a kubelet that refuses says */
	bool streaming, waiting;
};

static void refuse(struct log_call *c, const struct status *s)
{
	status_send(s, c->req, c->sink);
}

/* --- the kubelet's answer --------------------------------------------------------------------- */

static void free_client(void *arg)
{
	http_client_free(arg);
}

/* The client may not be freed from within one of its callbacks. */
static void release(struct log_call *c)
{
	buf_deinit(&c->error);
	loop_post(c->req->loop, free_client, c->client);
}

static void on_head(struct http_request *r, void *arg)
{
	struct log_call *c = arg;
	if (http_request_status(r) != 200)
		return;
	c->streaming = true;
	response_status(c->sink, 200, "text/plain", -1);
}

static void on_body(struct http_request *r, struct slice data, void *arg)
{
	struct log_call *c = arg;
	if (!c->streaming) {
		if (c->error.len < ERROR_BYTES_MAX)
			buf_add(&c->error, data.data,
			        MIN(data.len, ERROR_BYTES_MAX - c->error.len));
		return;
	}
	if (response_chunk(c->sink, data) && !c->waiting) {
		c->waiting = true;
		http_request_pause(r, true);
	}
}

static const struct status *refusal_of(struct log_call *c, int http_status)
{
	struct arena *a = c->req->arena;
	const char *text = c->error.len ? arena_strndup(a, c->error.data, c->error.len) : "";
	if (http_status == 400)
		return status_bad_request(a, "%s", text);
	if (http_status == 404) {
		struct status *s = status_new(a, 404, "NotFound",
		                              "the server could not find the requested resource ( "
		                              "pods/log %s)",
		                              c->req->name);
		struct status_cause *cause = arena_new(a, struct status_cause);
		*cause = (struct status_cause){"UnexpectedServerResponse", text, ""};
		status_details(s, "", "pods/log", c->req->name);
		s->details.causes = cause;
		s->details.n_causes = 1;
		return s;
	}
	return status_internal(a, text);
}

static void on_done(struct http_request *r, int code, const struct err *err, void *arg)
{
	struct log_call *c = arg;
	c->up = NULL;
	const struct status *s = NULL;
	if (c->streaming && code)
		response_abort(c->sink);
	else if (c->streaming)
		response_end(c->sink);
	else if (code)
		s = status_new(c->req->arena, 500, "", "Get \"%s\": %s", c->url, err->text);
	else
		s = refusal_of(c, http_request_status(r));
	release(c);
	if (s)
		refuse(c, s);
}

static void on_closed(void *arg)
{
	struct log_call *c = arg;
	if (!c->up)
		return;
	http_request_cancel(c->up);
	c->up = NULL;
	release(c);
	response_end(c->sink);
}

static void on_writable(void *arg)
{
	struct log_call *c = arg;
	if (!c->up || !c->waiting)
		return;
	c->waiting = false;
	http_request_pause(c->up, false);
}

static void call_kubelet(struct log_call *c)
{
	struct proxy *p = c->proxy;
	http_client_new(
	    &(struct http_client_options){
	        .loop = c->req->loop,
	        .tls = c->options.insecure ? p->tls_insecure : p->tls,
	        .connect_timeout_ms = p->o.timeout_ms,
	    },
	    &c->client);
	c->sink->on_closed = on_closed;
	c->sink->on_writable = on_writable;
	c->sink->arg = c;
	c->up = http_client_start(c->client, &(struct http_client_call){
	                                         .url = c->url,
	                                         .on_head = on_head,
	                                         .on_body = on_body,
	                                         .on_done = on_done,
	                                         .arg = c,
	                                     });
}

/* --- where it is ------------------------------------------------------------------------------ */

/* The object as the cache has it; NULL when there is none. */
static ProtobufCMessage *find(struct log_call *c, const char *resource, const char *key)
{
	const struct resource_info *info = resource_find("", "v1", resource, "");
	struct cacher_snapshot snap = cacher_snapshot(pipeline_cache(c->pipeline, info));
	struct cache_object *o = cache_tree_get(&snap.tree, slice_str(key));
	struct object obj;
	struct err err;
	ProtobufCMessage *msg = NULL;
	if (o &&
	    !stored_decode(info, blob_view(o->blob), o->mod_revision, c->req->arena, &obj, &err))
		msg = obj.msg;
	cacher_snapshot_deinit(&snap);
	return msg;
}

static const char *address_of(const struct proxy *p, const CoreV1__Node *node)
{
	const char *const *types = p->o.n_address_types ? p->o.address_types : default_types;
	size_t n = p->o.n_address_types ? p->o.n_address_types : ARRAY_LEN(default_types);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < node->status->n_addresses; k++)
			if (!strcmp(node->status->addresses[k]->type, types[i]))
				return node->status->addresses[k]->address;
	return NULL;
}

static void locate(struct log_call *c)
{
	struct request *req = c->req;
	struct arena *a = req->arena;
	const CoreV1__Pod *pod =
	    (void *)find(c, "pods", arena_printf(a, "%s/%s", req->ns, req->name));
	const struct status *refusal = NULL;
	if (!pod) {
		refuse(c, status_not_found(a, "", "pods", req->name));
		return;
	}
	const char *container = log_request_container(&c->options, pod, a, &refusal);
	if (!container) {
		refuse(c, refusal);
		return;
	}
	const char *host_name = pod->spec->node_name;
	if (!host_name || !*host_name) {
		response_reply(c->sink, 200, "text/plain",
		               SLICE_EMPTY); /* not placed yet: no log */
		return;
	}
	const CoreV1__Node *node = (void *)find(c, "nodes", host_name);
	if (!node) {
		refuse(c, status_not_found(a, "", "nodes", host_name));
		return;
	}
	const char *host = address_of(c->proxy, node);
	if (!host) {
		refuse(c,
		       status_new(a, 500, "", "no preferred addresses found; known addresses: []"));
		return;
	}
	const CoreV1__NodeDaemonEndpoints *e = node->status->daemon_endpoints;
	int port = e && e->kubelet_endpoint ? e->kubelet_endpoint->port : 0;
	bool v6 = strchr(host, ':') != NULL;
	c->url = arena_printf(a, "https://%s%s%s:%d/containerLogs/%s/%s/%s%s%s", v6 ? "[" : "",
	                      host, v6 ? "]" : "", port ? port : KUBELET_PORT, req->ns, req->name,
	                      container, *c->options.query ? "?" : "", c->options.query);
	call_kubelet(c);
}

static void on_fresh(void *arg, int code, const struct err *err, int64_t revision)
{
	struct log_call *c = arg;
	(void)revision;
	if (code)
		refuse(c, status_of_err(c->req->arena, code, err));
	else
		locate(c);
}

static void serve_log(void *arg, struct pipeline *pipeline, struct request *req,
                      struct response_sink *sink)
{
	struct log_call *c = arena_new(req->arena, struct log_call);
	*c = (struct log_call){.proxy = arg, .pipeline = pipeline, .req = req, .sink = sink};
	const struct status *refusal = log_request_parse(req, &c->options);
	if (refusal) {
		refuse(c, refusal);
		return;
	}
	cacher_fresh(pipeline_cacher(pipeline), req->loop, 0, FRESH_TIMEOUT_MS, on_fresh, c);
}

/* --- life ------------------------------------------------------------------------------------- */

int proxy_new(const struct proxy_options *o, struct pipeline *pipeline, struct proxy **ret,
              struct err *err)
{
	struct proxy *p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	p->o = *o;
	struct tls_options tls = {
	    .cert_file = o->kubelet_cert_file,
	    .key_file = o->kubelet_key_file,
	    .insecure_skip_verify = true,
	};
	int r = tls_context_new(&tls, &p->tls_insecure, err);
	tls.ca_file = o->kubelet_ca_file;
	tls.insecure_skip_verify = !o->kubelet_ca_file;
	if (!r)
		r = tls_context_new(&tls, &p->tls, err);
	if (r) {
		proxy_free(p);
		return err_prefix(err, "kubelet client");
	}
	pipeline_handle(pipeline, "", "pods", "log", serve_log, p);
	*ret = p;
	return 0;
}

void proxy_free(struct proxy *p)
{
	if (!p)
		return;
	tls_context_unref(p->tls);
	tls_context_unref(p->tls_insecure);
	free(p);
}
