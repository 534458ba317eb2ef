/* SPDX-License-Identifier: Apache-2.0 */
/* The two statuses of a turn: uids of ended pods are written down before their finalizers go, and
 * counted when these have gone. */
#include <string.h>
#include "controller-manager/base/plan/meta.h"
#include "controller-manager/base/plan/pods.h"
#include "controller-manager/job/plan/internal.h"
#include "proto/msg.h"
#include "proto/schema_messages.h"

enum { UNCOUNTED_MAX = 500 };

struct tracker {
	struct job_state *s;
	BatchV1__UncountedTerminatedPods *uncounted; /* a copy that grows */
	int32_t *indexes;
	size_t n_indexes;
	struct job_status_step *out;
};

static bool is_delayed(const struct job_state *s, const CoreV1__Pod *pod)
{
	for (size_t i = 0; i < s->n_delayed; i++)
		if (s->delayed[i] == pod)
			return true;
	return false;
}

static bool may_release(const struct job_state *s, const CoreV1__Pod *pod)
{
	if (s->job->metadata->deletion_timestamp || s->finish ||
	    !strcmp(pod->status->phase, "Succeeded"))
		return true;
	return job_pod_failed(s, pod) && !is_delayed(s, pod);
}

static void count(struct tracker *t, const CoreV1__Pod *pod)
{
	struct job_state *s = t->s;
	BatchV1__UncountedTerminatedPods *u = t->uncounted;
	char *uid = pod->metadata->uid;
	int32_t index = s->indexed ? job_index_of(s, pod) : 0;
	bool counted = true;
	if (!strcmp(pod->status->phase, "Succeeded")) {
		if (job_uid_in(u->failed, u->n_failed, uid))
			return;
		if (s->indexed && index >= 0 && !indexes_has(&s->before, index))
			t->indexes[t->n_indexes++] = index;
		else if (!s->indexed && !job_uid_in(u->succeeded, u->n_succeeded, uid))
			u->succeeded[u->n_succeeded++] = uid;
	} else if (job_pod_failed(s, pod) || (s->finish && !s->finish->success)) {
		/* Of a Job that has failed every pod counts as failed. */
		if (index < 0 || job_uid_in(u->failed, u->n_failed, uid))
			return;
		if (job_pod_failed(s, pod))
			job_policy_match(s, pod, &counted, NULL);
		if (counted)
			u->failed[u->n_failed++] = uid;
	}
}

static void collect(struct tracker *t)
{
	struct job_state *s = t->s;
	const struct job_input *in = s->in;
	BatchV1__UncountedTerminatedPods *u = t->uncounted;
	t->out->release = arena_array(s->arena, const CoreV1__Pod *, in->n_pods);
	for (size_t i = 0; i < in->n_pods; i++) {
		if (!job_pod_tracked(s, in->pods[i]) || !may_release(s, in->pods[i]))
			continue;
		t->out->release[t->out->n_release++] = in->pods[i];
		count(t, in->pods[i]);
		if (t->n_indexes + u->n_succeeded + u->n_failed >= UNCOUNTED_MAX)
			break;
	}
}

/* Those of the list whose pods still have their finalizer; returns how many have not. */
static int32_t settle_uids(const struct job_state *s, const struct job_status_step *track,
                           const bool *gone, char **uids, size_t *n)
{
	struct map still = {0};
	size_t kept = 0;
	for (size_t i = 0; i < s->in->n_pods; i++)
		if (job_pod_tracked(s, s->in->pods[i]))
			map_put_str(&still, s->in->pods[i]->metadata->uid, (void *)(uintptr_t)s);
	for (size_t i = 0; track && i < track->n_release; i++)
		if (gone[i])
			map_del_str(&still, track->release[i]->metadata->uid);
	for (size_t i = 0; i < *n; i++)
		if (map_get_str(&still, uids[i]))
			uids[kept++] = uids[i];
	map_deinit(&still);
	int32_t settled = (int32_t)(*n - kept);
	*n = kept;
	return settled;
}

static char **uids_with_room(const struct job_state *s, char *const *uids, size_t n)
{
	char **list = arena_array(s->arena, char *, n + s->in->n_pods);
	for (size_t i = 0; i < n; i++)
		list[i] = uids[i];
	return list;
}

static BatchV1__UncountedTerminatedPods *
copy_uncounted(const struct job_state *s, const BatchV1__UncountedTerminatedPods *from)
{
	BatchV1__UncountedTerminatedPods *u = arena_memdup(s->arena, from, sizeof(*u));
	u->succeeded = uids_with_room(s, u->succeeded, u->n_succeeded);
	u->failed = uids_with_room(s, u->failed, u->n_failed);
	return u;
}

