/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/scheduler.h"

#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/client/informer.h"
#include "common/codec/json_writer.h"
#include "common/codec/rfc3339.h"
#include "proto/schema_messages.h"
#include "scheduler/core/cycle.h"
#include "scheduler/core/queue.h"
#include "scheduler/plugins/plugins.h"

/* One turn of the loop schedules for at most this long, then lets events in. */
enum { TURN_BUDGET_US = 2000 };

struct scheduler {
	struct scheduler_options o;
	struct informers *informers;
	struct informer *pods;
	struct recorder *recorder;
	struct cluster *cluster;
	struct queue *queue;
	struct rng rng;
	size_t start;
	struct loop_timer turn;
	bool synced, leading;
	struct arena arena; /* of one cycle */
	struct metric *attempts[3], *cycle_seconds, *pending[4];
};

enum { ATTEMPT_SCHEDULED, ATTEMPT_UNSCHEDULABLE, ATTEMPT_ERROR };

/* A binding on its way: what is needed when it fails. */
struct bind_call {
	struct scheduler *s;
	char *key, *node;
};

static uint64_t now_ms(const struct scheduler *s)
{
	return loop_now_ms(&s->o.daemon->loop);
}

static void wake(struct scheduler *s)
{
	if (!s->synced || !s->leading)
		return;
	uint64_t at = queue_deadline(s->queue);
	if (at == UINT64_MAX)
		loop_timer_stop(&s->turn);
	else
		loop_timer_start_at(&s->turn, MAX(at, now_ms(s)));
}

static struct recorder_ref ref_of(const struct informer_object *o)
{
	return (struct recorder_ref){
	    .api_version = "v1", .kind = "Pod", .ns = o->ns, .name = o->name, .uid = o->uid};
}

/* Events of the cluster */

static bool is_mine(const struct scheduler *s, const CoreV1__Pod *pod)
{
	const char *name = pod->spec->scheduler_name;
	return !strcmp(name && *name ? name : "default-scheduler", s->o.scheduler_name);
}

static bool is_assigned(const CoreV1__Pod *pod)
{
	return pod->spec->node_name && *pod->spec->node_name;
}

static bool is_final(const CoreV1__Pod *pod)
{
	return !strcmp(pod->status->phase, "Succeeded") || !strcmp(pod->status->phase, "Failed");
}

static void pod_changed(struct scheduler *s, const struct informer_object *o, bool spec_may_differ)
{
	_cleanup_arena_ struct arena a = {0};
	const CoreV1__Pod *pod = (void *)informer_object_decode(o, &core_v1__pod_schema, &a);
	if (!pod)
		return;
	if (is_assigned(pod) || is_final(pod)) {
		bool was_here = cluster_pod(s->cluster, o->key) != NULL;
		cluster_set_pod(s->cluster, o->key, pod);
		queue_remove(s->queue, o->key);
		if (is_final(pod) && was_here)
			queue_event(s->queue, QUEUE_POD_DELETE, now_ms(s));
	} else if (o->deleting || !is_mine(s, pod)) {
		queue_remove(s->queue, o->key);
	} else if (!cluster_pod(s->cluster, o->key) && spec_may_differ) {
		queue_add(s->queue, o->key, pod->spec->priority, pod->spec->n_scheduling_gates > 0,
		          now_ms(s));
	}
	wake(s);
}

static void on_pod_add(const struct informer_object *o, void *arg)
{
	pod_changed(arg, o, true);
}

/* A change of the status alone does not wake a waiting pod: its own condition would do that. */
static bool pod_input_differs(const struct informer_object *old, const struct informer_object *o)
{
	_cleanup_arena_ struct arena a = {0};
	const CoreV1__Pod *x = (void *)informer_object_decode(old, &core_v1__pod_schema, &a);
	const CoreV1__Pod *y = (void *)informer_object_decode(o, &core_v1__pod_schema, &a);
	if (!x || !y || x->metadata->generation != y->metadata->generation ||
	    x->metadata->n_labels != y->metadata->n_labels)
		return true;
	for (size_t i = 0; i < x->metadata->n_labels; i++)
		if (strcmp(x->metadata->labels[i]->key, y->metadata->labels[i]->key) ||
		    strcmp(x->metadata->labels[i]->value, y->metadata->labels[i]->value))
			return true;
	return false;
}

static void on_pod_update(const struct informer_object *old, const struct informer_object *o,
                          void *arg)
{
	pod_changed(arg, o, pod_input_differs(old, o));
}

static void on_pod_delete(const struct informer_object *old, void *arg)
{
	struct scheduler *s = arg;
	queue_remove(s->queue, old->key);
	if (cluster_remove_pod(s->cluster, old->key))
		queue_event(s->queue, QUEUE_POD_DELETE, now_ms(s));
	wake(s);
}

