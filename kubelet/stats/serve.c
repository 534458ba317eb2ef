/* SPDX-License-Identifier: Apache-2.0 */
/* The routes, and the kubelet's own metrics. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/net/http_server.h"
#include "kubelet/node/node.h"
#include "kubelet/pod/pod.h"
#include "kubelet/server/server.h"
#include "kubelet/stats/internal.h"

static const char *const plain = "text/plain; version=0.0.4; charset=utf-8";

/* An answer on its way. */
struct reply {
	struct http_exchange *x;
	bool few, cadvisor;
};

static void on_summary(const struct stats_snapshot *s, void *arg)
{
	struct reply *r = arg;
	_cleanup_buf_ struct buf b = BUF_INIT;
	stats_summary_write(s, r->few, &b);
	http_reply(r->x, 200, "application/json", buf_view(&b));
	free(r);
}

static void on_metrics(const struct stats_snapshot *s, void *arg)
{
	struct reply *r = arg;
	_cleanup_buf_ struct buf b = BUF_INIT;
	if (r->cadvisor)
		stats_cadvisor_write(s, &b);
	else
		stats_resource_write(s, &b);
	http_reply(r->x, 200, plain, buf_view(&b));
	free(r);
}

static struct reply *reply_new(struct http_exchange *x)
{
	struct reply *r = calloc(1, sizeof(*r));
	if (!r)
		abort();
	r->x = x;
	return r;
}

static void serve_summary(struct http_exchange *x, const char *path, const char *query, void *arg)
{
	struct reply *r = reply_new(x);
	r->few = query && strstr(query, "only_cpu_and_memory=true");
	stats_collect(arg, r->few ? 0 : STATS_RUNTIME | STATS_DISK, on_summary, r);
}

static void serve_resource(struct http_exchange *x, const char *path, const char *query, void *arg)
{
	stats_collect(arg, 0, on_metrics, reply_new(x));
}

static void serve_cadvisor(struct http_exchange *x, const char *path, const char *query, void *arg)
{
	struct reply *r = reply_new(x);
	r->cadvisor = true;
	stats_collect(arg, STATS_RUNTIME, on_metrics, r);
}

static void serve_probes(struct http_exchange *x, const char *path, const char *query, void *arg)
{
	const struct stats *s = arg;
	_cleanup_buf_ struct buf b = BUF_INIT;
	metrics_write(s->probes, &b);
	http_reply(x, 200, plain, buf_view(&b));
}

/* The kubelet's own */

static const double op_bounds[] = {0.005,           0.0125,           0.03125,
                                   0.078125,        0.1953125,        0.48828125,
                                   1.220703125,     3.0517578125,     7.62939453125,
                                   19.073486328125, 47.6837158203125, 119.20928955078125};

static const double start_bounds[] = {0.5, 1,   2,   3,    4,    5,    6,   8,   10,
                                      20,  30,  45,  60,   120,  180,  240, 300, 360,
                                      480, 600, 900, 1200, 1800, 2700, 3600};

/* "run_pod_sandbox" -> "run_podsandbox" */
static void on_operation(const char *operation, int code, double seconds, void *arg)
{
	const struct stats *s = arg;
	char name[64];
	const char *at = strstr(operation, "pod_sandbox");
	if (at)
		snprintf(name, sizeof(name), "%.*spodsandbox%s", (int)(at - operation), operation,
		         at + 11);
	else
		snprintf(name, sizeof(name), "%s", operation);
	metric_inc(metric_labels(s->operations, name));
	metric_observe(metric_labels(s->operation_seconds, name), seconds);
	if (code != RPC_OK)
		metric_inc(metric_labels(s->operation_errors, name));
}

static void before_write(void *arg)
{
	struct stats *s = arg;
	size_t pods = 0, desired = 0, containers[4] = {0};
	MAP_FOREACH (&s->k->pods->by_uid, it) {
		const struct pod *p = it->value;
		bool runs = false;
		desired += !p->gone;
		for (size_t i = 0; i < p->rt.n_containers; i++) {
			containers[p->rt.containers[i].state % 4]++;
			runs |= p->rt.containers[i].state == CONTAINER_RUNNING;
		}
		pods += runs;
	}
	static const char *const states[] = {"created", "running", "exited", "unknown"};
	for (size_t i = 0; i < 4; i++)
		metric_set(metric_labels(s->running_containers, states[i]), (double)containers[i]);
	metric_set(metric_of(s->running_pods), (double)pods);
	metric_set(s->desired_pods, (double)desired);
}

