/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/job/plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "controller-manager/base/plan/meta.h"
#include "controller-manager/base/plan/pods.h"
#include "controller-manager/job/plan/internal.h"

const BatchV1__JobCondition *job_condition(const BatchV1__JobStatus *status, const char *type)
{
	for (size_t i = 0; i < status->n_conditions; i++)
		if (!strcmp(status->conditions[i]->type, type))
			return status->conditions[i];
	return NULL;
}

static bool condition_true(const BatchV1__Job *job, const char *type)
{
	const BatchV1__JobCondition *c = job_condition(job->status, type);
	return c && !strcmp(c->status, "True");
}

bool job_is_finished(const BatchV1__Job *job)
{
	return condition_true(job, "Complete") || condition_true(job, "Failed");
}

bool job_is_ours(const BatchV1__Job *job)
{
	const char *by = job->spec->managed_by;
	return !by || !strcmp(by, "kubernetes.io/job-controller");
}

void job_condition_set(struct job_state *s, const char *type, const char *status,
                       const char *reason, const char *message)
{
	BatchV1__JobStatus *st = s->status;
	BatchV1__JobCondition *c = arena_new(s->arena, BatchV1__JobCondition);
	BatchV1__JobCondition **list =
	    arena_array(s->arena, BatchV1__JobCondition *, st->n_conditions + 1);
	size_t at = 0;
	*c = (BatchV1__JobCondition)BATCH_V1__JOB_CONDITION__INIT;
	c->type = TEXT(type);
	c->status = TEXT(status);
	c->reason = TEXT(reason);
	c->message = TEXT(message);
	c->last_probe_time = c->last_transition_time = meta_time(s->arena, s->in->now_s);
	for (size_t i = 0; i < st->n_conditions; i++)
		list[i] = st->conditions[i];
	while (at < st->n_conditions && strcmp(list[at]->type, type))
		at++;
	list[at] = c;
	st->n_conditions = MAX(st->n_conditions, at + 1);
	st->conditions = list;
}

/* --- what the pods say --- */

/* Ended, with its finalizer, and not among the uncounted ones. */
static bool is_fresh(const struct job_state *s, const CoreV1__Pod *pod)
{
	const BatchV1__UncountedTerminatedPods *u = s->status->uncounted_terminated_pods;
	const char *uid = pod->metadata->uid;
	if (!job_pod_tracked(s, pod) || (s->indexed && job_index_of(s, pod) < 0))
		return false;
	if (!strcmp(pod->status->phase, "Succeeded"))
		return !job_uid_in(u->succeeded, u->n_succeeded, uid);
	return job_pod_failed(s, pod) && !job_uid_in(u->failed, u->n_failed, uid);
}

static void sort_pods_out(struct job_state *s)
{
	const struct job_input *in = s->in;
	const BatchV1__UncountedTerminatedPods *u = s->status->uncounted_terminated_pods;
	s->active = arena_array(s->arena, const CoreV1__Pod *, in->n_pods);
	s->fresh = arena_array(s->arena, const CoreV1__Pod *, in->n_pods);
	s->n_succeeded = s->status->succeeded + (int64_t)u->n_succeeded;
	s->n_failed = s->status->failed + (int64_t)u->n_failed;
	for (size_t i = 0; i < in->n_pods; i++) {
		const CoreV1__Pod *pod = in->pods[i];
		bool counted = true;
		if (pod_is_active(pod)) {
			s->active[s->n_active++] = pod;
			s->ready += pod_is_ready(pod);
		} else if (!pod_has_ended(pod)) {
			s->ending++;
		}
		if (!is_fresh(s, pod))
			continue;
		s->fresh[s->n_fresh++] = pod;
		if (!strcmp(pod->status->phase, "Succeeded")) {
			s->n_succeeded++;
		} else {
			job_policy_match(s, pod, &counted, NULL);
			s->n_failed += counted;
		}
	}
}

