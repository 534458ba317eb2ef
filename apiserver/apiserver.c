/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/apiserver.h"
#include "apiserver/admit/admit.h"
#include "apiserver/auth/auth.h"
#include "apiserver/bootstrap/bootstrap.h"
#include "apiserver/endpoints/manage_fields.h"
#include "apiserver/endpoints/pipeline.h"
#include "apiserver/grpc/grpc_front.h"
#include "apiserver/http/front.h"
#include "apiserver/http/routes.h"
#include "apiserver/openapi/openapi_routes.h"
#include "apiserver/proxy/proxy.h"
#include "apiserver/serving_cert.h"
#include "apiserver/storage/cacher.h"
#include "apiserver/storage/store_client.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

enum {
	STORE_PROBE_MS = 2000, /* how often the store is asked whether it is there */
	STORE_LOST_MS = 10000, /* silence after which the health check fails */
	STOP_GRACE_MS = 2000,  /* for answers that are on their way when the server stops */
	STOP_POLL_MS = 20,
	CERT_WATCH_MS = 60000,
};

/* An empty flag is no file. */
static const char *or_null(const char *s)
{
	return s && *s ? s : NULL;
}

/* --- the store and its caches ---------------------------------------------------------------- */

static const char *join(struct arena *a, const flag_list *list)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	VEC_FOREACH (list, it)
		buf_printf(&b, "%s%s", it == list->at ? "" : ",", *it);
	return arena_strndup(a, b.data, b.len);
}

static int start_store(struct apiserver *s, struct err *err)
{
	const struct apiserver_options *o = s->options;
	const char *endpoints = join(s->arena, &o->etcd_servers);
	struct tls_creds_options tls = {.ca_file = or_null(o->etcd_ca_file),
	                                .cert_file = or_null(o->etcd_cert_file),
	                                .key_file = or_null(o->etcd_key_file)};
	bool https = strncmp(endpoints, "https:", 6) == 0 || strstr(endpoints, ",https:");
	struct store_client_options client = {
	    .core = s->daemon->rpc, .endpoints = endpoints, .tls = https ? &tls : NULL};
	int r = store_client_new(&client, &s->store, err);
	if (r < 0)
		return err_prefix(err, "store");
	struct cacher_options cacher = {
	    .store = s->store, .state_loop = &s->daemon->loop, .prefix = o->etcd_prefix};
	s->cacher = cacher_new(&cacher);
	return 0;
}

static void on_probed(void *arg, const struct store_result *r)
{
	struct apiserver *s = arg;

	if (r->code == 0)
		atomic_store(&s->store_seen_ms, clock_mono_ms());
	loop_timer_start(&s->store_probe, STORE_PROBE_MS);
}

static void probe_store(void *arg)
{
	struct apiserver *s = arg;

	store_get(s->store, &s->daemon->loop, SLICE_LIT("kubec/health"), on_probed, s);
}

static int check_store(void *arg, struct err *err)
{
	struct apiserver *s = arg;
	uint64_t seen = atomic_load(&s->store_seen_ms);

	if (seen && clock_mono_ms() - seen < STORE_LOST_MS)
		return 0;
	return err_set(err, ERR_UNAVAILABLE, "the store does not answer");
}

static int check_caches(void *arg, struct err *err)
{
	struct apiserver *s = arg;

	return cacher_ready(s->cacher)
	           ? 0
	           : err_set(err, ERR_UNAVAILABLE, "the caches are not filled yet");
}

/* --- the pipeline and who decides in it ------------------------------------------------------ */

static void set_ip_families(struct strategy_options *strategy, const char *ranges)
{
	const char *second = strchr(ranges, ',');

	strategy->ip_families[0] = strcspn(ranges, ":") < strcspn(ranges, ",") ? "IPv6" : "IPv4";
	strategy->n_ip_families = 1;
	if (second) {
		strategy->ip_families[1] = strchr(second, ':') ? "IPv6" : "IPv4";
		strategy->n_ip_families = 2;
	}
}

