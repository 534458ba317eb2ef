/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/replicaset/plan/plan.h"

#include <string.h>

#include "common/base/map.h"
#include "controller-manager/base/plan/meta.h"
#include "controller-manager/base/plan/pods.h"
#include "proto/meta_labels.h"

static void pick_victims(const struct replicaset_input *in, const CoreV1__Pod **active,
                         size_t n_active, size_t excess, struct arena *a,
                         struct replicaset_plan *ret)
{
	size_t *neighbours = arena_array(a, size_t, n_active);
	struct map on_node = {0}; /* node -> number of pods */
	for (size_t i = 0; i < n_active; i++) {
		uintptr_t n = (uintptr_t)map_get_str(&on_node, active[i]->spec->node_name);
		map_put_str(&on_node, active[i]->spec->node_name, (void *)(n + 1));
	}
	for (size_t i = 0; i < n_active; i++)
		neighbours[i] = (size_t)map_get_str(&on_node, active[i]->spec->node_name);
	map_deinit(&on_node);
	pods_sort_victims(active, neighbours, n_active, in->now_s, a);
	ret->remove = active;
	ret->n_remove = excess;
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

/* The condition ReplicaFailure while pods are missing that could not be made. */
static bool plan_failure(const struct replicaset_input *in, bool missing, struct arena *a,
                         AppsV1__ReplicaSetStatus *s)
{
	AppsV1__ReplicaSetCondition **list =
	    arena_array(a, AppsV1__ReplicaSetCondition *, s->n_conditions + 1);
	bool had = false, has = in->failure && missing;
	size_t n = 0;
	for (size_t i = 0; i < s->n_conditions; i++) {
		bool is = !strcmp(s->conditions[i]->type, "ReplicaFailure");
		had |= is;
		if (!is || has)
			list[n++] = s->conditions[i];
	}
	if (has && !had) {
		AppsV1__ReplicaSetCondition *c = arena_new(a, AppsV1__ReplicaSetCondition);
		*c = (AppsV1__ReplicaSetCondition)APPS_V1__REPLICA_SET_CONDITION__INIT;
		c->type = arena_strdup(a, "ReplicaFailure");
		c->status = arena_strdup(a, "True");
		c->reason = arena_strdup(a, "FailedCreate");
		c->message = arena_strdup(a, in->failure);
		c->last_transition_time = meta_time(a, in->now_s);
		list[n++] = c;
	}
	s->conditions = list;
	s->n_conditions = n;
	return had != has;
}

static size_t wanted(const struct replicaset_input *in)
{
	const AppsV1__ReplicaSetSpec *spec = in->rs->spec;
	return spec->has_replicas && spec->replicas > 0 ? (size_t)spec->replicas : 0;
}

static void count_status(const struct replicaset_input *in, const CoreV1__Pod **active, size_t n,
                         struct arena *a, struct replicaset_plan *ret)
{
	const AppsV1__ReplicaSetStatus *old = in->rs->status;
	AppsV1__ReplicaSetStatus *s = &ret->status;
	*s = *old;
	s->has_replicas = s->has_fully_labeled_replicas = s->has_ready_replicas = 1;
	s->has_available_replicas = s->has_observed_generation = 1;
	s->replicas = (int32_t)n;
	s->fully_labeled_replicas = s->ready_replicas = s->available_replicas = 0;
	s->observed_generation = in->rs->metadata->generation;
	s->has_terminating_replicas = 1;
	s->terminating_replicas = 0;
	for (size_t i = 0; i < in->n_pods; i++)
		s->terminating_replicas +=
		    in->pods[i]->metadata->deletion_timestamp && !pod_has_ended(in->pods[i]);
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
	bool condition = plan_failure(in, n < wanted(in), a, s);
	ret->status_differs = condition || s->replicas != old->replicas ||
	                      s->fully_labeled_replicas != old->fully_labeled_replicas ||
	                      s->ready_replicas != old->ready_replicas ||
	                      s->available_replicas != old->available_replicas ||
	                      s->has_terminating_replicas != old->has_terminating_replicas ||
	                      s->terminating_replicas != old->terminating_replicas ||
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
	count_status(in, active, n, a, ret);
	size_t want = wanted(in);
	if (in->expecting || in->rs->metadata->deletion_timestamp)
		return;
	if (n < want)
		ret->create = want - n < REPLICASET_BURST ? want - n : REPLICASET_BURST;
	else if (n > want)
		pick_victims(in, active, n,
		             n - want < REPLICASET_BURST ? n - want : REPLICASET_BURST, a, ret);
}
