/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics, by upstream's names (kube-scheduler metrics.go). */
#include <stdio.h>

#include "common/base/clock.h"
#include "scheduler/scheduler_internal.h"

static const char *const attempt_names[ATTEMPTS] = {"scheduled", "unschedulable", "error"};

static const char *const point_names[POINT_COUNT] = {
#define X(name, config, metric) metric,
    EXTENSION_POINTS(X)
#undef X
};

enum { BOUNDS_MAX = 20 };

struct bounds {
	double at[BOUNDS_MAX];
};

static struct bounds doubling(double first, size_t n)
{
	struct bounds b = {{0}};
	for (size_t i = 0; i < n; i++, first *= 2)
		b.at[i] = first;
	return b;
}

static void on_point(void *arg, const struct framework *f, enum extension_point point, bool begins)
{
	struct scheduler *s = arg;
	if (begins) {
		s->point_began_ns = clock_mono_ns();
		return;
	}
	size_t i = scheduler_profile_index(s, f);
	metric_observe(s->metrics.profiles[i].point_seconds[point],
	               (double)(clock_mono_ns() - s->point_began_ns) / 1e9);
}

/* A counter follows a number that only grows. */
static void follow(struct metric *m, uint64_t n)
{
	if ((double)n > metric_value(m))
		metric_add(m, (double)n - metric_value(m));
}

static void count_waiting(const struct queue_item *it, void *arg)
{
	struct scheduler *s = arg;
	size_t i = scheduler_profile_index(s, it->framework);
	for (size_t k = 0; k < it->framework->uses.n; k++)
		if (it->rejectors >> k & 1)
			metric_add(s->metrics.profiles[i].unschedulable[k], 1);
}

static void gauge_unschedulable(struct scheduler *s)
{
	for (size_t i = 0; i < s->config.n_profiles; i++)
		for (size_t k = 0; k < s->config.profiles[i].uses.n; k++)
			metric_set(s->metrics.profiles[i].unschedulable[k], 0);
	queue_each_waiting(s->queue, count_waiting, s);
}

static void on_write(void *arg)
{
	static const char *const queues[] = {"active", "backoff", "unschedulable"};
	struct scheduler *s = arg;
	struct queue_counts c = queue_counts(s->queue);
	const size_t n[] = {c.active, c.backoff, c.unschedulable, c.gated};
	for (size_t i = 0; i < ARRAY_LEN(n); i++)
		metric_set(s->metrics.pending[i], (double)n[i]);
	for (unsigned place = 0; place < ARRAY_LEN(queues); place++)
		for (unsigned cause = 0; cause < QUEUE_CAUSES; cause++) {
			uint64_t came = queue_incoming(s->queue, (enum queue_place)place, cause);
			if (came)
				follow(metric_labels(s->metrics.incoming, queues[place],
				                     queue_cause_name(cause)),
				       came);
		}
	metric_set(s->metrics.cache_nodes, (double)cluster_n_nodes(s->cluster));
	metric_set(s->metrics.cache_pods, (double)cluster_n_pods(s->cluster));
	metric_set(s->metrics.cache_assumed, (double)s->n_binding);
	gauge_unschedulable(s);
}

static void add_profiles(struct scheduler *s, struct metrics *m)
{
	const struct bounds seconds = doubling(0.001, 15), points = doubling(0.0001, 12);
	struct metric_family *attempts = metrics_counter(
	    m, "scheduler_schedule_attempts_total",
	    "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could "
	    "not be scheduled, while 'error' means an internal scheduler problem.",
	    "result,profile");
	struct metric_family *duration = metrics_histogram(
	    m, "scheduler_scheduling_attempt_duration_seconds",
	    "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
	    "result,profile", seconds.at, 15);
	struct metric_family *extension =
	    metrics_histogram(m, "scheduler_framework_extension_point_duration_seconds",
	                      "Latency for running all plugins of a specific extension point.",
	                      "extension_point,status,profile", points.at, 12);
	struct metric_family *unschedulable = metrics_gauge(
	    m, "scheduler_unschedulable_pods",
	    "The number of unschedulable pods broken down by plugin name. A pod will increment the "
	    "gauge for all plugins that caused it to not schedule.",
	    "plugin,profile");
	for (size_t i = 0; i < s->config.n_profiles; i++) {
		const struct framework *f = &s->config.profiles[i];
		struct profile_metrics *p = &s->metrics.profiles[i];
		for (size_t k = 0; k < ATTEMPTS; k++) {
			p->attempts[k] =
			    metric_labels(attempts, attempt_names[k], f->scheduler_name);
			p->attempt_seconds[k] =
			    metric_labels(duration, attempt_names[k], f->scheduler_name);
		}
		for (size_t k = POINT_PRE_FILTER; k < POINT_COUNT; k++)
			p->point_seconds[k] =
			    metric_labels(extension, point_names[k], "Success", f->scheduler_name);
		for (size_t k = 0; k < f->uses.n; k++)
			p->unschedulable[k] = metric_labels(
			    unschedulable, f->uses.at[k].plugin->name, f->scheduler_name);
	}
}