static int start_pipeline(struct apiserver *s, struct err *err)
{
	const struct apiserver_options *o = s->options;
	struct pipeline_options options = {.cacher = s->cacher,
	                                   .event_ttl_s = o->event_ttl_ms / 1000,
	                                   .service_ranges = o->service_range,
	                                   .node_ports = o->node_port_range};

	options.hooks.manage_fields = manage_fields;
	options.hooks.apply = apply_fields;
	options.strategy.allow_privileged = o->allow_privileged;
	set_ip_families(&options.strategy, o->service_range);
	return pipeline_new(&options, &s->pipeline, err);
}

static int start_auth(struct apiserver *s, struct err *err)
{
	const struct apiserver_options *o = s->options;
	const char *host = *o->external_hostname ? o->external_hostname : o->advertise_address;
	struct auth_options options = {
	    .client_ca_file = or_null(o->client_ca_file),
	    .sa_key_files = o->sa_key_files.at,
	    .n_sa_key_files = o->sa_key_files.n,
	    .sa_signing_key_file = or_null(o->sa_signing_key_file),
	    .sa_issuers = o->sa_issuers.at,
	    .n_sa_issuers = o->sa_issuers.n,
	    .api_audiences = o->api_audiences.at,
	    .n_api_audiences = o->api_audiences.n,
	    .sa_jwks_uri = or_null(o->sa_jwks_uri),
	    .external_address = arena_printf(s->arena, "%s:%lld", host, (long long)o->secure_port),
	    .sa_max_expiration_s = o->sa_max_expiration_ms / 1000,
	    .sa_no_extended_expiration = !o->sa_extend_expiration,
	    .anonymous = o->anonymous_auth,
	    .modes = o->authorization_modes.at,
	    .n_modes = o->authorization_modes.n,
	    .proxy_ca_file = or_null(o->proxy_ca_file),
	    .proxy_allowed_names = o->proxy_allowed_names.at,
	    .n_proxy_allowed_names = o->proxy_allowed_names.n,
	};
	return auth_new(&options, s->pipeline, &s->daemon->loop, &s->auth, err);
}

static int start_admission(struct apiserver *s, struct err *err)
{
	const struct apiserver_options *o = s->options;
	struct admit_options options = {.enable = o->admission_enable.at,
	                                .n_enable = o->admission_enable.n,
	                                .disable = o->admission_disable.at,
	                                .n_disable = o->admission_disable.n,
	                                .config_file = or_null(o->admission_config_file),
	                                .state_loop = &s->daemon->loop,
	                                .auth = s->auth};

	return admit_new(&options, s->pipeline, &s->admit, err);
}

static int start_proxy(struct apiserver *s, struct err *err)
{
	const struct apiserver_options *o = s->options;
	struct proxy_options options = {.kubelet_ca_file = or_null(o->kubelet_ca_file),
	                                .kubelet_cert_file = or_null(o->kubelet_cert_file),
	                                .kubelet_key_file = or_null(o->kubelet_key_file),
	                                .address_types = o->kubelet_address_types.at,
	                                .n_address_types = o->kubelet_address_types.n,
	                                .timeout_ms = (uint32_t)o->kubelet_timeout_ms,
	                                .metrics = s->daemon->metrics};

	return proxy_new(&options, s->pipeline, &s->proxy, err);
}

/* --- what is served besides resources -------------------------------------------------------- */

static bool serve_oidc(void *arg, struct request *req, struct response_sink *sink)
{
	struct apiserver *s = arg;

	return auth_other(s->auth, req, sink);
}

static int start_routes(struct apiserver *s)
{
	const struct apiserver_options *o = s->options;
	struct health *health = &s->daemon->health;
	struct http_routes_options options = {
	    .health = health,
	    .metrics = s->daemon->metrics,
	    .server_address =
	        arena_printf(s->arena, strchr(o->advertise_address, ':') ? "[%s]:%lld" : "%s:%lld",
	                     o->advertise_address, (long long)o->secure_port)};

	s->routes = http_routes_new(&options);
	http_routes_add(s->routes, "/.well-known/openid-configuration", serve_oidc, s);
	http_routes_add(s->routes, "/openid/v1/jwks", serve_oidc, s);
	http_routes_add(s->routes, "/openapi/v2", openapi_serve, s);
	http_routes_add(s->routes, "/openapi/v3", openapi_serve, s);
	http_routes_add(s->routes, "/openapi/v3/", openapi_serve, s);
	struct pipeline_hooks *hooks = pipeline_hooks(s->pipeline);
	hooks->other = http_routes_serve;
	hooks->other_arg = s->routes;

	health_add(health, "log", HEALTH_ALL, NULL, NULL);
	health_add(health, "etcd", HEALTH_HEALTHZ | HEALTH_LIVEZ, check_store, s);
	health_add(health, "etcd-readiness", HEALTH_READYZ, check_store, s);
	health_add(health, "informer-sync", HEALTH_READYZ, check_caches, s);
	return 0;
}

