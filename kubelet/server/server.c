/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/server/server.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/heap.h"
#include "common/base/log.h"
#include "common/daemon/ops_server.h"
#include "kubelet/config_file.h"
#include "kubelet/flags.h"
#include "kubelet/pod/pod.h"
#include "kubelet/server/auth.h"
#include "kubelet/server/stream.h"

enum { PARTS_MAX = 8 };

struct route {
	const char *path;
	server_route_fn fn;
	void *arg;
};

struct server {
	struct kubelet *k;
	struct http_server *https;
	struct tls_context *tls;
	struct server_auth *auth;
	struct streams *streams;
	struct ops_server *health;
	struct metric_family *requests;
	VEC(struct route) routes; /* of other parts */
	bool stopped;
};

/* A request on its way to its handler; in the exchange's arena. */
struct server_request {
	struct server *s;
	struct http_exchange *x;
	const char *method, *path, *query;
	const char *parts[PARTS_MAX]; /* of the path */
	size_t n_parts;
};

static const char text_plain[] = "text/plain; charset=utf-8";

static void reply_text(struct http_exchange *x, int status, const char *text)
{
	http_reply(x, status, text_plain, slice_str(text));
}

/* --- what is served -------------------------------------------------------------------------- */

static void serve_health(struct server_request *r)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int status =
	    health_answer(&r->s->k->daemon->health, slice_str(r->path), slice_str(r->query), &b);
	http_reply(r->x, status, text_plain, buf_view(&b));
}

static void serve_metrics(struct server_request *r)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	if (r->n_parts > 1) {
		reply_text(r->x, 404, "404 page not found\n");
		return;
	}
	metrics_write(r->s->k->daemon->metrics, &b);
	http_reply(r->x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_view(&b));
}

static void serve_pods(struct server_request *r)
{
	server_pods(r->s->k, r->x);
}

static void serve_running_pods(struct server_request *r)
{
	server_running_pods(r->s->k, r->x);
}

static void serve_configz(struct server_request *r)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	buf_str(&b, "{\"kubeletconfig\":");
	config_file_write(kubelet_flags, KUBELET_FLAG_GROUPS, &b);
	buf_str(&b, "}");
	http_reply(r->x, 200, "application/json", buf_view(&b));
}

static void serve_logs(struct server_request *r)
{
	server_logs(r->s->k, r->x, r->parts[1], r->parts[2], r->parts[3], r->query);
}

static void serve_stream(struct server_request *r, enum stream_kind kind)
{
	struct query q = query_parse(slice_str(r->query), r->x->arena);
	bool has_container = kind != STREAM_PORT_FORWARD;
	size_t fixed = has_container ? 4 : 3;
	stream_serve(r->s->streams, r->x, kind,
	             &(struct stream_target){
	                 .ns = r->parts[1],
	                 .pod = r->parts[2],
	                 .uid = r->n_parts > fixed ? r->parts[3] : NULL,
	                 .container = has_container ? r->parts[r->n_parts - 1] : NULL,
	             },
	             &q);
}

static void serve_exec(struct server_request *r)
{
	serve_stream(r, STREAM_EXEC);
}

static void serve_attach(struct server_request *r)
{
	serve_stream(r, STREAM_ATTACH);
}

static void serve_port_forward(struct server_request *r)
{
	serve_stream(r, STREAM_PORT_FORWARD);
}

static void serve_run(struct server_request *r)
{
	serve_stream(r, STREAM_RUN);
}

/* --- routing --------------------------------------------------------------------------------- */

/* By the path's first part, and how many there may be. */
static const struct {
	const char *name;
	size_t min, max;
	bool get, post, long_running;
	void (*serve)(struct server_request *r);
} table[] = {
    {"healthz", 1, PARTS_MAX, true, true, false, serve_health},
    {"metrics", 1, PARTS_MAX, true, false, false, serve_metrics},
    {"pods", 1, 1, true, false, false, serve_pods},
    {"runningpods", 1, 1, true, false, false, serve_running_pods},
    {"configz", 1, 1, true, false, false, serve_configz},
    {"containerLogs", 4, 4, true, false, false, serve_logs},
    {"exec", 4, 5, true, true, true, serve_exec},
    {"attach", 4, 5, true, true, true, serve_attach},
    {"portForward", 3, 4, true, true, true, serve_port_forward},
    {"run", 4, 5, false, true, false, serve_run},
};