/* Indexes that pods with finalizers add to those of the status. */
static struct indexes add_indexes(struct job_state *s, const struct indexes *have, bool failed)
{
	int32_t *list = arena_array(s->arena, int32_t, s->in->n_pods);
	size_t n = 0;
	for (size_t i = 0; i < s->in->n_pods; i++) {
		const CoreV1__Pod *pod = s->in->pods[i];
		int32_t index = job_index_of(s, pod);
		if (index < 0 || !job_pod_tracked(s, pod))
			continue;
		if (failed ? job_pod_failed(s, pod) && job_index_failed(s, pod)
		           : !strcmp(pod->status->phase, "Succeeded"))
			list[n++] = index;
	}
	struct indexes more = indexes_of(list, n, s->arena);
	return indexes_union(have, &more, s->arena);
}

static struct indexes active_indexes(const struct job_state *s)
{
	int32_t *list = arena_array(s->arena, int32_t, s->in->n_pods);
	size_t n = 0;
	for (size_t i = 0; i < s->in->n_pods; i++) {
		const CoreV1__Pod *pod = s->in->pods[i];
		bool counts = pod_is_active(pod) || (s->only_failed && !pod_has_ended(pod));
		int32_t index = job_index_of(s, pod);
		if (counts && index >= 0)
			list[n++] = index;
	}
	return indexes_of(list, n, s->arena);
}

static int32_t absolute_failures(const CoreV1__Pod *pod)
{
	return job_annotation(pod, FAILURES_ANNOTATION) + job_annotation(pod, IGNORED_ANNOTATION);
}

/* Of each index without a pod the one that failed last: it keeps its finalizer, for it knows how
 * often the index has failed. */
static void find_delayed(struct job_state *s)
{
	struct indexes active = active_indexes(s);
	s->delayed = arena_array(s->arena, const CoreV1__Pod *, s->in->n_pods);
	for (size_t i = 0; i < s->in->n_pods; i++) {
		const CoreV1__Pod *pod = s->in->pods[i];
		int32_t index = job_index_of(s, pod);
		size_t at = 0;
		if (index < 0 || !job_pod_tracked(s, pod) || !job_pod_failed(s, pod) ||
		    indexes_has(&active, index) || indexes_has(&s->succeeded, index) ||
		    indexes_has(&s->failed, index))
			continue;
		while (at < s->n_delayed && job_index_of(s, s->delayed[at]) != index)
			at++;
		if (at == s->n_delayed)
			s->delayed[s->n_delayed++] = pod;
		else if (absolute_failures(s->delayed[at]) <= absolute_failures(pod))
			s->delayed[at] = pod;
	}
}

/* --- how it ends --- */

static const struct job_finish *finish(struct job_state *s, bool success, const char *reason,
                                       const char *message)
{
	struct job_finish *f = arena_new(s->arena, struct job_finish);
	*f = (struct job_finish){success, reason, message};
	return f;
}

static const struct job_finish *finish_known(struct job_state *s)
{
	bool success = condition_true(s->job, "SuccessCriteriaMet");
	if (!success && !condition_true(s->job, "FailureTarget"))
		return NULL;
	const BatchV1__JobCondition *c =
	    job_condition(s->job->status, success ? "SuccessCriteriaMet" : "FailureTarget");
	s->finish_known = true;
	return finish(s, success, c->reason, c->message);
}

static const struct job_finish *finish_by_policy(struct job_state *s)
{
	for (size_t i = 0; s->job->spec->pod_failure_policy && i < s->in->n_pods; i++) {
		const char *message = NULL;
		bool counted;
		if (!job_pod_failed(s, s->in->pods[i]))
			continue;
		job_policy_match(s, s->in->pods[i], &counted, &message);
		if (message)
			return finish(s, false, "PodFailurePolicy", message);
	}
	return NULL;
}

/* Restarts in place count as failures where containers are restarted. */
static bool restarts_exceed(const struct job_state *s)
{
	const BatchV1__JobSpec *spec = s->job->spec;
	int64_t restarts = 0;
	if (!spec->has_backoff_limit || !spec->template_->spec ||
	    strcmp(spec->template_->spec->restart_policy, "OnFailure"))
		return false;
	for (size_t i = 0; i < s->n_active; i++) {
		const CoreV1__PodStatus *st = s->active[i]->status;
		for (size_t k = 0; k < st->n_init_container_statuses; k++)
			restarts += st->init_container_statuses[k]->restart_count;
		for (size_t k = 0; k < st->n_container_statuses; k++)
			restarts += st->container_statuses[k]->restart_count;
	}
	return spec->backoff_limit ? restarts >= spec->backoff_limit : restarts > 0;
}

