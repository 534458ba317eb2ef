/* SPDX-License-Identifier: Apache-2.0 */
/* The status of a Deployment: its sums and its conditions Available and Progressing (kubernetes
 * pkg/controller/deployment/progress.go, sync.go). */
#include <string.h>
#include "controller-manager/deployment/plan/internal.h"

#define TEXT(s) ((char *)(uintptr_t)(s))

struct writer {
	const struct deployment_input *in;
	AppsV1__DeploymentStatus *s;
	struct arena *arena;
};

static AppsV1__DeploymentCondition *find(const AppsV1__DeploymentStatus *s, const char *type)
{
	for (size_t i = 0; i < s->n_conditions; i++)
		if (!strcmp(s->conditions[i]->type, type))
			return s->conditions[i];
	return NULL;
}

static MetaV1__Time *now_time(const struct writer *w)
{
	MetaV1__Time *t = arena_new(w->arena, MetaV1__Time);
	*t = (MetaV1__Time)META_V1__TIME__INIT;
	t->has_seconds = 1;
	t->seconds = w->in->now_s;
	return t;
}

/* Puts a condition at the end, in the place of the one of its type. */
static void replace(struct writer *w, AppsV1__DeploymentCondition *c)
{
	size_t n = 0;
	for (size_t i = 0; i < w->s->n_conditions; i++)
		if (strcmp(w->s->conditions[i]->type, c->type))
			w->s->conditions[n++] = w->s->conditions[i];
	w->s->conditions[n++] = c;
	w->s->n_conditions = n;
}

/* Sets a condition; one of the same status and reason stays as it is. */
static void set(struct writer *w, const char *type, const char *status, const char *reason,
                const char *message)
{
	const AppsV1__DeploymentCondition *old = find(w->s, type);
	if (old && !strcmp(old->status, status) && !strcmp(old->reason, reason))
		return;
	AppsV1__DeploymentCondition *c = arena_new(w->arena, AppsV1__DeploymentCondition);
	*c = (AppsV1__DeploymentCondition)APPS_V1__DEPLOYMENT_CONDITION__INIT;
	c->type = TEXT(type);
	c->status = TEXT(status);
	c->reason = TEXT(reason);
	c->message = TEXT(message);
	c->last_update_time = now_time(w);
	bool same = old && !strcmp(old->status, status);
	c->last_transition_time = same ? old->last_transition_time : c->last_update_time;
	replace(w, c);
}

static int32_t wanted(const struct writer *w)
{
	return w->in->d->spec->has_replicas ? w->in->d->spec->replicas : 1;
}

static bool is_complete(const struct writer *w)
{
	const AppsV1__DeploymentStatus *s = w->s;
	int32_t want = wanted(w);
	return s->updated_replicas == want && s->replicas == want && s->available_replicas == want;
}

static bool has_advanced(const struct writer *w)
{
	const AppsV1__DeploymentStatus *old = w->in->d->status, *s = w->s;
	return s->updated_replicas > old->updated_replicas ||
	       s->replicas - s->updated_replicas < old->replicas - old->updated_replicas ||
	       s->ready_replicas > old->ready_replicas ||
	       s->available_replicas > old->available_replicas;
}

/* The same reason with a newer time: the deadline counts from here. */
static void touch(struct writer *w, const char *message)
{
	const AppsV1__DeploymentCondition *now = find(w->s, "Progressing");
	if (!now || strcmp(now->reason, "ReplicaSetUpdated") || strcmp(now->status, "True")) {
		set(w, "Progressing", "True", "ReplicaSetUpdated", message);
		return;
	}
	AppsV1__DeploymentCondition *again = arena_memdup(w->arena, now, sizeof(*now));
	again->last_update_time = now_time(w);
	replace(w, again);
}

/* No advance: the deadline runs. */
static void wait_for_deadline(struct writer *w, const AppsV1__DeploymentCondition *now,
                              const char *what, struct deployment_plan *ret)
{
	int64_t from = now->last_update_time ? now->last_update_time->seconds : w->in->now_s;
	int64_t deadline = from + w->in->d->spec->progress_deadline_seconds;
	if (deadline > w->in->now_s)
		ret->recheck_s = deadline;
	else
		set(w, "Progressing", "False", "ProgressDeadlineExceeded",
		    arena_printf(w->arena, "%s has timed out progressing.", what));
}