/* The authentication ConfigMap tells aggregated servers whom to trust. */
static struct slice read_pem(struct apiserver *s, const char *path)
{
	enum { PEM_MAX = 1 << 20 };
	FILE *f = *path ? fopen(path, "re") : NULL;
	if (!f)
		return SLICE_EMPTY;
	char *text = arena_alloc(s->arena, PEM_MAX);
	size_t n = fread(text, 1, PEM_MAX, f);
	fclose(f);
	return slice_of(text, n);
}

static int start_bootstrap(struct apiserver *s)
{
	const struct apiserver_options *o = s->options;
	char *hostname = arena_zalloc(s->arena, 256);
	struct bootstrap_options options = {.service_range = o->service_range,
	                                    .advertise_address = o->advertise_address,
	                                    .secure_port = (int)o->secure_port,
	                                    .hostname = hostname,
	                                    .client_ca_pem = read_pem(s, o->client_ca_file),
	                                    .proxy_ca_pem = read_pem(s, o->proxy_ca_file),
	                                    .proxy_allowed_names = o->proxy_allowed_names.at,
	                                    .n_proxy_allowed_names = o->proxy_allowed_names.n};

	ERR_IGNORE(gethostname(hostname, 255)); /* an empty name names the Lease too */
	VEC_FOREACH (&o->authorization_modes, mode)
		options.rbac = options.rbac || strcmp(*mode, "RBAC") == 0;
	s->bootstrap = bootstrap_new(&options, s->pipeline, &s->daemon->loop);
	for (const char *const *name = bootstrap_check_names(); *name; name++)
		health_add(&s->daemon->health, *name, HEALTH_ALL, bootstrap_check, s->bootstrap);
	return 0;
}

/* --- front doors ----------------------------------------------------------------------------- */

/* The first address of the service range is that of the `kubernetes` service. */
static const char *first_service_address(struct apiserver *s)
{
	const char *range = s->options->service_range;
	char *text = arena_strndup(s->arena, range, strcspn(range, "/,"));
	struct in6_addr v6;
	struct in_addr v4;
	char out[INET6_ADDRSTRLEN];

	if (inet_pton(AF_INET, text, &v4) == 1) {
		v4.s_addr = htonl(ntohl(v4.s_addr) + 1);
		return arena_strdup(s->arena, inet_ntop(AF_INET, &v4, out, sizeof(out)));
	}
	if (inet_pton(AF_INET6, text, &v6) == 1) {
		v6.s6_addr[15]++;
		return arena_strdup(s->arena, inet_ntop(AF_INET6, &v6, out, sizeof(out)));
	}
	return NULL;
}

static int own_certificate(struct apiserver *s, const char **ret_cert, const char **ret_key,
                           struct err *err)
{
	const struct apiserver_options *o = s->options;
	const char *service = first_service_address(s);
	const char *hosts[] = {o->advertise_address,
	                       "kubernetes.default.svc",
	                       "kubernetes.default",
	                       "kubernetes",
	                       "localhost",
	                       "127.0.0.1",
	                       service};

	return serving_cert_ensure(o->cert_dir, hosts, ARRAY_LEN(hosts) - !service,
	                           clock_real_ns() / 1000000000, s->arena, ret_cert, ret_key, err);
}

/* A renewed certificate is served to new connections; one that does not fit its key yet (the files
 * are written one after the other) is looked at again when the second file changes. */
static void on_certificate_changed(void *arg)
{
	struct apiserver *s = arg;
	struct err err = ERR_INIT;

	if (tls_context_reload(s->tls, &err) < 0)
		log_error(&err, "Could not load the renewed serving certificate");
	else
		log_info("Loaded the renewed serving certificate");
}