static void add_totals(struct scheduler *s, struct metrics *m)
{
	static const char *const queues[] = {"active", "backoff", "unschedulable", "gated"};
	const struct bounds seconds = doubling(0.001, 15), attempts = doubling(1, 5),
	                    sli = doubling(0.01, 20), victims = doubling(1, 7);
	struct scheduler_metrics *t = &s->metrics;
	t->algorithm_seconds = metric_of(
	    metrics_histogram(m, "scheduler_scheduling_algorithm_duration_seconds",
	                      "Scheduling algorithm latency in seconds", NULL, seconds.at, 15));
	t->pod_attempts = metric_of(metrics_histogram(
	    m, "scheduler_pod_scheduling_attempts",
	    "Number of attempts to successfully schedule a pod.", NULL, attempts.at, 5));
	t->sli_seconds = metrics_histogram(
	    m, "scheduler_pod_scheduling_sli_duration_seconds",
	    "E2e latency for a pod being scheduled, from the time the pod enters the scheduling "
	    "queue and might involve multiple scheduling attempts.",
	    "attempts", sli.at, 20);
	t->preemption_attempts =
	    metric_of(metrics_counter(m, "scheduler_preemption_attempts_total",
	                              "Total preemption attempts in the cluster till now", NULL));
	t->preemption_victims = metric_of(metrics_histogram(m, "scheduler_preemption_victims",
	                                                    "Number of selected preemption victims",
	                                                    NULL, victims.at, 7));
	struct metric_family *f = metrics_gauge(
	    m, "scheduler_pending_pods",
	    "Number of pending pods, by the queue type. 'active' means number of pods in activeQ; "
	    "'backoff' means number of pods in backoffQ; 'unschedulable' means number of pods in "
	    "unschedulablePods that the scheduler attempted to schedule and failed; 'gated' is the "
	    "number of unschedulable pods that the scheduler never attempted to schedule because "
	    "they are gated.",
	    "queue");
	for (size_t i = 0; i < ARRAY_LEN(queues); i++)
		t->pending[i] = metric_labels(f, queues[i]);
	t->incoming = metrics_counter(m, "scheduler_queue_incoming_pods_total",
	                              "Number of pods added to scheduling queues by event and "
	                              "queue type.",
	                              "queue,event");
	f = metrics_gauge(m, "scheduler_scheduler_cache_size",
	                  "Number of nodes, pods, and assumed (bound) pods in the scheduler cache.",
	                  "type");
	t->cache_nodes = metric_labels(f, "nodes");
	t->cache_pods = metric_labels(f, "pods");
	t->cache_assumed = metric_labels(f, "assumed_pods");
}

void observe_init(struct scheduler *s)
{
	add_profiles(s, s->o.daemon->metrics);
	add_totals(s, s->o.daemon->metrics);
	s->tracer = (struct cycle_tracer){on_point, s};
	metrics_on_write(s->o.daemon->metrics, on_write, s);
}

void observe_attempt(struct scheduler *s, const struct framework *f, enum attempt result,
                     uint64_t began_ns)
{
	struct profile_metrics *p = &s->metrics.profiles[scheduler_profile_index(s, f)];
	metric_inc(p->attempts[result]);
	metric_observe(p->attempt_seconds[result], (double)(clock_mono_ns() - began_ns) / 1e9);
	if (result == ATTEMPT_UNSCHEDULABLE && f->points[POINT_POST_FILTER].n)
		metric_inc(s->metrics.preemption_attempts);
}

void observe_bind(struct scheduler *s, const struct framework *f, uint64_t sent_ns)
{
	metric_observe(s->metrics.profiles[scheduler_profile_index(s, f)].point_seconds[POINT_BIND],
	               (double)(clock_mono_ns() - sent_ns) / 1e9);
}

void observe_scheduled(struct scheduler *s, unsigned attempts, uint64_t initial_ms)
{
	char label[16];
	snprintf(label, sizeof(label), attempts > 15 ? "16+" : "%u", attempts);
	metric_observe(s->metrics.pod_attempts, attempts);
	metric_observe(metric_labels(s->metrics.sli_seconds, label),
	               (double)(scheduler_now_ms(s) - initial_ms) / 1000);
}