static bool serve_others(struct server_request *r)
{
	for (size_t i = r->s->routes.n; i-- > 0;) {
		const struct route *o = &r->s->routes.at[i];
		size_t n = strlen(o->path);
		bool prefix = n && o->path[n - 1] == '/';
		if (prefix ? strncmp(r->path, o->path, n) : strcmp(r->path, o->path))
			continue;
		o->fn(r->x, r->path, r->query, o->arg);
		return true;
	}
	return false;
}

static void count(struct server_request *r, const char *path, bool long_running)
{
	metric_inc(metric_labels(r->s->requests, r->method, path, "readwrite",
	                         long_running ? "true" : "false"));
}

static void on_allowed(struct http_exchange *x, void *arg)
{
	struct server_request *r = arg;
	bool gets = !strcmp(r->method, "GET");
	if (x->closed) {
		http_abort(x);
		return;
	}
	if (gets && serve_others(r)) {
		count(r, r->n_parts ? r->parts[0] : "", false);
		return;
	}
	for (size_t i = 0; r->n_parts && i < ARRAY_LEN(table); i++) {
		if (strcmp(r->parts[0], table[i].name))
			continue;
		count(r, r->parts[0], table[i].long_running);
		if (r->n_parts < table[i].min || r->n_parts > table[i].max)
			break;
		if (!(gets ? table[i].get : !strcmp(r->method, "POST") && table[i].post))
			reply_text(x, 405, "405: Method Not Allowed");
		else
			table[i].serve(r);
		return;
	}
	reply_text(x, 404, "404 page not found\n");
}

/* Cuts a copy of the path at its slashes; empty parts do not count. False: too many. */
static bool split(struct server_request *r)
{
	char *rest = arena_strdup(r->x->arena, r->path), *save = NULL;
	for (char *p = strtok_r(rest, "/", &save); p; p = strtok_r(NULL, "/", &save)) {
		if (r->n_parts == PARTS_MAX)
			return false;
		r->parts[r->n_parts++] = p;
	}
	return true;
}

static void on_request(struct http_exchange *x, void *arg)
{
	struct server_request *r = arena_new(x->arena, struct server_request);
	char *path = arena_strndup(x->arena, x->target.data, x->target.len);
	char *query = strchr(path, '?');
	if (query)
		*query++ = 0;
	*r = (struct server_request){
	    .s = arg, .x = x, .method = x->method, .path = path, .query = query ? query : ""};
	/* Encoded or doubled slashes could make authorization see another path than we do. */
	if (*path != '/' || strchr(path, '%') || strstr(path, "//") || strstr(path, "/.") ||
	    !split(r)) {
		reply_text(x, 400, "Bad Request");
		return;
	}
	struct auth_question q = auth_question_of(r->method, path);
	server_auth_check(r->s->auth, x, &q, on_allowed, r);
}

void server_route(struct server *s, const char *path, server_route_fn fn, void *arg)
{
	*vec_push(&s->routes) = (struct route){path, fn, arg};
}

/* --- life ------------------------------------------------------------------------------------ */

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
	struct server *s = heap_new(struct server);
	s->k = k;
	*ret = s;
	health_add(&k->daemon->health, "pleg", HEALTH_HEALTHZ, pods_check, k->pods);
	s->requests = metrics_counter(k->daemon->metrics, "kubelet_http_requests_total",
	                              "Requests of the kubelet's HTTPS port.",
	                              "method,path,server_type,long_running");
	s->streams = streams_new(k);
	int r = server_auth_new(k, &s->auth, err);
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
	}
	server_auth_free(s->auth);
	streams_free(s->streams);
	http_server_free(s->https);
	tls_context_unref(s->tls);
	vec_deinit(&s->routes);
	free(s);
}
