/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/replicaset/plan/plan.h"

#include <string.h>

#include "common/base/map.h"
#include "proto/meta_labels.h"

static const CoreV1__PodCondition *ready_condition(const CoreV1__Pod *pod)
{
	for (size_t i = 0; i < pod->status->n_conditions; i++)
		if (!strcmp(pod->status->conditions[i]->type, "Ready"))
			return pod->status->conditions[i];
	return NULL;
}

bool pod_is_active(const CoreV1__Pod *pod)
{
	return strcmp(pod->status->phase, "Succeeded") && strcmp(pod->status->phase, "Failed") &&
	       !pod->metadata->deletion_timestamp;
}

bool pod_is_ready(const CoreV1__Pod *pod)
{
	const CoreV1__PodCondition *c = ready_condition(pod);
	return c && !strcmp(c->status, "True");
}

bool pod_is_available(const CoreV1__Pod *pod, int32_t min_ready_seconds, int64_t now_s,
                      int64_t *ret_at_s)
{
	const CoreV1__PodCondition *c = ready_condition(pod);
	if (!c || strcmp(c->status, "True"))
		return false;
	int64_t since = c->last_transition_time ? c->last_transition_time->seconds : 0;
	if (ret_at_s)
		*ret_at_s = since + min_ready_seconds;
	return min_ready_seconds == 0 || (since && since + min_ready_seconds <= now_s);
}

/* Victims: the less a pod has come along, the sooner it goes (controller_utils.go
 * ActivePodsWithRanks). */

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
	const CoreV1__PodCondition *c = ready_condition(p);
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

static void pick_victims(const struct replicaset_input *in, const CoreV1__Pod **active,
                         size_t n_active, size_t excess, struct arena *a,
                         struct replicaset_plan *ret)
{
	struct victim *v = arena_array(a, struct victim, n_active);
	struct map on_node = {0}; /* node -> number of pods */
	for (size_t i = 0; i < n_active; i++) {
		uintptr_t n = (uintptr_t)map_get_str(&on_node, active[i]->spec->node_name);
		map_put_str(&on_node, active[i]->spec->node_name, (void *)(n + 1));
	}
	for (size_t i = 0; i < n_active; i++)
		v[i] = (struct victim){active[i],
		                       (size_t)map_get_str(&on_node, active[i]->spec->node_name),
		                       in->now_s};
	map_deinit(&on_node);
	qsort(v, n_active, sizeof(*v), victim_cmp);
	ret->remove = arena_array(a, const CoreV1__Pod *, excess);
	for (; ret->n_remove < excess; ret->n_remove++)
		ret->remove[ret->n_remove] = v[ret->n_remove].pod;
}

/* The labels of the template are all there. */
static bool fully_labeled(const AppsV1__ReplicaSet *rs, const CoreV1__Pod *pod)
{
	const MetaV1__ObjectMeta *want = rs->spec->template_->metadata;
	for (size_t i = 0; want && i < want->n_labels; i++) {
		const char *have = meta_label(pod->metadata, want->labels[i]->key);
		if (!have || strcmp(have, want->labels[i]->value))
			return false;
	}
	return true;
}

static void count_status(const struct replicaset_input *in, const CoreV1__Pod **active, size_t n,
                         struct replicaset_plan *ret)
{
	const AppsV1__ReplicaSetStatus *old = in->rs->status;
	AppsV1__ReplicaSetStatus *s = &ret->status;
	*s = *old;
	s->has_replicas = s->has_fully_labeled_replicas = s->has_ready_replicas = 1;
	s->has_available_replicas = s->has_observed_generation = 1;
	s->replicas = (int32_t)n;
	s->fully_labeled_replicas = s->ready_replicas = s->available_replicas = 0;
	s->observed_generation = in->rs->metadata->generation;
	for (size_t i = 0; i < n; i++) {
		int64_t at = 0;
		s->fully_labeled_replicas += fully_labeled(in->rs, active[i]);
		if (!pod_is_ready(active[i]))
			continue;
		s->ready_replicas++;
		if (pod_is_available(active[i], in->rs->spec->min_ready_seconds, in->now_s, &at))
			s->available_replicas++;
		else if (at && (!ret->recheck_s || at < ret->recheck_s))
			ret->recheck_s = at;
	}
	ret->status_differs = s->replicas != old->replicas ||
	                      s->fully_labeled_replicas != old->fully_labeled_replicas ||
	                      s->ready_replicas != old->ready_replicas ||
	                      s->available_replicas != old->available_replicas ||
	                      s->observed_generation != old->observed_generation;
}

void replicaset_plan(const struct replicaset_input *in, struct arena *a,
                     struct replicaset_plan *ret)
{
	*ret = (struct replicaset_plan){0};
	const CoreV1__Pod **active = arena_array(a, const CoreV1__Pod *, in->n_pods);
	size_t n = 0;
	for (size_t i = 0; i < in->n_pods; i++)
		if (pod_is_active(in->pods[i]))
			active[n++] = in->pods[i];
	count_status(in, active, n, ret);
	size_t want = in->rs->spec->has_replicas && in->rs->spec->replicas > 0
	                  ? (size_t)in->rs->spec->replicas
	                  : 0;
	if (in->expecting || in->rs->metadata->deletion_timestamp)
		return;
	if (n < want)
		ret->create = want - n < REPLICASET_BURST ? want - n : REPLICASET_BURST;
	else if (n > want)
		pick_victims(in, active, n,
		             n - want < REPLICASET_BURST ? n - want : REPLICASET_BURST, a, ret);
}