static void settle_all(struct job_state *s, const struct job_status_step *track, const bool *gone,
                       BatchV1__JobStatus *st)
{
	BatchV1__UncountedTerminatedPods *u = st->uncounted_terminated_pods;
	st->has_succeeded = st->has_failed = 1;
	st->succeeded += settle_uids(s, track, gone, u->succeeded, &u->n_succeeded);
	st->failed += settle_uids(s, track, gone, u->failed, &u->n_failed);
}

static bool differs(const BatchV1__JobStatus *x, const BatchV1__JobStatus *y)
{
	return !msg_equal(&batch_v1__job_status_schema, &x->base, &y->base);
}

void job_track(const struct job_plan *plan, size_t n_created, size_t n_removed, struct arena *a,
               struct job_status_step *ret)
{
	struct job_state *s = plan->state;
	BatchV1__JobStatus *st = s->status;
	struct tracker t = {.s = s,
	                    .uncounted = copy_uncounted(s, st->uncounted_terminated_pods),
	                    .indexes = arena_array(a, int32_t, s->in->n_pods),
	                    .out = ret};
	*ret = (struct job_status_step){.status = st};
	st->uncounted_terminated_pods = t.uncounted;
	/* What was counted by an earlier turn that could not write its second status. */
	settle_all(s, NULL, NULL, st);
	/* While pods may be on their way it is too early to say that it is over. */
	if (s->finish && !s->complete && (n_removed < s->n_active || s->in->expecting))
		s->finish = NULL;
	int32_t ready_removed = 0;
	for (size_t i = 0; i < plan->n_remove && n_removed == plan->n_remove; i++)
		ready_removed += pod_is_ready(plan->remove[i]);
	st->has_active = st->has_ready = st->has_terminating = 1;
	st->active = (int32_t)(s->n_active + n_created - n_removed);
	st->ready = s->ready - ready_removed;
	st->terminating = s->ending + (int32_t)n_removed;
	collect(&t);
	if (s->indexed) {
		struct indexes more = indexes_of(t.indexes, t.n_indexes, a);
		struct indexes all = indexes_union(&s->before, &more, a);
		st->completed_indexes = TEXT(indexes_format(&all, a));
		st->succeeded = (int32_t)indexes_total(&all);
	}
	if (s->per_index)
		st->failed_indexes = TEXT(indexes_format(&s->failed, a));
	if (s->finish && !s->finish_known)
		job_condition_set(s, s->finish->success ? "SuccessCriteriaMet" : "FailureTarget",
		                  "True", s->finish->reason, s->finish->message);
	ret->differs = differs(st, s->job->status);
}

/* The Job is over when every pod is counted and none is ending. */
static void conclude(struct job_state *s, struct job_status_step *ret)
{
	const BatchV1__UncountedTerminatedPods *u = ret->status->uncounted_terminated_pods;
	const BatchV1__JobSpec *spec = s->job->spec;
	if (!s->finish || u->n_succeeded || u->n_failed || ret->status->terminating > 0 ||
	    ret->status->active > 0)
		return;
	ret->events = arena_array(s->arena, struct job_event, 2);
	if (s->finish->success) {
		if (spec->has_completions && ret->status->succeeded > spec->completions)
			ret->events[ret->n_events++] = (struct job_event){
			    true, "TooManySucceededPods",
			    "Too many succeeded pods running after completion count reached"};
		ret->status->completion_time = meta_time(s->arena, s->in->now_s);
		ret->events[ret->n_events++] =
		    (struct job_event){false, "Completed", "Job completed"};
	} else {
		ret->events[ret->n_events++] =
		    (struct job_event){true, s->finish->reason, s->finish->message};
	}
	job_condition_set(s, s->finish->success ? "Complete" : "Failed", "True", s->finish->reason,
	                  s->finish->message);
}

void job_settle(const struct job_plan *plan, const struct job_status_step *track, const bool *gone,
                struct arena *a, struct job_status_step *ret)
{
	struct job_state *s = plan->state;
	BatchV1__JobStatus *st = arena_memdup(a, s->status, sizeof(*st));
	s->status = st;
	st->uncounted_terminated_pods = copy_uncounted(s, track->status->uncounted_terminated_pods);
	*ret = (struct job_status_step){.status = st};
	settle_all(s, track, gone, st);
	conclude(s, ret);
	ret->differs = differs(st, track->status);
}
