/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/base/plan/pods.h"

#include <stdlib.h>
#include <string.h>

#include "proto/meta_labels.h"

const CoreV1__PodCondition *pod_condition(const CoreV1__Pod *pod, const char *type)
{
	for (size_t i = 0; i < pod->status->n_conditions; i++)
		if (!strcmp(pod->status->conditions[i]->type, type))
			return pod->status->conditions[i];
	return NULL;
}

bool pod_has_ended(const CoreV1__Pod *pod)
{
	return !strcmp(pod->status->phase, "Succeeded") || !strcmp(pod->status->phase, "Failed");
}

bool pod_is_active(const CoreV1__Pod *pod)
{
	return !pod_has_ended(pod) && !pod->metadata->deletion_timestamp;
}

bool pod_is_ready(const CoreV1__Pod *pod)
{
	const CoreV1__PodCondition *c = pod_condition(pod, "Ready");
	return c && !strcmp(c->status, "True");
}

bool pod_is_available(const CoreV1__Pod *pod, int32_t min_ready_seconds, int64_t now_s,
                      int64_t *ret_at_s)
{
	const CoreV1__PodCondition *c = pod_condition(pod, "Ready");
	if (!c || strcmp(c->status, "True"))
		return false;
	int64_t since = c->last_transition_time ? c->last_transition_time->seconds : 0;
	if (ret_at_s)
		*ret_at_s = since + min_ready_seconds;
	return min_ready_seconds == 0 || (since && since + min_ready_seconds <= now_s);
}

/* --- victims --- */

static int phase_rank(const CoreV1__Pod *p)
{
	return !strcmp(p->status->phase, "Running")   ? 2
	       : !strcmp(p->status->phase, "Pending") ? 0
	                                              : 1;
}

static int64_t deletion_cost(const CoreV1__Pod *p)
{
	const char *text =
	    meta_annotation(p->metadata, "controller.kubernetes.io/pod-deletion-cost");
	return text ? strtoll(text, NULL, 10) : 0;
}

static int64_t ready_since(const CoreV1__Pod *p)
{
	const CoreV1__PodCondition *c = pod_condition(p, "Ready");
	return c && !strcmp(c->status, "True") && c->last_transition_time
	           ? c->last_transition_time->seconds
	           : 0;
}

static int64_t most_restarts(const CoreV1__Pod *p)
{
	int64_t most = 0;
	for (size_t i = 0; i < p->status->n_container_statuses; i++)
		if (p->status->container_statuses[i]->restart_count > most)
			most = p->status->container_statuses[i]->restart_count;
	return most;
}

static int64_t created(const CoreV1__Pod *p)
{
	return p->metadata->creation_timestamp ? p->metadata->creation_timestamp->seconds : 0;
}

/* Younger spans count by their order of magnitude, so that pods of one rollout are alike. */
static int magnitude(int64_t seconds)
{
	int n = 0;
	for (; seconds > 0; seconds >>= 1)
		n++;
	return n;
}

struct victim {
	const CoreV1__Pod *pod;
	size_t neighbours; /* pods of the set on its node, itself among them */
	int64_t now_s;
};

#define BY(x, y)                                 \
	do {                                     \
		int64_t x_ = (x), y_ = (y);      \
		if (x_ != y_)                    \
			return x_ < y_ ? -1 : 1; \
	} while (0)

static int victim_cmp(const void *va, const void *vb)
{
	const struct victim *a = va, *b = vb;
	const CoreV1__Pod *p = a->pod, *q = b->pod;
	BY(*p->spec->node_name != 0, *q->spec->node_name != 0);
	BY(phase_rank(p), phase_rank(q));
	BY(pod_is_ready(p), pod_is_ready(q));
	BY(deletion_cost(p), deletion_cost(q));
	BY(b->neighbours, a->neighbours);
	if (pod_is_ready(p))
		BY(magnitude(a->now_s - ready_since(p)), magnitude(b->now_s - ready_since(q)));
	BY(-most_restarts(p), -most_restarts(q));
	BY(magnitude(a->now_s - created(p)), magnitude(b->now_s - created(q)));
	return strcmp(p->metadata->name, q->metadata->name);
}

void pods_sort_victims(const CoreV1__Pod **pods, const size_t *neighbours, size_t n, int64_t now_s,
                       struct arena *a)
{
	struct victim *v = arena_array(a, struct victim, n);
	for (size_t i = 0; i < n; i++)
		v[i] = (struct victim){pods[i], neighbours ? neighbours[i] : 0, now_s};
	qsort(v, n, sizeof(*v), victim_cmp);
	for (size_t i = 0; i < n; i++)
		pods[i] = v[i].pod;
}