static void set_progressing(struct writer *w, const AppsV1__ReplicaSet *newest,
                            struct deployment_plan *ret)
{
	const AppsV1__DeploymentSpec *spec = w->in->d->spec;
	const AppsV1__DeploymentCondition *now = find(w->s, "Progressing");
	const char *name = newest ? newest->metadata->name : ret->name ? ret->name : "";
	const char *what = arena_printf(w->arena, "ReplicaSet \"%s\"", name);
	if (!spec->has_progress_deadline_seconds || spec->progress_deadline_seconds == INT32_MAX)
		return;
	bool done = now && !strcmp(now->reason, "NewReplicaSetAvailable");
	if (spec->paused)
		set(w, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused");
	else if (now && !strcmp(now->reason, "DeploymentPaused"))
		set(w, "Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed");
	else if (ret->create)
		set(w, "Progressing", "True", "NewReplicaSetCreated",
		    arena_printf(w->arena, "Created new replica set \"%s\"", name));
	else if (done && w->s->replicas == w->s->updated_replicas)
		return;
	else if (is_complete(w))
		set(w, "Progressing", "True", "NewReplicaSetAvailable",
		    arena_printf(w->arena, "%s has successfully progressed.", what));
	else if (has_advanced(w))
		touch(w, arena_printf(w->arena, "%s is progressing.", what));
	else if (!now && newest)
		set(w, "Progressing", "True", "FoundNewReplicaSet",
		    arena_printf(w->arena, "Found new replica set \"%s\"", name));
	else if (now && !done && strcmp(now->status, "False"))
		wait_for_deadline(w, now, what, ret);
}

static const AppsV1__ReplicaSetCondition *failure_of(const AppsV1__ReplicaSet *rs)
{
	for (size_t i = 0; i < rs->status->n_conditions; i++)
		if (!strcmp(rs->status->conditions[i]->type, "ReplicaFailure"))
			return rs->status->conditions[i];
	return NULL;
}

/* Pods that a set could not make: of the newest one first. */
static void set_failure(struct writer *w, const AppsV1__ReplicaSet *newest)
{
	const AppsV1__ReplicaSetCondition *c = newest ? failure_of(newest) : NULL;
	for (size_t i = 0; i < w->in->n_sets && !c; i++)
		c = failure_of(w->in->sets[i]);
	if (c) {
		set(w, "ReplicaFailure", c->status, c->reason, c->message);
		return;
	}
	size_t n = 0;
	for (size_t i = 0; i < w->s->n_conditions; i++)
		if (strcmp(w->s->conditions[i]->type, "ReplicaFailure"))
			w->s->conditions[n++] = w->s->conditions[i];
	w->s->n_conditions = n;
}

static bool same(const AppsV1__DeploymentStatus *x, const AppsV1__DeploymentStatus *y)
{
	if (x->observed_generation != y->observed_generation || x->replicas != y->replicas ||
	    x->updated_replicas != y->updated_replicas || x->ready_replicas != y->ready_replicas ||
	    x->available_replicas != y->available_replicas ||
	    x->unavailable_replicas != y->unavailable_replicas ||
	    x->has_terminating_replicas != y->has_terminating_replicas ||
	    (x->has_terminating_replicas && x->terminating_replicas != y->terminating_replicas) ||
	    x->n_conditions != y->n_conditions)
		return false;
	for (size_t i = 0; i < x->n_conditions; i++)
		if (x->conditions[i] != y->conditions[i])
			return false;
	return true;
}

void plan_status(const struct deployment_input *in, const AppsV1__ReplicaSet *newest,
                 struct arena *a, struct deployment_plan *ret)
{
	const AppsV1__DeploymentStatus *old = in->d->status;
	AppsV1__DeploymentStatus *s = arena_memdup(a, old, sizeof(*old));
	struct writer w = {in, s, a};
	struct totals t = totals_of(in);
	int32_t surge, unavailable;
	deployment_limits(in->d, &surge, &unavailable);
	s->conditions = arena_array(a, AppsV1__DeploymentCondition *, old->n_conditions + 3);
	for (size_t i = 0; i < old->n_conditions; i++)
		s->conditions[i] = old->conditions[i];
	s->has_observed_generation = s->has_replicas = s->has_updated_replicas = 1;
	s->has_ready_replicas = s->has_available_replicas = s->has_unavailable_replicas = 1;
	s->observed_generation = in->d->metadata->generation;
	s->replicas = t.replicas;
	s->updated_replicas = newest ? newest->status->replicas : 0;
	s->ready_replicas = t.ready;
	s->available_replicas = t.available;
	s->has_terminating_replicas = 1;
	s->terminating_replicas = 0;
	for (size_t i = 0; i < in->n_sets; i++) {
		/* Unknown of one set, unknown of all. */
		s->has_terminating_replicas &= in->sets[i]->status->has_terminating_replicas;
		s->terminating_replicas += in->sets[i]->status->terminating_replicas;
	}
	s->unavailable_replicas = t.desired > t.available ? t.desired - t.available : 0;
	if (t.available >= wanted(&w) - unavailable)
		set(&w, "Available", "True", "MinimumReplicasAvailable",
		    "Deployment has minimum availability.");
	else
		set(&w, "Available", "False", "MinimumReplicasUnavailable",
		    "Deployment does not have minimum availability.");
	set_progressing(&w, newest, ret);
	set_failure(&w, newest);
	ret->status = s;
	ret->status_differs = !same(s, old);
}