static void add_metrics(struct stats *s)
{
	struct metrics *m = s->k->daemon->metrics;
	s->operations = metrics_counter(
	    m, "kubelet_runtime_operations_total",
	    "Cumulative number of runtime operations by operation type.", "operation_type");
	s->operation_errors = metrics_counter(
	    m, "kubelet_runtime_operations_errors_total",
	    "Cumulative number of runtime operation errors by operation type.", "operation_type");
	s->operation_seconds = metrics_histogram(m, "kubelet_runtime_operations_duration_seconds",
	                                         "Duration in seconds of runtime operations.",
	                                         "operation_type", op_bounds, ARRAY_LEN(op_bounds));
	s->running_pods = metrics_gauge(m, "kubelet_running_pods",
	                                "Number of pods that have a running container", NULL);
	s->running_containers =
	    metrics_gauge(m, "kubelet_running_containers", "Number of containers by their state",
	                  "container_state");
	s->evictions = metrics_counter(m, "kubelet_evictions",
	                               "Cumulative number of pod evictions by eviction signal",
	                               "eviction_signal");
	s->turn_seconds = metrics_histogram(
	    m, "kubelet_pod_worker_duration_seconds",
	    "Duration in seconds to sync a single pod. Broken down by operation type: create, "
	    "update, or sync",
	    "operation_type", op_bounds, ARRAY_LEN(op_bounds));
	s->start_seconds = metric_of(metrics_histogram(
	    m, "kubelet_pod_start_duration_seconds",
	    "Duration in seconds from kubelet seeing a pod for the first time to the pod starting "
	    "to run",
	    NULL, start_bounds, ARRAY_LEN(start_bounds)));
	s->started_pods = metric_of(metrics_counter(m, "kubelet_started_pods_total",
	                                            "Cumulative number of pods started", NULL));
	s->desired_pods = metric_of(
	    metrics_gauge(m, "kubelet_desired_pods",
	                  "The number of pods the kubelet is being instructed to run", NULL));
	s->relist_seconds =
	    metric_of(metrics_histogram(m, "kubelet_pleg_relist_duration_seconds",
	                                "Duration in seconds for relisting pods in PLEG.", NULL,
	                                op_bounds, ARRAY_LEN(op_bounds)));
	s->relisted_at =
	    metric_of(metrics_gauge(m, "kubelet_pleg_last_seen_seconds",
	                            "Timestamp in seconds when PLEG was last seen active.", NULL));
	metric_set(metric_labels(metrics_gauge(m, "kubelet_node_name", "The node's name.", "node"),
	                         s->k->config->node_name),
	           1);
	s->probes = metrics_new(false);
	s->probe_total = metrics_counter(s->probes, "prober_probe_total",
	                                 "Cumulative number of a liveness, readiness or startup "
	                                 "probe for a container by result.",
	                                 "container,namespace,pod,pod_uid,probe_type,result");
	metrics_on_write(m, before_write, s);
	cri_observe(s->k->cri, on_operation, s);
}

void stats_probe(struct stats *s, const struct pod *p, const char *container, enum probe_kind kind,
                 enum probe_result result)
{
	static const char *const kinds[] = {"Startup", "Liveness", "Readiness"};
	static const char *const results[] = {"unknown", "successful", "failed"};
	metric_inc(metric_labels(s->probe_total, container, p->ns, p->name, p->uid, kinds[kind],
	                         results[result]));
}

void stats_turn(struct stats *s, const struct pod *p)
{
	const char *operation = p->stopping ? "terminating" : p->start_told ? "sync" : "create";
	metric_observe(metric_labels(s->turn_seconds, operation),
	               (double)(clock_mono_ns() - p->turn_began_ns) / 1e9);
}

void stats_observed(struct stats *s, struct pod *p)
{
	size_t running = 0;
	for (size_t i = 0; i < p->rt.n_containers; i++)
		running += p->rt.containers[i].state == CONTAINER_RUNNING;
	if (p->start_told || !p->spec || !running || running < p->spec->spec->n_containers)
		return;
	p->start_told = true;
	/* Not what a kubelet before this one has started. */
	if (!p->rt.n_sandboxes || p->rt.sandboxes[0].created_ns / 1000000 < (int64_t)p->born_ms)
		return;
	metric_inc(s->started_pods);
	metric_observe(s->start_seconds, (double)(now_real_ms() - p->born_ms) / 1e3);
}

void stats_evicted(struct stats *s, const char *signal)
{
	metric_inc(metric_labels(s->evictions, signal));
}

void stats_relisted(struct stats *s, double seconds)
{
	metric_observe(s->relist_seconds, seconds);
	metric_set(s->relisted_at, (double)clock_real_ns() / 1e9);
}

struct stats *stats_new(struct kubelet *k)
{
	struct stats *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->k = k;
	k->stats = s;
	s->logs_dir = k->config->logs_dir;
	s->started_ns = clock_real_ns();
	map_init(&s->rates, 0);
	list_init(&s->collects);
	add_metrics(s);
	return s;
}

void stats_start(struct stats *s)
{
	server_route(s->k->server, "/stats/summary", serve_summary, s);
	server_route(s->k->server, "/metrics/resource", serve_resource, s);
	server_route(s->k->server, "/metrics/cadvisor", serve_cadvisor, s);
	server_route(s->k->server, "/metrics/probes", serve_probes, s);
}

void stats_free(struct stats *s)
{
	if (!s)
		return;
	collects_drop(s);
	MAP_FOREACH (&s->rates, it)
		free(it->value);
	map_deinit(&s->rates);
	metrics_free(s->probes);
	free(s);
}
