/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/statefulset/plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "controller-manager/base/plan/pods.h"
#include "controller-manager/base/plan/rounding.h"
#include "proto/meta_labels.h"
#include "proto/msg.h"
#include "proto/schema_messages.h"

struct planner {
	const struct statefulset_input *in;
	const AppsV1__StatefulSetSpec *spec;
	struct arena *arena;
	struct statefulset_plan *out;
	const CoreV1__Pod **replicas; /* by number from `first`; NULL: to be made */
	size_t n_replicas;
	const CoreV1__Pod **condemned; /* the last one first */
	size_t n_condemned;
	int32_t first, partition;
	bool ordered, rolling;
};

/* --- one pod --- */

static bool has_phase(const CoreV1__Pod *pod, const char *phase)
{
	return !strcmp(pod->status->phase, phase);
}

static bool is_going(const CoreV1__Pod *pod)
{
	return pod->metadata->deletion_timestamp != NULL;
}

static bool is_ready(const CoreV1__Pod *pod)
{
	return has_phase(pod, "Running") && pod_is_ready(pod);
}

static bool is_available(struct planner *p, const CoreV1__Pod *pod)
{
	int64_t at = 0;
	bool available = has_phase(pod, "Running") &&
	                 pod_is_available(pod, p->spec->min_ready_seconds, p->in->now_s, &at);
	if (!available && at > p->in->now_s && (!p->out->recheck_s || at < p->out->recheck_s))
		p->out->recheck_s = at;
	return available;
}

static bool is_of(const CoreV1__Pod *pod, const char *revision)
{
	const char *of = meta_label(pod->metadata, STATEFULSET_REVISION_LABEL);
	return of && !strcmp(of, revision);
}

/* --- which pods --- */

static int ordinal_cmp(const void *x, const void *y, void *set)
{
	int32_t a = statefulset_ordinal(set, *(CoreV1__Pod *const *)x);
	int32_t b = statefulset_ordinal(set, *(CoreV1__Pod *const *)y);
	return (a < b) - (a > b);
}

static void sort_out(struct planner *p)
{
	const AppsV1__StatefulSet *set = p->in->set;
	p->n_replicas = p->spec->has_replicas ? (size_t)MAX(p->spec->replicas, 0) : 1;
	p->replicas = arena_array(p->arena, const CoreV1__Pod *, p->n_replicas);
	p->condemned = arena_array(p->arena, const CoreV1__Pod *, p->in->n_pods);
	for (size_t i = 0; i < p->in->n_pods; i++) {
		int64_t ordinal = statefulset_ordinal(set, p->in->pods[i]);
		if (ordinal >= p->first && (size_t)(ordinal - p->first) < p->n_replicas)
			p->replicas[ordinal - p->first] = p->in->pods[i];
		else if (ordinal >= 0)
			p->condemned[p->n_condemned++] = p->in->pods[i];
	}
	if (p->n_condemned)
		qsort_r(p->condemned, p->n_condemned, sizeof(*p->condemned), ordinal_cmp,
		        (void *)(uintptr_t)set);
}

static const CoreV1__Pod *first_unhealthy(const struct planner *p)
{
	for (size_t i = 0; i < p->n_replicas; i++)
		if (p->replicas[i] && (!is_ready(p->replicas[i]) || is_going(p->replicas[i])))
			return p->replicas[i];
	for (size_t i = p->n_condemned; i-- > 0;)
		if (!is_ready(p->condemned[i]) || is_going(p->condemned[i]))
			return p->condemned[i];
	return NULL;
}

static void put_remove(struct planner *p, const CoreV1__Pod *pod, bool condemned,
                       const char *reason)
{
	p->out->remove[p->out->n_remove++] = (struct statefulset_remove){pod, condemned, reason};
}

/* --- the steps; each returns true when nothing may follow it --- */

/* Below the partition, and where nothing rolls, a pod comes back as it was. */
static bool is_update_wanted(const struct planner *p, size_t at)
{
	const AppsV1__StatefulSetUpdateStrategy *s = p->spec->update_strategy;
	if (s && s->rolling_update)
		return at >= (size_t)p->partition;
	return at >= (size_t)MAX(p->in->set->status->current_replicas, 0);
}

static bool plan_replica(struct planner *p, size_t at)
{
	const CoreV1__Pod *pod = p->replicas[at];
	if (!pod) {
		p->out->create[p->out->n_create++] =
		    (struct statefulset_create){p->first + (int32_t)at, is_update_wanted(p, at)};
		return p->ordered;
	}
	if (pod_has_ended(pod)) {
		if (!is_going(pod))
			put_remove(p, pod, false,
			           has_phase(pod, "Failed") ? "RecreatingFailedPod"
			                                    : "RecreatingTerminatedPod");
		return true;
	}
	if (has_phase(pod, "Pending"))
		p->out->pending[p->out->n_pending++] = pod;
	if (p->ordered && (is_going(pod) || !is_ready(pod) || !is_available(p, pod)))
		return true;
	CoreV1__Pod copy = *pod;
	copy.metadata = arena_memdup(p->arena, pod->metadata, sizeof(*pod->metadata));
	copy.spec = arena_memdup(p->arena, pod->spec, sizeof(*pod->spec));
	if (!is_going(pod) &&
	    statefulset_set_identity(p->in->set, p->first + (int32_t)at, &copy, p->arena))
		p->out->fix[p->out->n_fix++] = pod;
	return false;
}

