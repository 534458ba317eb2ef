/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/scheduler_internal.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "scheduler/plugins/plugins.h"

enum {
	TURN_BUDGET_US = 2000, /* one turn schedules for at most this long, then lets events in */
	BINDINGS_MAX = 1024,   /* on their way at once; more pods wait in the queue */
};

uint64_t scheduler_now_ms(const struct scheduler *s)
{
	return loop_now_ms(&s->o.daemon->loop);
}

char *scheduler_strdup(const char *text)
{
	char *copy = strdup(text);
	if (!copy)
		abort();
	return copy;
}

void scheduler_wake(struct scheduler *s)
{
	if (!s->synced || !s->leading)
		return;
	uint64_t at = s->n_binding < BINDINGS_MAX ? queue_deadline(s->queue) : UINT64_MAX;
	at = MIN(at, MIN(cluster_deadline(s->cluster), bind_deadline(s)));
	if (at == UINT64_MAX)
		loop_timer_stop(&s->turn);
	else
		loop_timer_start_at(&s->turn, MAX(at, scheduler_now_ms(s)));
}

size_t scheduler_profile_index(const struct scheduler *s, const struct framework *f)
{
	return (size_t)(f - s->config.profiles);
}

struct recorder *scheduler_recorder(const struct scheduler *s, const struct framework *f)
{
	return s->recorders[scheduler_profile_index(s, f)];
}

struct recorder_ref scheduler_pod_ref(const struct pod_info *p)
{
	return (struct recorder_ref){
	    .api_version = "v1", .kind = "Pod", .ns = p->ns_text, .name = p->name, .uid = p->uid};
}

static void nominate(struct scheduler *s, const struct pod_info *p, const char *node)
{
	if (*node)
		cluster_nominate(s->cluster, p, node);
	else
		cluster_unnominate(s->cluster, p->key);
}

/* The pod stays without a node: tells so, ends victims, and puts it back into the queue. */
static void not_scheduled(struct scheduler *s, const struct queue_item *it,
                          const struct cycle_result *r, uint64_t began_ns)
{
	const struct pod_info *p = s->cycle->pod;
	const struct framework *f = it->framework;
	bool error = r->code == STATUS_ERROR;
	observe_attempt(s, f, error ? ATTEMPT_ERROR : ATTEMPT_UNSCHEDULABLE, began_ns);
	if (r->post.set_nominated)
		nominate(s, p, r->post.nominated_node);
	report_failure(s, f, p, error, r->message,
	               r->post.set_nominated ? r->post.nominated_node : NULL);
	queue_failed(s->queue, p->key, r->rejectors, r->wake, error, scheduler_now_ms(s));
	if (r->post.preemption.n_victims)
		preempt(s, f, p, &r->post.preemption);
}

static void schedule_one(struct scheduler *s, const struct queue_item *it)
{
	const struct informer_object *o = informer_get_key(s->pods, it->pod->key);
	if (!o || o->deleting) {
		queue_done(s->queue, it->pod->key);
		return;
	}
	uint64_t began_ns = clock_mono_ns();
	struct cycle_result r;
	log_v(3, "Attempting to schedule pod", LOG_STR("pod", it->pod->key));
	cycle_begin(s->cycle, it->framework, s->cluster, it->pod, &s->rng, &s->tracer);
	cycle_schedule(s->cycle, &s->start, &r);
	metric_observe(s->metrics.algorithm_seconds, (double)(clock_mono_ns() - began_ns) / 1e9);
	if (r.code == STATUS_SUCCESS)
		bind_begin(s, it, r.node, began_ns);
	else
		not_scheduled(s, it, &r, began_ns);
}

static void expire(struct scheduler *s)
{
	_cleanup_arena_ struct arena a = {0};
	const char *key;
	while ((key = cluster_expire(s->cluster, scheduler_now_ms(s), &a)))
		log_warning("An assumed pod was never confirmed", LOG_STR("pod", key));
}

static void on_turn(void *arg)
{
	struct scheduler *s = arg;
	uint64_t began_ns = clock_mono_ns();
	const struct queue_item *it;
	expire(s);
	bind_check_waiting(s);
	while (s->n_binding < BINDINGS_MAX && (it = queue_pop(s->queue, scheduler_now_ms(s)))) {
		schedule_one(s, it);
		if (clock_mono_ns() - began_ns > TURN_BUDGET_US * 1000ull)
			break;
	}
	scheduler_wake(s);
}

static void on_synced(void *arg)
{
	struct scheduler *s = arg;
	s->synced = true;
	scheduler_wake(s);
}

static void make_recorders(struct scheduler *s)
{
	s->recorders = calloc(s->config.n_profiles, sizeof(struct recorder *));
	if (!s->recorders)
		abort();
	for (size_t i = 0; i < s->config.n_profiles; i++)
		s->recorders[i] =
		    recorder_new(s->o.client, s->config.profiles[i].scheduler_name, NULL);
}

int scheduler_new(const struct scheduler_options *o, struct scheduler **ret, struct err *err)
{
	struct scheduler *s = calloc(1, sizeof(*s));
	if (!s || !(s->cycle = calloc(1, sizeof(*s->cycle))))
		abort();
	s->o = *o;
	s->cluster = cluster_new();
	list_init(&s->waiting);
	int r = profile_config_build(o->config, plugins_registry, cluster_symbols(s->cluster),
	                             &s->forever, &s->config, err);
	if (r) {
		scheduler_free(s);
		return r;
	}
	s->queue =
	    queue_new(&(struct queue_config){s->config.initial_backoff_ms, s->config.max_backoff_ms,
	                                     s->o.unschedulable_ms, s->cluster});
	rng_init(&s->rng, o->seed);
	loop_timer_init(&s->turn, &o->daemon->loop, on_turn, s);
	make_recorders(s);
	observe_init(s);
	watch_init(s);
	informers_on_synced(s->informers, on_synced, s);
	*ret = s;
	return 0;
}

void scheduler_start(struct scheduler *s)
{
	informers_start(s->informers);
}

void scheduler_lead(struct scheduler *s)
{
	s->leading = true;
	scheduler_wake(s);
}

void scheduler_free(struct scheduler *s)
{
	if (!s)
		return;
	loop_timer_stop(&s->turn);
	if (s->informers)
		informers_free(s->informers);
	bind_deinit(s);
	for (size_t i = 0; s->recorders && i < s->config.n_profiles; i++)
		recorder_free(s->recorders[i]);
	free(s->recorders);
	cycle_deinit(s->cycle);
	free(s->cycle);
	queue_free(s->queue);
	cluster_free(s->cluster);
	arena_deinit(&s->forever);
	free(s);
}
