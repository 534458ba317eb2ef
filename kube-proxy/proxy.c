/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/proxy.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "proto/schema_messages.h"

enum { RETRY_MIN_MS = 1000, RETRY_MAX_MS = 30000 };

struct proxy {
	struct proxy_options o;
	struct informers *informers;
	struct proxy_state *state;
	struct nft *nft;
	struct loop_timer sync_timer;
	uint32_t retry_ms; /* 0: the last transaction went well */
	bool listed, synced;
	int64_t last_sync_ns, pending_since_ns;
	struct metric *sync_seconds, *syncs, *failures, *last_sync, *backends, *frontends;
};

static void sync_rules(void *arg);

static void changed(struct proxy *p)
{
	if (!p->pending_since_ns)
		p->pending_since_ns = clock_real_ns();
	if (p->listed && !loop_timer_active(&p->sync_timer))
		loop_timer_start(&p->sync_timer, p->synced ? p->o.min_sync_ms : 0);
}

static void on_service(const struct informer_object *o, void *arg)
{
	struct proxy *p = arg;
	_cleanup_arena_ struct arena a = {0};
	const CoreV1__Service *svc =
	    (void *)informer_object_decode(o, &core_v1__service_schema, &a);
	proxy_state_set_service(p->state, o->key, svc ? service_parse(svc) : NULL);
	changed(p);
}

static void on_service_update(const struct informer_object *old, const struct informer_object *o,
                              void *arg)
{
	(void)old;
	on_service(o, arg);
}

static void on_service_delete(const struct informer_object *old, void *arg)
{
	struct proxy *p = arg;
	proxy_state_set_service(p->state, old->key, NULL);
	changed(p);
}

static void on_slice(const struct informer_object *o, void *arg)
{
	struct proxy *p = arg;
	_cleanup_arena_ struct arena a = {0};
	const DiscoveryV1__EndpointSlice *slice =
	    (void *)informer_object_decode(o, &discovery_v1__endpoint_slice_schema, &a);
	proxy_state_set_slice(p->state, o->key,
	                      slice ? endpoint_slice_parse(slice, p->o.node_name) : NULL);
	changed(p);
}

static void on_slice_update(const struct informer_object *old, const struct informer_object *o,
                            void *arg)
{
	(void)old;
	on_slice(o, arg);
}

static void on_slice_delete(const struct informer_object *old, void *arg)
{
	struct proxy *p = arg;
	proxy_state_set_slice(p->state, old->key, NULL);
	changed(p);
}

static void sync_failed(struct proxy *p, const struct err *err)
{
	proxy_state_reset(p->state);
	metric_inc(p->failures);
	p->retry_ms = p->retry_ms ? MIN(p->retry_ms * 2, (uint32_t)RETRY_MAX_MS) : RETRY_MIN_MS;
	log_error(err, "Could not program the kernel; retrying with the whole table",
	          LOG_INT("retryMilliseconds", p->retry_ms));
	loop_timer_start(&p->sync_timer, p->retry_ms);
}

static void sync_rules(void *arg)
{
	struct proxy *p = arg;
	if (!proxy_state_pending(p->state))
		return;
	uint64_t begin = clock_mono_ns();
	struct proxy_ops ops = {0};
	struct err err = ERR_INIT;
	bool full = proxy_state_plan(p->state, &ops);
	int r = nft_apply(p->nft, &ops, full, &err);
	size_t n = ops.list.n;
	proxy_ops_deinit(&ops);
	if (r) {
		sync_failed(p, &err);
		return;
	}
	double seconds = (double)(clock_mono_ns() - begin) / 1e9;
	p->retry_ms = 0;
	p->synced = true;
	p->last_sync_ns = clock_real_ns();
	p->pending_since_ns = 0;
	metric_inc(p->syncs);
	metric_observe(p->sync_seconds, seconds);
	metric_set(p->last_sync, (double)p->last_sync_ns / 1e9);
	log_v(full ? 0 : 2, "Rules are in the kernel", LOG_BOOL("full", full),
	      LOG_INT("changes", n), LOG_INT("microseconds", seconds * 1e6));
}

static void on_listed(void *arg)
{
	struct proxy *p = arg;
	p->listed = true;
	loop_timer_start(&p->sync_timer, 0);
}

static void gauge_sizes(void *arg)
{
	struct proxy *p = arg;
	struct proxy_counts c = proxy_state_counts(p->state);
	metric_set(p->frontends, (double)c.frontends);
	metric_set(p->backends, (double)c.backends);
}

static void add_metrics(struct proxy *p)
{
	static const double bounds[] = {0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128,
	                                0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384};
	struct metrics *m = p->o.daemon->metrics;
	p->sync_seconds = metric_of(metrics_histogram(
	    m, "kubeproxy_sync_proxy_rules_duration_seconds", "SyncProxyRules latency in seconds",
	    NULL, bounds, ARRAY_LEN(bounds)));
	p->syncs = metric_of(metrics_counter(m, "kubeproxy_sync_proxy_rules_total",
	                                     "Transactions that the kernel took", NULL));
	p->failures =
	    metric_of(metrics_counter(m, "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
	                              "Transactions that the kernel refused", NULL));
	p->last_sync =
	    metric_of(metrics_gauge(m, "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
	                            "The last time that rules were synced", NULL));
	p->frontends = metric_of(metrics_gauge(
	    m, "kubeproxy_frontends", "Service addresses and node ports in the kernel", NULL));
	p->backends = metric_of(
	    metrics_gauge(m, "kubeproxy_backends", "Endpoints behind them in the kernel", NULL));
	metrics_on_write(m, gauge_sizes, p);
}

int proxy_new(const struct proxy_options *o, struct proxy **ret, struct err *err)
{
	struct proxy *p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	p->o = *o;
	int r = nft_open(&o->kernel, &p->nft, err);
	if (r) {
		free(p);
		return r;
	}
	p->state = proxy_state_new();
	loop_timer_init(&p->sync_timer, &o->daemon->loop, sync_rules, p);
	add_metrics(p);
	p->informers = informers_new(o->client);
	/* Services of another proxy and headless ones are none of ours. */
	static const char *const service_selector =
	    "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name";
	struct informer *services =
	    informers_get(p->informers, &(struct client_resource){"", "v1", "services"}, NULL,
	                  service_selector, NULL);
	struct informer *slices = informers_get(
	    p->informers, &(struct client_resource){"discovery.k8s.io", "v1", "endpointslices"},
	    NULL, service_selector, NULL);
	informer_add_handler(services, &(struct informer_handler){on_service, on_service_update,
	                                                          on_service_delete, p});
	informer_add_handler(
	    slices, &(struct informer_handler){on_slice, on_slice_update, on_slice_delete, p});
	informers_on_synced(p->informers, on_listed, p);
	*ret = p;
	return 0;
}

void proxy_start(struct proxy *p)
{
	informers_start(p->informers);
}

void proxy_free(struct proxy *p)
{
	if (!p)
		return;
	loop_timer_stop(&p->sync_timer);
	informers_free(p->informers);
	proxy_state_free(p->state);
	nft_close(p->nft);
	free(p);
}

bool proxy_synced(const struct proxy *p)
{
	return p->synced;
}

int64_t proxy_last_sync_ns(const struct proxy *p)
{
	return p->last_sync_ns;
}

int64_t proxy_pending_since_ns(const struct proxy *p)
{
	return p->pending_since_ns;
}
