/* SPDX-License-Identifier: Apache-2.0 */
/* Ends the victims of a preemption: condition DisruptionTarget, then delete. The pod that they make
 * room for waits for their end as for any other event. */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/codec/json_writer.h"
#include "common/codec/rfc3339.h"
#include "scheduler/scheduler_internal.h"

/* One victim on its way out. */
struct victim {
	struct scheduler *s;
	const struct framework *framework;
	struct pod_info *pod, *preemptor;
	char *node;
};

static void victim_free(struct victim *v)
{
	pod_info_unref(v->pod);
	pod_info_unref(v->preemptor);
	free(v->node);
	free(v);
}

/* It could not be ended: the preemptor looks for another way. */
static void give_up(struct victim *v, const struct client_result *r)
{
	struct err err = ERR_INIT;
	ERR_IGNORE(client_result_err(r, &err)); /* its text is for the log */
	log_error(&err, "Tried to preempt pod", LOG_STR("pod", v->pod->key),
	          LOG_STR("preemptor", v->preemptor->key));
	queue_activate(v->s->queue, v->preemptor->key, scheduler_now_ms(v->s));
	scheduler_wake(v->s);
	victim_free(v);
}

static void on_deleted(const struct client_result *r, void *arg)
{
	struct victim *v = arg;
	if (r->code != ERR_OK && r->code != ERR_NOT_FOUND) {
		give_up(v, r);
		return;
	}
	log_v(2, "Preemptor Pod preempted victim Pod", LOG_STR("preemptor", v->preemptor->key),
	      LOG_STR("victim", v->pod->key), LOG_STR("node", v->node));
	struct recorder_ref ref = scheduler_pod_ref(v->pod);
	recorder_event(scheduler_recorder(v->s, v->framework), &ref, false, "Preempted",
	               "Preempting", "Preempted by pod %s on node %s", v->preemptor->uid, v->node);
	victim_free(v);
}

static struct client_target target_of(const struct pod_info *p, const char *subresource)
{
	return (struct client_target){{"", "v1", "pods"}, p->ns_text, p->name, subresource};
}

static void on_marked(const struct client_result *r, void *arg)
{
	struct victim *v = arg;
	if (r->code == ERR_NOT_FOUND) {
		victim_free(v);
		return;
	}
	if (r->code != ERR_OK) {
		give_up(v, r);
		return;
	}
	struct client_target t = target_of(v->pod, NULL);
	client_delete(
	    v->s->o.client, &t,
	    &(struct client_delete_options){.grace_period_seconds = -1, .uid = v->pod->uid},
	    on_deleted, v);
}

static void mark(struct victim *v)
{
	char now[RFC3339_BYTES];
	rfc3339_format(clock_real_ns() / 1000000000, now);
	_cleanup_arena_ struct arena a = {0};
	_cleanup_buf_ struct buf b = BUF_INIT;
	buf_printf(&b,
	           "{\"status\":{\"conditions\":[{\"type\":\"DisruptionTarget\",\"status\":"
	           "\"True\",\"lastProbeTime\":null,\"lastTransitionTime\":\"%s\","
	           "\"reason\":\"PreemptionByScheduler\",\"observedGeneration\":%lld,"
	           "\"message\":",
	           now, (long long)v->pod->generation);
	json_write_string(
	    &b, slice_str(arena_printf(&a, "%s: preempting to accommodate a higher priority pod",
	                               v->preemptor->scheduler_name)));
	buf_str(&b, "}]}}");
	struct client_target t = target_of(v->pod, "status");
	client_patch(v->s->o.client, &t, CLIENT_PATCH_STRATEGIC, buf_view(&b), NULL, on_marked, v);
}

/* Pods of lower priority that wait for this node must look again. */
static void clear_nominations(struct scheduler *s, const struct pod_info *p, const char *node)
{
	struct node_info *n = cluster_find(s->cluster, node);
	for (size_t i = n ? n->nominated.n : 0; i-- > 0;) {
		if (n->nominated.at[i]->priority >= p->priority)
			continue;
		struct pod_info *lower = pod_info_ref(n->nominated.at[i]);
		cluster_unnominate(s->cluster, lower->key);
		report_nominated(s, lower, "");
		pod_info_unref(lower);
	}
}

void preempt(struct scheduler *s, const struct framework *f, const struct pod_info *p,
             const struct preemption *how)
{
	_cleanup_arena_ struct arena a = {0};
	const char *node = arena_strdup(&a, how->node);
	struct pod_info **victims = arena_array(&a, struct pod_info *, how->n_victims);
	for (size_t i = 0; i < how->n_victims; i++)
		victims[i] = pod_info_ref(how->victims[i]);
	metric_observe(s->metrics.preemption_victims, (double)how->n_victims);
	for (size_t i = 0; i < how->n_victims; i++) {
		if (bind_reject(s, victims[i]->key, "preempted")) {
			pod_info_unref(victims[i]);
			continue;
		}
		struct victim *v = calloc(1, sizeof(*v));
		if (!v)
			abort();
		*v = (struct victim){s, f, victims[i], pod_info_ref(p), scheduler_strdup(node)};
		mark(v);
	}
	clear_nominations(s, p, node);
}
