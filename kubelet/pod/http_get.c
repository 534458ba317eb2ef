/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/pod/http_get.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/net/http_client.h"

enum { BODY_BYTES_MAX = 10240 };

struct http_get {
	struct http_client *client;
	struct http_request *request;
	struct loop_timer fail; /* without an address: calls back later */
	char error[300], url[1024];
	http_get_fn done;
	void *arg;
};

int container_port(const CoreV1__Container *c, const Intstr__IntOrString *port)
{
	if (!port)
		return 0;
	if (!port->type)
		return port->int_val;
	for (size_t i = 0; i < c->n_ports; i++)
		if (c->ports[i]->name && !strcmp(c->ports[i]->name, port->str_val))
			return c->ports[i]->container_port;
	return (int)strtol(port->str_val, NULL, 10);
}

static void get_free(struct http_get *g)
{
	loop_timer_stop(&g->fail);
	http_client_free(g->client);
	free(g);
}

static void free_later(void *arg)
{
	get_free(arg);
}

static void on_done(struct http_request *r, int code, const struct err *err, void *arg)
{
	struct http_get *g = arg;
	_cleanup_arena_ struct arena a = {0};
	g->request = NULL;
	if (code)
		g->done(0,
		        arena_printf(&a, "Get \"%s\": %s", g->url,
		                     code == -ERR_TIMEOUT ? "context deadline exceeded "
		                                            "(Client.Timeout exceeded while "
		                                            "awaiting headers)"
		                                          : err->text),
		        SLICE_EMPTY, g->arg);
	else
		g->done(http_request_status(r), NULL, http_request_body(r), g->arg);
	/* The client may not be freed from within its own callback. */
	loop_timer_stop(&g->fail);
	g->fail.fn = free_later;
	loop_timer_start(&g->fail, 0);
}

static void on_fail(void *arg)
{
	struct http_get *g = arg;
	g->done(0, g->error, SLICE_EMPTY, g->arg);
	get_free(g);
}

struct http_get *http_get_start(struct pod *p, const CoreV1__Container *c,
                                const CoreV1__HTTPGetAction *action, uint32_t timeout_ms,
                                http_get_fn done, void *arg)
{
	struct http_get *g = calloc(1, sizeof(*g));
	if (!g)
		abort();
	g->done = done;
	g->arg = arg;
	loop_timer_init(&g->fail, p->k->loop, on_fail, g);
	bool own = action->host && *action->host;
	const char *host = own ? action->host : pod_address(p);
	const char *path = action->path ? action->path : "";
	bool https = action->scheme && !strcasecmp(action->scheme, "HTTPS");
	if (!host) {
		snprintf(g->error, sizeof(g->error), "the pod has no address");
		loop_timer_start(&g->fail, 0);
		return g;
	}
	bool v6 = strchr(host, ':') != NULL;
	snprintf(g->url, sizeof(g->url), "%s://%s%s%s:%d%s%s", https ? "https" : "http",
	         v6 ? "[" : "", host, v6 ? "]" : "", container_port(c, action->port),
	         *path == '/' ? "" : "/", path);
	struct tls_context *tls = NULL;
	struct err err = ERR_INIT;
	if (https &&
	    tls_context_new(&(struct tls_options){.insecure_skip_verify = true}, &tls, &err)) {
		snprintf(g->error, sizeof(g->error), "%.200s", err.text);
		loop_timer_start(&g->fail, 0);
		return g;
	}
	http_client_new(&(struct http_client_options){.loop = p->k->loop,
	                                              .tls = tls,
	                                              .connect_timeout_ms = timeout_ms},
	                &g->client);
	tls_context_unref(tls);
	_cleanup_arena_ struct arena a = {0};
	size_t n = action->n_http_headers;
	struct http_header *headers = arena_array(&a, struct http_header, n + 3);
	bool agent = false, accept = false;
	size_t k = 0;
	for (size_t i = 0; i < n; i++) {
		const char *name = action->http_headers[i]->name;
		if (!strcasecmp(name, "host"))
			continue; /* the client writes its own */
		agent |= !strcasecmp(name, "user-agent");
		accept |= !strcasecmp(name, "accept");
		headers[k++] = (struct http_header){slice_str(name),
		                                    slice_str(action->http_headers[i]->value)};
	}
	if (!agent)
		headers[k++] =
		    (struct http_header){SLICE_LIT("user-agent"), SLICE_LIT("kube-probe/1.36")};
	if (!accept)
		headers[k++] = (struct http_header){SLICE_LIT("accept"), SLICE_LIT("*/*")};
	headers[k++] = (struct http_header){SLICE_LIT("connection"), SLICE_LIT("close")};
	g->request = http_client_start(g->client, &(struct http_client_call){
	                                              .url = g->url,
	                                              .headers = headers,
	                                              .n_headers = k,
	                                              .timeout_ms = timeout_ms,
	                                              .total_timeout_ms = timeout_ms,
	                                              .max_body_bytes = BODY_BYTES_MAX,
	                                              .on_done = on_done,
	                                              .arg = g,
	                                          });
	return g;
}

void http_get_drop(struct http_get *g)
{
	if (g)
		get_free(g);
}