static const struct job_finish *finish_by_limits(struct job_state *s, struct job_plan *ret)
{
	const BatchV1__JobSpec *spec = s->job->spec;
	const MetaV1__Time *start = s->status->start_time;
	if ((spec->has_backoff_limit && s->n_failed > spec->backoff_limit) || restarts_exceed(s))
		return finish(s, false, "BackoffLimitExceeded",
		              "Job has reached the specified backoff limit");
	if (spec->has_active_deadline_seconds && start && !s->suspended) {
		int64_t deadline = start->seconds + spec->active_deadline_seconds;
		if (s->in->now_s >= deadline)
			return finish(s, false, "DeadlineExceeded",
			              "Job was active longer than specified deadline");
		ret->recheck_s = deadline;
	}
	return NULL;
}

static const struct job_finish *finish_by_indexes(struct job_state *s)
{
	const BatchV1__JobSpec *spec = s->job->spec;
	int64_t failed = indexes_total(&s->failed);
	if (s->per_index && spec->has_max_failed_indexes && failed > spec->max_failed_indexes)
		return finish(s, false, "MaxFailedIndexesExceeded",
		              "Job has exceeded the specified maximal number of failed indexes");
	if (s->per_index && failed && failed + indexes_total(&s->succeeded) >= spec->completions)
		return finish(s, false, "FailedIndexes", "Job has failed indexes");
	int rule = job_success_rule(s);
	if (rule >= 0)
		return finish(s, true, "SuccessPolicy",
		              arena_printf(s->arena, "Matched rules at index %d", rule));
	return NULL;
}

static void decide_finish(struct job_state *s, struct job_plan *ret)
{
	s->finish = finish_known(s);
	if (!s->finish)
		s->finish = finish_by_policy(s);
	if (!s->finish)
		s->finish = finish_by_limits(s, ret);
	if (!s->finish && s->indexed)
		s->finish = finish_by_indexes(s);
}

/* --- back-off --- */

static int pod_end_cmp(const void *x, const void *y)
{
	int64_t a = job_pod_end_s(*(CoreV1__Pod *const *)x, 0);
	int64_t b = job_pod_end_s(*(CoreV1__Pod *const *)y, 0);
	return (a > b) - (a < b);
}

/* Failures since the last success, with the pods that ended since the last turn. */
static struct job_memory remember(struct job_state *s)
{
	struct job_memory m = s->in->memory;
	if (s->n_fresh)
		qsort(s->fresh, s->n_fresh, sizeof(*s->fresh), pod_end_cmp);
	for (size_t i = 0; i < s->n_fresh; i++) {
		if (!strcmp(s->fresh[i]->status->phase, "Succeeded")) {
			m = (struct job_memory){0};
			continue;
		}
		m.failures++;
		m.last_failure_s = job_pod_end_s(s->fresh[i], s->in->now_s);
	}
	return m;
}

/* When the next pod may be made. */
static int64_t ready_again_s(int32_t failures, int64_t last_failure_s)
{
	if (failures <= 0)
		return 0;
	int64_t wait = failures > 7 ? BACKOFF_MAX_S : (int64_t)BACKOFF_MIN_S << (failures - 1);
	return last_failure_s + MIN(wait, (int64_t)BACKOFF_MAX_S);
}

static void recheck_at(struct job_plan *ret, int64_t at_s)
{
	if (!ret->recheck_s || at_s < ret->recheck_s)
		ret->recheck_s = at_s;
}

/* --- pods to make --- */

static const CoreV1__Pod *delayed_of(const struct job_state *s, int32_t index)
{
	for (size_t i = 0; i < s->n_delayed; i++)
		if (job_index_of(s, s->delayed[i]) == index)
			return s->delayed[i];
	return NULL;
}