static void on_node(const struct informer_object *o, void *arg)
{
	struct scheduler *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const CoreV1__Node *node = (void *)informer_object_decode(o, &core_v1__node_schema, &a);
	if (node)
		queue_event(s->queue, cluster_set_node(s->cluster, node), now_ms(s));
	wake(s);
}

static void on_node_update(const struct informer_object *old, const struct informer_object *o,
                           void *arg)
{
	(void)old;
	on_node(o, arg);
}

static void on_node_delete(const struct informer_object *old, void *arg)
{
	struct scheduler *s = arg;
	cluster_remove_node(s->cluster, old->name);
}

/* What a cycle decided */

static void requeue(struct scheduler *s, const char *key, unsigned help, bool error)
{
	queue_failed(s->queue, key, help, error, now_ms(s));
	wake(s);
}

static void on_bound(const struct client_result *r, void *arg)
{
	struct bind_call *b = arg;
	struct scheduler *s = b->s;
	const struct informer_object *o = informer_get_key(s->pods, b->key);
	if (r->code == ERR_OK) {
		queue_done(s->queue, b->key);
		metric_inc(s->attempts[ATTEMPT_SCHEDULED]);
		log_v(2, "Successfully bound pod to node", LOG_STR("pod", b->key),
		      LOG_STR("node", b->node));
		if (o) {
			struct recorder_ref ref = ref_of(o);
			recorder_event(s->recorder, &ref, false, "Scheduled", "Binding",
			               "Successfully assigned %s/%s to %s", o->ns, o->name,
			               b->node);
		}
	} else {
		struct err err = ERR_INIT;
		ERR_IGNORE(client_result_err(r, &err)); /* its text is for the log */
		cluster_forget(s->cluster, b->key);
		metric_inc(s->attempts[ATTEMPT_ERROR]);
		if (r->code == ERR_NOT_FOUND || !o) {
			queue_remove(s->queue, b->key);
		} else {
			log_error(&err, "Could not bind", LOG_STR("pod", b->key),
			          LOG_STR("node", b->node));
			requeue(s, b->key, QUEUE_ALL, true);
		}
		queue_event(s->queue, QUEUE_POD_DELETE, now_ms(s));
		wake(s);
	}
	free(b->key);
	free(b->node);
	free(b);
}

static char *dup_str(const char *s)
{
	char *copy = strdup(s);
	if (!copy)
		abort();
	return copy;
}

static void bind_pod(struct scheduler *s, const struct informer_object *o, const CoreV1__Pod *pod,
                     const struct node_info *node)
{
	struct bind_call *b = calloc(1, sizeof(*b));
	if (!b)
		abort();
	*b = (struct bind_call){s, dup_str(o->key), dup_str(node->name)};
	cluster_assume(s->cluster, o->key, pod, node->name);
	client_bind(s->o.client, o->ns, o->name, o->uid, node->name, on_bound, b);
}

static bool condition_is(const CoreV1__Pod *pod, const char *reason, const char *message)
{
	for (size_t i = 0; i < pod->status->n_conditions; i++) {
		const CoreV1__PodCondition *c = pod->status->conditions[i];
		if (!strcmp(c->type, "PodScheduled"))
			return !strcmp(c->status, "False") && !strcmp(c->reason, reason) &&
			       !strcmp(c->message, message);
	}
	return false;
}

/* Sets the condition PodScheduled=False; one that says the same stays as it is. */
static void tell_unschedulable(struct scheduler *s, const struct informer_object *o,
                               const CoreV1__Pod *pod, const char *message)
{
	if (condition_is(pod, "Unschedulable", message))
		return;
	char now[RFC3339_BYTES];
	rfc3339_format(clock_real_ns() / 1000000000, now);
	_cleanup_buf_ struct buf b = BUF_INIT;
	buf_printf(
	    &b,
	    "{\"status\":{\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\","
	    "\"lastProbeTime\":null,\"lastTransitionTime\":\"%s\",\"reason\":\"Unschedulable\","
	    "\"observedGeneration\":%lld,\"message\":",
	    now, (long long)pod->metadata->generation);
	json_write_string(&b, slice_str(message));
	buf_str(&b, "}]}}");
	struct client_target t = {{"", "v1", "pods"}, o->ns, o->name, "status"};
	client_patch(s->o.client, &t, CLIENT_PATCH_STRATEGIC, buf_view(&b), NULL, NULL, NULL);
}

