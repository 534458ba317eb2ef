/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/server/server.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/daemon/ops_server.h"
#include "kubelet/pod/pod.h"
#include "proto/json_encode.h"
#include "proto/schema_messages.h"

struct server {
	struct kubelet *k;
	struct http_server *https;
	struct tls_context *tls;
	struct server_auth *auth;
	struct ops_server *health;
	bool stopped;
};

static void reply_text(struct http_exchange *x, int status, const char *text)
{
	http_reply(x, status, "text/plain; charset=utf-8", slice_str(text));
}

/* /pods: what this kubelet runs, as a PodList. */
static void reply_pods(struct server *s, struct http_exchange *x)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const struct type_meta none = {"", ""};
	bool first = true;
	buf_str(&b, "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[");
	MAP_FOREACH (&s->k->pods->by_uid, it) {
		struct pod *p = it->value;
		if (p->gone || !p->spec)
			continue;
		_cleanup_arena_ struct arena a = {0};
		CoreV1__Pod pod = *p->spec;
		pod.status = pod_status_now(p, &a);
		if (!first)
			buf_byte(&b, ',');
		first = false;
		json_encode(&core_v1__pod_schema, &pod.base, &none, &b);
	}
	buf_str(&b, "]}\n");
	http_reply(x, 200, "application/json", buf_view(&b));
}

/* A part of the path up to the next '/'; NULL when there is none. */
static const char *next_part(char **at)
{
	char *s = *at;
	if (!s || !*s)
		return NULL;
	char *slash = strchr(s, '/');
	if (slash)
		*slash++ = 0;
	*at = slash;
	return *s ? s : NULL;
}

static void route(struct server *s, struct http_exchange *x)
{
	struct slice target = x->target;
	char *path = arena_strndup(x->arena, target.data, target.len);
	char *query = strchr(path, '?');
	if (query)
		*query++ = 0;
	if (strcmp(x->method, "GET")) {
		reply_text(x, 405, "405: Method Not Allowed");
		return;
	}
	if (!strcmp(path, "/healthz") || !strncmp(path, "/healthz/", 9)) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		int status =
		    health_answer(&s->k->daemon->health, slice_str(path), slice_str(query), &b);
		http_reply(x, status, "text/plain; charset=utf-8", buf_view(&b));
	} else if (!strcmp(path, "/pods") || !strcmp(path, "/pods/")) {
		reply_pods(s, x);
	} else if (!strcmp(path, "/metrics")) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		metrics_write(s->k->daemon->metrics, &b);
		http_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_view(&b));
	} else if (!strncmp(path, "/containerLogs/", 15)) {
		char *at = path + 15;
		const char *ns = next_part(&at), *pod = next_part(&at), *name = next_part(&at);
		if (!name || at)
			reply_text(x, 404, "404 page not found\n");
		else
			server_logs(s->k, x, ns, pod, name, query ? query : "");
	} else {
		reply_text(x, 404, "404 page not found\n");
	}
}

static void on_request(struct http_exchange *x, void *arg)
{
	struct server *s = arg;
	const char *user = "";
	switch (server_auth_check(s->auth, x->peer, &user)) {
	case ACCESS_GRANTED:
		route(s, x);
		break;
	case ACCESS_ANONYMOUS:
		reply_text(x, 401, "Unauthorized");
		break;
	case ACCESS_DENIED:
		reply_text(
		    x, 403,
		    arena_printf(x->arena, "Forbidden (user=%s, verb=get, resource=nodes)", user));
		break;
	}
}

static int serving_tls(struct kubelet *k, struct tls_context **ret, struct err *err)
{
	const struct kubelet_config *c = k->config;
	static const char *const alpn[] = {"h2", "http/1.1", NULL};
	_cleanup_buf_ struct buf cert = BUF_INIT;
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct tls_options o = {.server = true,
	                        .client_auth = TLS_CLIENT_AUTH_REQUEST,
	                        .ca_file = *c->client_ca_file ? c->client_ca_file : NULL,
	                        .alpn = alpn};
	if (*c->cert_file) {
		o.cert_file = c->cert_file;
		o.key_file = c->key_file;
	} else {
		const char *const hosts[] = {c->node_name, c->node_ip};
		int r = tls_self_signed(hosts, ARRAY_LEN(hosts), clock_real_ns() / 1000000000,
		                        &cert, &key, err);
		if (r)
			return r;
		o.cert_pem = buf_view(&cert);
		o.key_pem = buf_view(&key);
	}
	return tls_context_new(&o, ret, err);
}

int server_start(struct kubelet *k, struct server **ret, struct err *err)
{
	const struct kubelet_config *c = k->config;
	struct server *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->k = k;
	*ret = s;
	health_add(&k->daemon->health, "pleg", HEALTH_HEALTHZ, pods_check, k->pods);
	int r = server_auth_new(c->client_ca_file, &s->auth, err);
	if (!r)
		r = serving_tls(k, &s->tls, err);
	if (r)
		return r;
	http_server_new(
	    &(struct http_server_options){.on_request = on_request, .arg = s, .tls = s->tls},
	    &s->https);
	r = http_server_listen(s->https, k->loop, c->address, (int)c->port, NULL, err);
	if (!r && c->healthz_port) {
		const char *address = arena_printf(&k->daemon->arena, "%s:%lld", c->healthz_address,
		                                   (long long)c->healthz_port);
		r = ops_server_start(
		    &(struct ops_server_options){.daemon = k->daemon, .address = address},
		    &s->health, err);
	}
	return r;
}

static void on_stopped(void *arg)
{
	((struct server *)arg)->stopped = true;
}

void server_free(struct server *s)
{
	if (!s)
		return;
	ops_server_free(s->health);
	if (s->https) {
		http_server_stop(s->https, 0, s->k->loop, on_stopped, s);
		while (!s->stopped)
			loop_run_once(s->k->loop, true);
		http_server_free(s->https);
	}
	tls_context_unref(s->tls);
	server_auth_free(s->auth);
	free(s);
}