/* A new pod of an index that failed before, when its back-off is over. */
static bool replace_index(struct job_state *s, int32_t index, struct job_pod *p,
                          struct job_plan *ret)
{
	const CoreV1__Pod *old = delayed_of(s, index);
	bool counted;
	*p = (struct job_pod){.index = index};
	if (!old)
		return true;
	int64_t at = ready_again_s(absolute_failures(old) + 1, job_pod_end_s(old, s->in->now_s));
	if (at > s->in->now_s) {
		recheck_at(ret, at);
		return false;
	}
	job_policy_match(s, old, &counted, NULL);
	p->failures = job_annotation(old, FAILURES_ANNOTATION) + counted;
	p->ignored_failures = job_annotation(old, IGNORED_ANNOTATION) + !counted;
	return true;
}

static void create_indexed(struct job_state *s, size_t n, struct job_plan *ret)
{
	struct indexes active = active_indexes(s);
	struct indexes taken = indexes_union(&s->succeeded, &active, s->arena);
	int32_t *list = arena_array(s->arena, int32_t, n);
	taken = indexes_union(&taken, &s->failed, s->arena);
	n = indexes_missing(&taken, s->job->spec->completions, n, list);
	for (size_t i = 0; i < n; i++) {
		struct job_pod *p = &ret->create[ret->n_create];
		if (!s->per_index)
			*p = (struct job_pod){.index = list[i], .failures = -1};
		else if (!replace_index(s, list[i], p, ret))
			continue;
		ret->n_create++;
	}
}

static void plan_create(struct job_state *s, int64_t n, struct job_plan *ret)
{
	int64_t at = ready_again_s(ret->memory.failures, ret->memory.last_failure_s);
	if (!s->per_index && at > s->in->now_s) {
		recheck_at(ret, at);
		return;
	}
	n = MIN(n, (int64_t)JOB_PODS_PER_TURN);
	ret->create = arena_array(s->arena, struct job_pod, n);
	if (s->indexed) {
		create_indexed(s, (size_t)n, ret);
		return;
	}
	for (; ret->n_create < (size_t)n; ret->n_create++)
		ret->create[ret->n_create] = (struct job_pod){.index = -1, .failures = -1};
}

/* --- pods to delete --- */

/* Pods of no index, and of an index all but the one that has come furthest, go first. */
static size_t surplus_of_indexes(struct job_state *s, const CoreV1__Pod **sorted,
                                 const CoreV1__Pod **out, size_t *ret_left)
{
	struct map seen = {0};
	size_t n = 0, left = 0;
	for (size_t i = s->n_active; i-- > 0;) {
		int32_t index = job_index_of(s, sorted[i]);
		if (index < 0 || map_put(&seen, slice_of(&index, sizeof(index)), s))
			out[n++] = sorted[i];
		else
			sorted[s->n_active - ++left] = sorted[i];
	}
	map_deinit(&seen);
	*ret_left = left;
	return n;
}

static void plan_remove(struct job_state *s, size_t at_least, struct job_plan *ret)
{
	const CoreV1__Pod **sorted =
	    arena_memdup(s->arena, s->active, (s->n_active + 1) * sizeof(*s->active));
	size_t n = 0, left = s->n_active;
	ret->remove = arena_array(s->arena, const CoreV1__Pod *, s->n_active);
	pods_sort_victims(sorted, NULL, s->n_active, s->in->now_s, s->arena);
	if (s->indexed)
		n = surplus_of_indexes(s, sorted, ret->remove, &left);
	for (const CoreV1__Pod **p = sorted + (s->n_active - left); n < at_least && left; left--)
		ret->remove[n++] = *p++;
	ret->n_remove = MIN(n, (size_t)JOB_PODS_PER_TURN);
}

static int64_t wanted_pods(const struct job_state *s)
{
	const BatchV1__JobSpec *spec = s->job->spec;
	int64_t parallelism = spec->has_parallelism ? spec->parallelism : 1;
	if (s->suspended)
		return 0;
	/* Without a number of completions the first success ends it: those that run go on. */
	if (!spec->has_completions)
		return s->n_succeeded ? (int64_t)s->n_active : parallelism;
	int64_t left = spec->completions - s->n_succeeded - indexes_total(&s->failed);
	return MAX(MIN(left, parallelism), 0);
}

