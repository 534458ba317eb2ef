/* SPDX-License-Identifier: Apache-2.0 */
/* What a pod that found no node is told: event, condition PodScheduled, nominated node. */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/codec/json_writer.h"
#include "common/codec/rfc3339.h"
#include "proto/schema_messages.h"
#include "scheduler/scheduler_internal.h"

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

/* lastTransitionTime moves with the condition's status alone. */
static const MetaV1__Time *since(const CoreV1__Pod *pod)
{
	for (size_t i = 0; i < pod->status->n_conditions; i++) {
		const CoreV1__PodCondition *c = pod->status->conditions[i];
		if (!strcmp(c->type, "PodScheduled") && !strcmp(c->status, "False"))
			return c->last_transition_time;
	}
	return NULL;
}

static void add_condition(struct buf *b, const CoreV1__Pod *pod, const char *reason,
                          const char *message)
{
	char when[RFC3339_BYTES];
	const MetaV1__Time *t = since(pod);
	rfc3339_format(t ? t->seconds : clock_real_ns() / 1000000000, when);
	buf_printf(b,
	           "\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\","
	           "\"lastProbeTime\":null,\"lastTransitionTime\":\"%s\",\"reason\":\"%s\","
	           "\"observedGeneration\":%lld,\"message\":",
	           when, reason, (long long)pod->metadata->generation);
	json_write_string(b, slice_str(message));
	buf_str(b, "}]");
}

static void add_nominated(struct buf *b, const char *node)
{
	buf_str(b, "\"nominatedNodeName\":");
	if (*node)
		json_write_string(b, slice_str(node));
	else
		buf_str(b, "null");
}

static void patch_status(struct scheduler *s, const struct pod_info *p, struct slice patch)
{
	struct client_target t = {{"", "v1", "pods"}, p->ns_text, p->name, "status"};
	client_patch(s->o.client, &t, CLIENT_PATCH_STRATEGIC, patch, NULL, NULL, NULL);
}

/* Writes what differs from the object as it was last seen. */
static void tell_status(struct scheduler *s, const struct pod_info *p, const char *reason,
                        const char *message, const char *nominated_node)
{
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *o = informer_get_key(s->pods, p->key);
	const CoreV1__Pod *pod =
	    o ? (void *)informer_object_decode(o, &core_v1__pod_schema, &a) : NULL;
	if (!pod || strcmp(pod->metadata->uid, p->uid) != 0)
		return;
	const char *has = pod->status->nominated_node_name ? pod->status->nominated_node_name : "";
	bool tell = !condition_is(pod, reason, message);
	bool name = nominated_node && strcmp(has, nominated_node) != 0;
	if (!tell && !name)
		return;
	_cleanup_buf_ struct buf b = BUF_INIT;
	buf_str(&b, "{\"status\":{");
	if (tell)
		add_condition(&b, pod, reason, message);
	if (tell && name)
		buf_str(&b, ",");
	if (name)
		add_nominated(&b, nominated_node);
	buf_str(&b, "}}");
	patch_status(s, p, buf_view(&b));
}

void report_failure(struct scheduler *s, const struct framework *f, const struct pod_info *p,
                    bool error, const char *message, const char *nominated_node)
{
	if (error)
		log_error(NULL, "Error scheduling pod; retrying", LOG_STR("pod", p->key),
		          LOG_STR("err", message));
	else
		log_v(2, "Unable to schedule pod; no fit; waiting", LOG_STR("pod", p->key),
		      LOG_STR("err", message));
	struct recorder_ref ref = scheduler_pod_ref(p);
	recorder_event(scheduler_recorder(s, f), &ref, true, "FailedScheduling", "Scheduling", "%s",
	               message);
	tell_status(s, p, error ? "SchedulerError" : "Unschedulable", message, nominated_node);
}

void report_nominated(struct scheduler *s, const struct pod_info *p, const char *node)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	buf_str(&b, "{\"status\":{");
	add_nominated(&b, node);
	buf_str(&b, "}}");
	patch_status(s, p, buf_view(&b));
}