static int start_tls(struct apiserver *s, struct tls_options *tls, struct err *err)
{
	static const char *const alpn[] = {"h2", "http/1.1", NULL};
	const struct apiserver_options *o = s->options;
	int r = 0;

	*tls =
	    (struct tls_options){.server = true,
	                         .cert_file = or_null(o->tls_cert_file),
	                         .key_file = or_null(o->tls_key_file),
	                         .ca_file = or_null(o->client_ca_file),
	                         .client_auth = TLS_CLIENT_AUTH_REQUEST,
	                         .alpn = alpn,
	                         .min_version = or_null(o->tls_min_version),
	                         .cipher_suites = or_null(join(s->arena, &o->tls_cipher_suites))};
	if (!tls->cert_file)
		r = own_certificate(s, &tls->cert_file, &tls->key_file, err);
	if (!r)
		r = tls_context_new(tls, &s->tls, err);
	if (!r) {
		const char *files[] = {tls->cert_file, tls->key_file, tls->ca_file};
		file_watch_start(&s->cert_watch, &s->daemon->loop, files, ARRAY_LEN(files),
		                 CERT_WATCH_MS, on_certificate_changed, s);
	}
	return r;
}

static int start_front_loops(struct apiserver *s, struct err *err)
{
	size_t n = (size_t)s->options->front_loops;

	s->fronts = calloc(n, sizeof(*s->fronts));
	if (!s->fronts)
		abort();
	for (; s->n_fronts < n; s->n_fronts++) {
		if (loop_thread_start(&s->fronts[s->n_fronts], "front") < 0)
			return err_set(err, ERR_INTERNAL, "a thread could not be started");
	}
	return 0;
}

/* The listener is a handle of the first front loop: it is made there. */
struct listen_call {
	struct apiserver *s;
	struct err *err;
	int result;
	uv_sem_t done;
};

static void listen_on_front(void *arg)
{
	struct listen_call *c = arg;
	struct apiserver *s = c->s;

	c->result = http_server_listen(http_front_server(s->front), &s->fronts[0].loop,
	                               s->options->bind_address, (int)s->options->secure_port,
	                               &s->port, c->err);
	uv_sem_post(&c->done);
}

static int start_http(struct apiserver *s, struct err *err)
{
	const struct apiserver_options *o = s->options;
	struct http_front_options front = {
	    .pipeline = s->pipeline,
	    .metrics = s->daemon->metrics,
	    .tls = s->tls,
	    .max_inflight = (uint32_t)o->max_inflight,
	    .max_mutating_inflight = (uint32_t)o->max_mutating_inflight,
	    .max_streams = (uint32_t)o->http2_max_streams,
	};
	struct listen_call call = {.s = s, .err = err};

	s->front = http_front_new(&front);
	for (size_t i = 1; i < s->n_fronts; i++)
		http_server_add_loop(http_front_server(s->front), &s->fronts[i].loop);
	uv_sem_init(&call.done, 0);
	loop_post(&s->fronts[0].loop, listen_on_front, &call);
	uv_sem_wait(&call.done);
	uv_sem_destroy(&call.done);
	return call.result;
}

static void serve_grpc(void *arg, struct request *req, struct response_sink *sink)
{
	endpoints_serve(arg, req, sink);
}

static int start_grpc(struct apiserver *s, const struct tls_options *tls, struct err *err)
{
	const struct apiserver_options *o = s->options;
	struct tls_creds_options creds = {.ca_file = tls->ca_file,
	                                  .cert_file = tls->cert_file,
	                                  .key_file = tls->key_file,
	                                  .client_auth =
	                                      tls->ca_file ? TLS_CLIENT_OPTIONAL : TLS_CLIENT_NONE};
	struct loop **loops = arena_array(s->arena, struct loop *, s->n_fronts);
	bool v6 = strchr(o->bind_address, ':');

	if (!o->grpc_port)
		return 0;
	for (size_t i = 0; i < s->n_fronts; i++)
		loops[i] = &s->fronts[i].loop;
	struct grpc_front_options options = {
	    .core = s->daemon->rpc,
	    .loops = loops,
	    .n_loops = s->n_fronts,
	    .serve = serve_grpc,
	    .arg = s->pipeline,
	    .address = arena_printf(s->arena, v6 ? "[%s]:%lld" : "%s:%lld", o->bind_address,
	                            (long long)o->grpc_port),
	    .tls = &creds,
	};
	int r = grpc_front_new(&options, &s->grpc, NULL, err);
	/* A default port that something else has is no reason to stay away. */
	if (r < 0 && o->grpc_port == o->secure_port + 1) {
		log_warning("The components' gRPC API is not served", LOG_INT("port", o->grpc_port),
		            LOG_STR("err", err->text));
		return 0;
	}
	return r;
}

