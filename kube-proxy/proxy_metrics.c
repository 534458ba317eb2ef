/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/proxy_metrics.h"

enum { SYNC_BUCKETS = 15, PROGRAMMING_BUCKETS = 80 };

static void gauge_sizes(void *arg)
{
	struct proxy_metrics *pm = arg;
	struct proxy_counts c = proxy_state_counts(pm->state);
	metric_set(pm->backends, (double)c.elements[SET_BACKENDS]);
	metric_set(pm->frontends,
	           (double)(c.elements[SET_SERVICE_IPS] + c.elements[SET_NODE_PORTS]));
	metric_set(pm->no_local_internal, (double)c.no_local_internal);
	metric_set(pm->no_local_external, (double)c.no_local_external);
}

static const double sync_bounds[SYNC_BUCKETS] = {0.001, 0.002, 0.004, 0.008, 0.016,
                                                 0.032, 0.064, 0.128, 0.256, 0.512,
                                                 1.024, 2.048, 4.096, 8.192, 16.384};
/* From a change to the rules: a quarter and a half second, then every second to a minute, every
 * five to two minutes, every thirty to five. */
static double programming_bounds[PROGRAMMING_BUCKETS];

static size_t fill_programming_bounds(void)
{
	double *b = programming_bounds;
	size_t n = 0;
	b[n++] = 0.25;
	b[n++] = 0.5;
	for (int s = 1; s < 60; s++)
		b[n++] = s;
	for (int s = 60; s < 120; s += 5)
		b[n++] = s;
	for (int s = 120; s <= 300; s += 30)
		b[n++] = s;
	return n;
}

static void by_family(struct metric_family *f, struct metric *out[FAMILIES])
{
	out[FAMILY_IPV4] = metric_labels(f, "IPv4");
	out[FAMILY_IPV6] = metric_labels(f, "IPv6");
}

static void histogram(struct metrics *m, const char *name, const char *help,
                      struct metric *out[FAMILIES])
{
	by_family(metrics_histogram(m, name, help, "ip_family", sync_bounds, SYNC_BUCKETS), out);
}

static void add_syncs(struct proxy_metrics *pm, struct metrics *m)
{
	histogram(m, "kubeproxy_sync_proxy_rules_duration_seconds",
	          "SyncProxyRules latency in seconds", pm->sync_seconds);
	histogram(m, "kubeproxy_sync_full_proxy_rules_duration_seconds",
	          "Latency in seconds of making the whole table", pm->full_seconds);
	histogram(m, "kubeproxy_sync_partial_proxy_rules_duration_seconds",
	          "Latency in seconds of changing the table", pm->partial_seconds);
	histogram(m, "kubeproxy_conntrack_reconciler_sync_duration_seconds",
	          "Latency in seconds of looking for stale connections", pm->flows_seconds);
	by_family(metrics_histogram(m, "kubeproxy_network_programming_duration_seconds",
	                            "In Cluster Network Programming Latency in seconds",
	                            "ip_family", programming_bounds, fill_programming_bounds()),
	          pm->programming_seconds);
	by_family(metrics_gauge(m, "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
	                        "The last time proxy rules were successfully synced", "ip_family"),
	          pm->last_sync);
	by_family(metrics_counter(m, "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
	                          "Transactions that the kernel refused", "ip_family"),
	          pm->failures);
	by_family(metrics_counter(m, "kubeproxy_conntrack_reconciler_deleted_entries_total",
	                          "Stale connections that were deleted", "ip_family"),
	          pm->flows_deleted);
}

static void add_changes(struct proxy_metrics *pm, struct metrics *m)
{
	pm->last_queued =
	    metric_of(metrics_gauge(m, "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
	                            "The last time a sync of proxy rules was queued", NULL));
	pm->service_changes =
	    metric_of(metrics_counter(m, "kubeproxy_sync_proxy_rules_service_changes_total",
	                              "Cumulative proxy rules Service changes", NULL));
	pm->endpoint_changes =
	    metric_of(metrics_counter(m, "kubeproxy_sync_proxy_rules_endpoint_changes_total",
	                              "Cumulative proxy rules Endpoint changes", NULL));
	pm->service_pending =
	    metric_of(metrics_gauge(m, "kubeproxy_sync_proxy_rules_service_changes_pending",
	                            "Pending proxy rules Service changes", NULL));
	pm->endpoint_pending =
	    metric_of(metrics_gauge(m, "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
	                            "Pending proxy rules Endpoint changes", NULL));
	pm->healthz = metrics_counter(m, "kubeproxy_proxy_healthz_total",
	                              "Cumulative proxy healthz HTTP status", "code");
	pm->livez = metrics_counter(m, "kubeproxy_proxy_livez_total",
	                            "Cumulative proxy livez HTTP status", "code");
}

static void add_sizes(struct proxy_metrics *pm, struct metrics *m)
{
	struct metric_family *no_local =
	    metrics_gauge(m, "kubeproxy_sync_proxy_rules_no_local_endpoints",
	                  "Frontends without a local endpoint that their traffic policy asks for",
	                  "traffic_policy");
	pm->no_local_internal = metric_labels(no_local, "internal");
	pm->no_local_external = metric_labels(no_local, "external");
	pm->frontends = metric_of(metrics_gauge(
	    m, "kubeproxy_frontends", "Service addresses and node ports in the kernel", NULL));
	pm->backends = metric_of(
	    metrics_gauge(m, "kubeproxy_backends", "Endpoints behind them in the kernel", NULL));
	metrics_on_write(m, gauge_sizes, pm);
}

void proxy_metrics_init(struct proxy_metrics *pm, struct metrics *m, const struct proxy_state *s)
{
	pm->state = s;
	add_syncs(pm, m);
	add_changes(pm, m);
	add_sizes(pm, m);
}