static void schedule_one(struct scheduler *s, const char *key)
{
	const struct informer_object *o = informer_get_key(s->pods, key);
	const CoreV1__Pod *pod =
	    o ? (void *)informer_object_decode(o, &core_v1__pod_schema, &s->arena) : NULL;
	if (!pod || o->deleting || is_assigned(pod)) {
		queue_remove(s->queue, key);
		return;
	}
	struct cycle_result r;
	uint64_t begin = clock_mono_ns();
	cycle_schedule(s->cluster, plugins_default, pod, key, &s->start, &s->rng, &s->arena, &r);
	metric_observe(s->cycle_seconds, (double)(clock_mono_ns() - begin) / 1e9);
	if (r.node) {
		bind_pod(s, o, pod, r.node);
		return;
	}
	log_v(2, "Unable to schedule pod; no fit; waiting", LOG_STR("pod", key),
	      LOG_STR("err", r.message));
	metric_inc(s->attempts[ATTEMPT_UNSCHEDULABLE]);
	struct recorder_ref ref = ref_of(o);
	recorder_event(s->recorder, &ref, true, "FailedScheduling", "Scheduling", "%s", r.message);
	tell_unschedulable(s, o, pod, r.message);
	requeue(s, key, r.help, false);
}

static void on_turn(void *arg)
{
	struct scheduler *s = arg;
	uint64_t begin = clock_mono_ns();
	const char *key;
	while ((key = queue_pop(s->queue, now_ms(s)))) {
		schedule_one(s, key);
		arena_reset(&s->arena);
		if (clock_mono_ns() - begin > TURN_BUDGET_US * 1000ull)
			break;
	}
	wake(s);
}

static void on_synced(void *arg)
{
	struct scheduler *s = arg;
	s->synced = true;
	wake(s);
}

static void gauge_queue(void *arg)
{
	struct scheduler *s = arg;
	struct queue_counts c = queue_counts(s->queue);
	const size_t n[] = {c.active, c.backoff, c.unschedulable, c.gated};
	for (size_t i = 0; i < ARRAY_LEN(n); i++)
		metric_set(s->pending[i], (double)n[i]);
}

static void add_metrics(struct scheduler *s)
{
	static const double bounds[] = {0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001,
	                                0.002,   0.005,   0.01,    0.02,   0.05,   0.1};
	static const char *const results[] = {"scheduled", "unschedulable", "error"};
	static const char *const queues[] = {"active", "backoff", "unschedulable", "gated"};
	struct metrics *m = s->o.daemon->metrics;
	struct metric_family *f =
	    metrics_counter(m, "scheduler_schedule_attempts_total",
	                    "Number of attempts to schedule pods, by the result", "result,profile");
	for (size_t i = 0; i < ARRAY_LEN(results); i++)
		s->attempts[i] = metric_labels(f, results[i], s->o.scheduler_name);
	s->cycle_seconds = metric_of(metrics_histogram(
	    m, "scheduler_scheduling_algorithm_duration_seconds",
	    "Scheduling algorithm latency in seconds", NULL, bounds, ARRAY_LEN(bounds)));
	f = metrics_gauge(m, "scheduler_pending_pods", "Number of pending pods, by the queue",
	                  "queue");
	for (size_t i = 0; i < ARRAY_LEN(queues); i++)
		s->pending[i] = metric_labels(f, queues[i]);
	metrics_on_write(m, gauge_queue, s);
}

struct scheduler *scheduler_new(const struct scheduler_options *o)
{
	struct scheduler *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->o = *o;
	s->cluster = cluster_new();
	s->queue = queue_new(&QUEUE_CONFIG_DEFAULT);
	rng_init(&s->rng, o->seed);
	arena_init(&s->arena);
	loop_timer_init(&s->turn, &o->daemon->loop, on_turn, s);
	s->recorder = recorder_new(o->client, o->scheduler_name, NULL);
	s->informers = informers_new(o->client);
	struct informer *nodes = informers_get(
	    s->informers, &(struct client_resource){"", "v1", "nodes"}, NULL, NULL, NULL);
	s->pods = informers_get(s->informers, &(struct client_resource){"", "v1", "pods"}, NULL,
	                        NULL, NULL);
	informer_add_handler(
	    nodes, &(struct informer_handler){on_node, on_node_update, on_node_delete, s});
	informer_add_handler(
	    s->pods, &(struct informer_handler){on_pod_add, on_pod_update, on_pod_delete, s});
	informers_on_synced(s->informers, on_synced, s);
	add_metrics(s);
	return s;
}

void scheduler_start(struct scheduler *s)
{
	informers_start(s->informers);
}

void scheduler_lead(struct scheduler *s)
{
	s->leading = true;
	wake(s);
}

void scheduler_free(struct scheduler *s)
{
	if (!s)
		return;
	loop_timer_stop(&s->turn);
	informers_free(s->informers);
	recorder_free(s->recorder);
	cluster_free(s->cluster);
	queue_free(s->queue);
	arena_deinit(&s->arena);
	free(s);
}