/* --- life cycle ------------------------------------------------------------------------------ */

int apiserver_start(struct apiserver *s, struct daemon *d, const struct apiserver_options *o,
                    struct err *err)
{
	struct tls_options tls;

	*s = (struct apiserver){.daemon = d, .options = o, .arena = &d->arena};
	loop_timer_init(&s->store_probe, &d->loop, probe_store, s);
	int r = start_tls(s, &tls, err);
	if (!r)
		r = start_store(s, err);
	if (!r)
		r = start_pipeline(s, err);
	if (!r)
		r = start_auth(s, err);
	if (!r)
		r = start_admission(s, err);
	if (!r)
		r = start_proxy(s, err);
	if (!r)
		r = start_routes(s);
	if (!r)
		r = start_bootstrap(s);
	if (!r)
		r = start_front_loops(s, err);
	if (r < 0)
		return r;
	cacher_start(s->cacher);
	loop_timer_start(&s->store_probe, 0);
	r = start_http(s, err);
	if (!r)
		r = start_grpc(s, &tls, err);
	if (!r)
		log_info("Serving securely", LOG_STR("address", o->bind_address),
		         LOG_INT("port", s->port));
	return r;
}

static void on_drained(void *arg)
{
	struct apiserver *s = arg;

	if (http_front_active(s->front) && loop_now_ms(&s->daemon->loop) < s->drain_until_ms) {
		loop_timer_start(&s->drain, STOP_POLL_MS);
		return;
	}
	daemon_quit(s->daemon);
}

/* Requests whose clients have gone may still wait for the store. */
static void on_doors_closed(void *arg)
{
	struct apiserver *s = arg;

	log_v(2, "Front door closed", LOG_INT("left", s->doors_open - 1));
	if (--s->doors_open)
		return;
	loop_timer_init(&s->drain, &s->daemon->loop, on_drained, s);
	s->drain_until_ms = loop_now_ms(&s->daemon->loop) + STOP_GRACE_MS;
	on_drained(s);
}

static void on_withdrawn(void *arg)
{
	struct apiserver *s = arg;
	struct loop *loop = &s->daemon->loop;

	log_v(2, "Withdrawn from the cluster, closing the front doors");
	s->doors_open = s->grpc ? 2 : 1;
	http_server_stop(http_front_server(s->front), STOP_GRACE_MS, loop, on_doors_closed, s);
	if (s->grpc)
		grpc_front_stop(s->grpc, STOP_GRACE_MS, loop, on_doors_closed, s);
}

void apiserver_stop(struct apiserver *s)
{
	loop_timer_stop(&s->store_probe);
	file_watch_stop(&s->cert_watch);
	if (s->bootstrap)
		bootstrap_stop(s->bootstrap, on_withdrawn, s);
	else
		daemon_quit(s->daemon);
}

void apiserver_deinit(struct apiserver *s)
{
	unsigned open = s->front ? http_front_active(s->front) : 0;

	for (size_t i = 0; i < s->n_fronts; i++)
		loop_thread_stop(&s->fronts[i]);
	free(s->fronts);
	if (s->grpc)
		grpc_front_free(s->grpc);
	/* A request that never ended still points into the parts below: they go with the
	 * process. */
	if (!open) {
		http_front_free(s->front);
		bootstrap_free(s->bootstrap);
		http_routes_free(s->routes);
		proxy_free(s->proxy);
		admit_free(s->admit);
		auth_free(s->auth);
		pipeline_free(s->pipeline);
		cacher_free(s->cacher);
	}
	store_client_free(s->store);
	tls_context_unref(s->tls);
}