static void plan_pods(struct job_state *s, struct job_plan *ret)
{
	int64_t want = wanted_pods(s), have = (int64_t)s->n_active;
	plan_remove(s, (size_t)MAX(have - want, 0), ret);
	ret->uncounted = true;
	if (ret->n_remove || s->suspended)
		return;
	if (s->only_failed)
		have += s->ending;
	if (want > have)
		plan_create(s, want - have, ret);
}

/* --- conditions --- */

static void tell(struct job_plan *ret, const char *reason, const char *message)
{
	ret->events[ret->n_events++] = (struct job_event){false, reason, message};
}

static void plan_suspension(struct job_state *s, struct job_plan *ret)
{
	bool was = condition_true(s->job, "Suspended");
	ret->events = arena_array(s->arena, struct job_event, 1);
	if (s->suspended && !was) {
		job_condition_set(s, "Suspended", "True", "JobSuspended", "Job suspended");
		tell(ret, "Suspended", "Job suspended");
	} else if (!s->suspended && was) {
		job_condition_set(s, "Suspended", "False", "JobResumed", "Job resumed");
		s->status->start_time = meta_time(s->arena, s->in->now_s);
		tell(ret, "Resumed", "Job resumed");
	}
}

static bool is_complete(const struct job_state *s)
{
	if (s->n_active)
		return false;
	return s->job->spec->has_completions ? s->n_succeeded >= s->job->spec->completions
	                                     : s->n_succeeded > 0;
}

static void complete(struct job_state *s)
{
	if (!is_complete(s))
		return;
	s->complete = true;
	s->finish =
	    finish(s, true, "CompletionsReached", "Reached expected number of succeeded pods");
}

static struct job_state *state_new(const struct job_input *in, struct arena *a)
{
	struct job_state *s = arena_new(a, struct job_state);
	const BatchV1__JobSpec *spec = in->job->spec;
	*s = (struct job_state){.in = in, .job = in->job, .arena = a};
	s->indexed = spec->completion_mode && !strcmp(spec->completion_mode, "Indexed");
	s->per_index = s->indexed && spec->has_backoff_limit_per_index;
	s->suspended = spec->has_suspend && spec->suspend;
	s->only_failed =
	    (spec->pod_replacement_policy && !strcmp(spec->pod_replacement_policy, "Failed")) ||
	    (!spec->pod_replacement_policy && spec->pod_failure_policy);
	s->status = arena_memdup(a, in->job->status, sizeof(*s->status));
	if (!s->status->uncounted_terminated_pods) {
		s->status->uncounted_terminated_pods =
		    arena_new(a, BatchV1__UncountedTerminatedPods);
		*s->status->uncounted_terminated_pods =
		    (BatchV1__UncountedTerminatedPods)BATCH_V1__UNCOUNTED_TERMINATED_PODS__INIT;
	}
	return s;
}

void job_plan(const struct job_input *in, struct arena *a, struct job_plan *ret)
{
	*ret = (struct job_plan){.memory = in->memory};
	if (!job_is_ours(in->job) || job_is_finished(in->job)) {
		ret->nothing = true;
		return;
	}
	struct job_state *s = ret->state = state_new(in, a);
	sort_pods_out(s);
	ret->memory = remember(s);
	if (!s->status->start_time && !s->suspended)
		s->status->start_time = meta_time(a, in->now_s);
	if (s->indexed) {
		s->before = indexes_parse(in->job->status->completed_indexes,
		                          in->job->spec->completions, a);
		s->succeeded = add_indexes(s, &s->before, false);
		s->n_succeeded = indexes_total(&s->succeeded);
	}
	if (s->per_index) {
		s->failed =
		    indexes_parse(in->job->status->failed_indexes, in->job->spec->completions, a);
		s->failed = add_indexes(s, &s->failed, true);
	}
	decide_finish(s, ret);
	if (s->per_index)
		find_delayed(s);
	if (s->finish) {
		ret->remove = s->active;
		ret->n_remove = s->n_active;
	} else if (!in->expecting && !in->job->metadata->deletion_timestamp) {
		plan_pods(s, ret);
		complete(s);
		if (!s->finish)
			plan_suspension(s, ret);
	} else {
		complete(s);
	}
}