static bool plan_condemned(struct planner *p, const CoreV1__Pod *pod, const CoreV1__Pod *unhealthy)
{
	if (is_going(pod))
		return p->ordered;
	if (p->ordered && pod != unhealthy && (!is_ready(pod) || !is_available(p, pod)))
		return true;
	put_remove(p, pod, true, NULL);
	return p->ordered;
}

/* From the last one down: what is old goes, as far as few enough are missing. */
static void plan_update(struct planner *p)
{
	const AppsV1__StatefulSetUpdateStrategy *s = p->spec->update_strategy;
	int32_t most = 1, missing = 0;
	if (s && s->rolling_update && s->rolling_update->max_unavailable)
		most = MAX(int_or_percent(s->rolling_update->max_unavailable,
		                          (int32_t)p->n_replicas, true),
		           1);
	for (size_t i = 0; i < p->n_replicas; i++)
		missing +=
		    !p->replicas[i] || is_going(p->replicas[i]) || !is_available(p, p->replicas[i]);
	for (size_t i = p->n_replicas; i-- > (size_t)p->partition;) {
		const CoreV1__Pod *pod = p->replicas[i];
		bool old = pod && !is_going(pod) && !is_of(pod, p->in->update);
		bool sick = pod && (is_going(pod) || !is_available(p, pod));
		/* One that is sick and old makes room for nothing: it goes in its turn. */
		if (old && (missing < most || sick)) {
			put_remove(p, pod, false, NULL);
			missing += !sick;
			if (most == 1)
				return;
		} else if (old || (sick && most == 1) || !pod) {
			return;
		}
	}
}

/* --- status --- */

static void count_pods(struct planner *p)
{
	AppsV1__StatefulSetStatus *s = &p->out->status;
	for (size_t i = 0; i < p->in->n_pods; i++) {
		const CoreV1__Pod *pod = p->in->pods[i];
		s->replicas++;
		s->ready_replicas += is_ready(pod);
		s->available_replicas += is_available(p, pod);
		if (is_going(pod))
			continue;
		s->current_replicas += is_of(pod, p->in->current);
		s->updated_replicas += is_of(pod, p->in->update);
	}
}

static void plan_status(struct planner *p)
{
	const AppsV1__StatefulSetStatus *old = p->in->set->status;
	AppsV1__StatefulSetStatus *s = &p->out->status;
	int32_t want = (int32_t)p->n_replicas;
	*s = *old;
	s->has_observed_generation = s->has_replicas = s->has_ready_replicas = 1;
	s->has_available_replicas = s->has_current_replicas = s->has_updated_replicas = 1;
	s->observed_generation = p->in->set->metadata->generation;
	s->replicas = s->ready_replicas = s->available_replicas = 0;
	s->current_replicas = s->updated_replicas = 0;
	s->current_revision = (char *)(uintptr_t)p->in->current;
	s->update_revision = (char *)(uintptr_t)p->in->update;
	count_pods(p);
	if (p->rolling && s->updated_replicas == want && s->ready_replicas == want &&
	    s->replicas == want) {
		s->current_replicas = s->updated_replicas;
		s->current_revision = s->update_revision;
	}
	p->out->status_differs =
	    !msg_equal(&apps_v1__stateful_set_status_schema, &s->base, &old->base);
}

static void plan_pods(struct planner *p)
{
	const CoreV1__Pod *unhealthy = first_unhealthy(p);
	bool stop = false;
	for (size_t i = 0; i < p->n_replicas; i++)
		if (plan_replica(p, i)) {
			stop = true;
			break;
		}
	for (size_t i = 0; i < p->n_condemned && !stop; i++)
		stop = plan_condemned(p, p->condemned[i], unhealthy);
	if (!stop && p->rolling && !p->out->n_create)
		plan_update(p);
}

void statefulset_plan(const struct statefulset_input *in, struct arena *a,
                      struct statefulset_plan *ret)
{
	const AppsV1__StatefulSetSpec *spec = in->set->spec;
	const AppsV1__StatefulSetUpdateStrategy *s = spec->update_strategy;
	struct planner p = {.in = in, .spec = spec, .arena = a, .out = ret};
	p.first = spec->ordinals ? spec->ordinals->start : 0;
	p.ordered = strcmp(spec->pod_management_policy, "Parallel") != 0;
	p.rolling = !s || strcmp(s->type, "OnDelete");
	p.partition = s && s->rolling_update ? MAX(s->rolling_update->partition, 0) : 0;
	*ret = (struct statefulset_plan){0};
	sort_out(&p);
	ret->create = arena_array(a, struct statefulset_create, p.n_replicas);
	ret->remove = arena_array(a, struct statefulset_remove, in->n_pods * 2);
	ret->fix = arena_array(a, const CoreV1__Pod *, in->n_pods);
	ret->pending = arena_array(a, const CoreV1__Pod *, in->n_pods);
	plan_status(&p);
	if (!in->set->metadata->deletion_timestamp)
		plan_pods(&p);
}
