/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/pod/http_get.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/clock.h"
#include "common/net/http_client.h"

enum { BODY_BYTES_MAX = 10240, REDIRECTS_MAX = 10, HEADERS_OWN = 3 };

struct http_get {
	struct arena arena;
	struct http_client *client;
	struct http_request *request;
	struct loop_timer later; /* calls back, or frees, from the loop */
	const char *url, *error;
	struct http_header *headers;
	size_t n_headers;
	uint64_t began_ms;
	uint32_t timeout_ms;
	unsigned redirects;
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
	loop_timer_stop(&g->later);
	http_client_free(g->client);
	arena_deinit(&g->arena);
	free(g);
}

static void on_later(void *arg)
{
	struct http_get *g = arg;
	if (g->error)
		g->done(0, g->error, SLICE_EMPTY, g->arg);
	get_free(g);
}

static struct http_get *fail_later(struct http_get *g, const char *text)
{
	g->error = arena_strdup(&g->arena, text);
	loop_timer_start(&g->later, 0);
	return g;
}

/* Redirects */

static bool is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* The host of "scheme://host:port/...", with its length. */
static const char *host_of(const char *url, size_t *ret_n)
{
	const char *host = strstr(url, "://");
	host = host ? host + 3 : url;
	size_t n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
	*ret_n = n;
	return host;
}

/* Where the answer leads to; NULL when that is another host, whom the probe does not follow to. */
static const char *redirect_target(struct http_get *g, struct slice location)
{
	const char *to = arena_strndup(&g->arena, location.data, location.len);
	const char *authority = strstr(g->url, "://") + 3,
	           *path = authority + strcspn(authority, "/?");
	if (!strncasecmp(to, "http://", 7) || !strncasecmp(to, "https://", 8)) {
		size_t n, m;
		const char *x = host_of(g->url, &n), *y = host_of(to, &m);
		return n == m && !strncasecmp(x, y, n) ? to : NULL;
	}
	if (to[0] == '/' && to[1] == '/')
		return NULL;
	if (*to == '/')
		return arena_printf(&g->arena, "%.*s%s", (int)(path - g->url), g->url, to);
	size_t dir = strcspn(path, "?");
	while (dir && path[dir - 1] != '/')
		dir--;
	return arena_printf(&g->arena, "%.*s%s%s", (int)(path - g->url + (ptrdiff_t)dir), g->url,
	                    dir ? "" : "/", to);
}

static void request(struct http_get *g);

static void on_done(struct http_request *r, int code, const struct err *err, void *arg)
{
	struct http_get *g = arg;
	struct arena *a = &g->arena;
	g->request = NULL;
	/* The client may not be freed, nor another request begun, from within its callback's end.
	 */
	loop_timer_start(&g->later, 0);
	if (code) {
		const char *why = code == -ERR_TIMEOUT ? "context deadline exceeded "
		                                         "(Client.Timeout exceeded while awaiting "
		                                         "headers)"
		                                       : err->text;
		g->error = arena_printf(a, "Get \"%s\": %s", g->url, why);
		return;
	}
	int status = http_request_status(r);
	struct slice location = http_request_header(r, "location");
	const char *to = is_redirect(status) && location.len ? redirect_target(g, location) : NULL;
	if (!to) {
		g->done(status, NULL, http_request_body(r), g->arg);
		return;
	}
	if (++g->redirects >= REDIRECTS_MAX) {
		g->error =
		    arena_printf(a, "Get \"%s\": stopped after %d redirects", to, REDIRECTS_MAX);
		return;
	}
	g->url = to;
	loop_timer_stop(&g->later);
	request(g);
}

static void request(struct http_get *g)
{
	uint64_t used = clock_mono_ms() - g->began_ms;
	uint32_t left = !g->timeout_ms          ? 0
	                : used >= g->timeout_ms ? 1
	                                        : g->timeout_ms - (uint32_t)used;
	g->request = http_client_start(g->client, &(struct http_client_call){
	                                              .url = g->url,
	                                              .headers = g->headers,
	                                              .n_headers = g->n_headers,
	                                              .timeout_ms = left,
	                                              .total_timeout_ms = left,
	                                              .max_body_bytes = BODY_BYTES_MAX,
	                                              .on_done = on_done,
	                                              .arg = g,
	                                          });
}

/* The request */

static void add_header(struct http_get *g, const char *name, const char *value)
{
	g->headers[g->n_headers++] = (struct http_header){
	    slice_str(arena_strdup(&g->arena, name)), slice_str(arena_strdup(&g->arena, value))};
}

static void set_headers(struct http_get *g, const CoreV1__HTTPGetAction *action)
{
	size_t n = action->n_http_headers;
	bool agent = false, accept = false;
	g->headers = arena_array(&g->arena, struct http_header, n + HEADERS_OWN);
	for (size_t i = 0; i < n; i++) {
		const char *name = action->http_headers[i]->name;
		const char *value = action->http_headers[i]->value;
		agent |= !strcasecmp(name, "user-agent");
		accept |= !strcasecmp(name, "accept");
		/* The client adds its own Host unless it finds one. */
		add_header(g, strcasecmp(name, "host") ? name : "host", value);
	}
	if (!agent)
		add_header(g, "User-Agent", "kube-probe/1.36");
	if (!accept)
		add_header(g, "Accept", "*/*");
	add_header(g, "Connection", "close");
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
	g->timeout_ms = timeout_ms;
	g->began_ms = clock_mono_ms();
	loop_timer_init(&g->later, p->k->loop, on_later, g);
	const char *host = action->host && *action->host ? action->host : pod_address(p);
	const char *path = action->path ? action->path : "";
	bool https = action->scheme && !strcasecmp(action->scheme, "HTTPS");
	if (!host)
		return fail_later(g, "the pod has no address");
	bool v6 = strchr(host, ':') != NULL;
	g->url = arena_printf(&g->arena, "%s://%s%s%s:%d%s%s", https ? "https" : "http",
	                      v6 ? "[" : "", host, v6 ? "]" : "", container_port(c, action->port),
	                      *path == '/' ? "" : "/", path);
	struct tls_context *tls = NULL;
	struct err err = ERR_INIT;
	/* Nobody vouches for what a pod says that it is. A redirect may lead to https, too. */
	if (tls_context_new(&(struct tls_options){.insecure_skip_verify = true}, &tls, &err))
		return fail_later(g, err.text);
	http_client_new(&(struct http_client_options){.loop = p->k->loop,
	                                              .tls = tls,
	                                              .connect_timeout_ms = timeout_ms},
	                &g->client);
	tls_context_unref(tls);
	set_headers(g, action);
	request(g);
	return g;
}

void http_get_drop(struct http_get *g)
{
	if (g)
		get_free(g);
}
