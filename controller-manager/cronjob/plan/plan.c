/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/cronjob/plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "common/codec/rfc3339.h"
#include "controller-manager/base/plan/meta.h"
#include "controller-manager/base/plan/owner.h"
#include "proto/msg.h"
#include "proto/pb_decode.h"
#include "proto/schema_messages.h"

#define TEXT(s) ((char *)(uintptr_t)(s))
enum { MISSED_MAX = 100 };

struct planner {
	const struct cronjob_input *in;
	const BatchV1__CronJob *cj;
	struct arena *arena;
	struct cronjob_plan *out;
	struct cron cron;
};

static void tell(struct planner *p, bool warning, const char *reason, const char *message)
{
	p->out->events[p->out->n_events++] = (struct cronjob_event){warning, reason, message};
}

/* "Complete", "Failed", or NULL while it runs. */
static const BatchV1__JobCondition *finish_of(const BatchV1__Job *job)
{
	for (size_t i = 0; i < job->status->n_conditions; i++) {
		const BatchV1__JobCondition *c = job->status->conditions[i];
		if (!strcmp(c->status, "True") &&
		    (!strcmp(c->type, "Complete") || !strcmp(c->type, "Failed")))
			return c;
	}
	return NULL;
}

/* --- the list of active Jobs --- */

static bool drop_active(BatchV1__CronJobStatus *s, const char *uid)
{
	size_t n = 0, had = s->n_active;
	for (size_t i = 0; i < had; i++)
		if (strcmp(s->active[i]->uid, uid))
			s->active[n++] = s->active[i];
	s->n_active = n;
	return n < had;
}

static bool is_active(const BatchV1__CronJobStatus *s, const char *uid)
{
	for (size_t i = 0; i < s->n_active; i++)
		if (!strcmp(s->active[i]->uid, uid))
			return true;
	return false;
}

static int64_t seconds_of(const MetaV1__Time *t)
{
	return t ? t->seconds : 0;
}

static void look_at_jobs(struct planner *p)
{
	BatchV1__CronJobStatus *s = p->out->status;
	for (size_t i = 0; i < p->in->n_jobs; i++) {
		const BatchV1__Job *job = p->in->jobs[i];
		const BatchV1__JobCondition *end = finish_of(job);
		const char *name = job->metadata->name;
		if (!end && !is_active(s, job->metadata->uid))
			tell(p, true, "UnexpectedJob",
			     arena_printf(
			         p->arena,
			         "Saw a job that the controller did not create or forgot: %s",
			         name));
		if (end && drop_active(s, job->metadata->uid))
			tell(p, false, "SawCompletedJob",
			     arena_printf(p->arena, "Saw completed job: %s, condition: %s", name,
			                  end->type));
		const MetaV1__Time *done = job->status->completion_time;
		if (end && !strcmp(end->type, "Complete") && done &&
		    seconds_of(done) > seconds_of(s->last_successful_time))
			s->last_successful_time = meta_time(p->arena, done->seconds);
	}
}

static void drop_missing(struct planner *p)
{
	BatchV1__CronJobStatus *s = p->out->status;
	for (size_t i = 0; i < s->n_active;) {
		const CoreV1__ObjectReference *ref = s->active[i];
		size_t k = 0;
		while (k < p->in->n_jobs && strcmp(p->in->jobs[k]->metadata->uid, ref->uid))
			k++;
		/* One that was made just now may not be seen yet. */
		if (k < p->in->n_jobs || p->in->now_s - seconds_of(s->last_schedule_time) < 60) {
			i++;
			continue;
		}
		tell(p, false, "MissingJob",
		     arena_printf(p->arena, "Active job went missing: %s", ref->name));
		drop_active(s, ref->uid);
	}
}

/* --- history --- */

static int start_cmp(const void *x, const void *y)
{
	const BatchV1__Job *a = *(BatchV1__Job *const *)x, *b = *(BatchV1__Job *const *)y;
	int64_t ta = seconds_of(a->status->start_time), tb = seconds_of(b->status->start_time);
	return ta != tb ? (ta < tb ? -1 : 1) : strcmp(a->metadata->name, b->metadata->name);
}

static void put_remove(struct planner *p, const BatchV1__Job *job)
{
	p->out->remove[p->out->n_remove++] = job;
}

static void clean_up(struct planner *p, const char *type, bool has_limit, int32_t limit)
{
	const BatchV1__Job **list = arena_array(p->arena, const BatchV1__Job *, p->in->n_jobs);
	size_t n = 0, keep = limit > 0 ? (size_t)limit : 0;
	for (size_t i = 0; i < p->in->n_jobs; i++) {
		const BatchV1__JobCondition *end = finish_of(p->in->jobs[i]);
		if (end && !strcmp(end->type, type) &&
		    !p->in->jobs[i]->metadata->deletion_timestamp)
			list[n++] = p->in->jobs[i];
	}
	if (!has_limit || n <= keep)
		return;
	qsort(list, n, sizeof(*list), start_cmp);
	for (size_t i = 0; i < n - keep; i++)
		put_remove(p, list[i]);
}

/* --- times --- */

static int64_t next(const struct planner *p, int64_t after_s)
{
	return cron_next(&p->cron, after_s, p->in->offset, p->in->offset_arg);
}

/* The newest time that is due since the last one; 0: none. Counts from the end when many were
 * missed, so that a clock that jumps costs nothing. */
static int64_t due(struct planner *p)
{
	const BatchV1__CronJobSpec *spec = p->cj->spec;
	int64_t from = seconds_of(p->cj->status->last_schedule_time), now = p->in->now_s;
	if (!from)
		from = seconds_of(p->cj->metadata->creation_timestamp);
	if (spec->has_starting_deadline_seconds)
		from = MAX(from, now - spec->starting_deadline_seconds);
	int64_t first = next(p, from);
	if (first < 0 || first > now)
		return 0;
	int64_t second = next(p, first), latest = first;
	if (second < 0 || second > now)
		return first;
	int64_t between = MAX(second - first, 1), missed = (now - first) / between + 1;
	int64_t at = missed > 2 ? first + (missed - 2) * between : first;
	for (; at >= 0 && at <= now; at = next(p, at))
		latest = at;
	/* The place from which was counted need not be a time of the schedule. */
	if (missed > 2 && latest == first + (missed - 2) * between)
		latest = next(p, latest - 1) == latest ? latest : first;
	if (missed > MISSED_MAX)
		tell(
		    p, true, "TooManyMissedTimes",
		    "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or "
		    "check clock skew");
	return latest;
}

/* --- the new Job --- */

static const char *job_name(const struct planner *p, int64_t scheduled_s)
{
	return arena_printf(p->arena, "%s-%lld", p->cj->metadata->name,
	                    (long long)(scheduled_s / 60));
}

/* RFC 3339 in the time zone of the schedule. */
static const char *local_time(const struct planner *p, int64_t s)
{
	int64_t offset = p->in->offset ? p->in->offset(s, p->in->offset_arg) : 0;
	char text[RFC3339_BYTES];
	size_t n = rfc3339_format(s + offset, text);
	if (!offset)
		return arena_strdup(p->arena, text);
	int64_t east = offset < 0 ? -offset : offset;
	return arena_printf(p->arena, "%.*s%c%02d:%02d", (int)n - 1, text, offset < 0 ? '-' : '+',
	                    (int)(east / 3600), (int)(east % 3600 / 60));
}

static BatchV1__Job *make_job(const struct planner *p, int64_t scheduled_s)
{
	const BatchV1__JobTemplateSpec *t = p->cj->spec->job_template;
	BatchV1__Job *job = (BatchV1__Job *)pb_new(&batch_v1__job_schema, p->arena);
	MetaV1__ObjectMeta *meta = job->metadata;
	if (t->metadata) {
		meta->labels = t->metadata->labels;
		meta->n_labels = t->metadata->n_labels;
		meta->annotations = t->metadata->annotations;
		meta->n_annotations = t->metadata->n_annotations;
	}
	meta->name = arena_strdup(p->arena, job_name(p, scheduled_s));
	meta->namespace_ = p->cj->metadata->namespace_;
	meta_set_annotation(meta, p->arena, "batch.kubernetes.io/cronjob-scheduled-timestamp",
	                    local_time(p, scheduled_s));
	owner_set(meta, "batch/v1", "CronJob", p->cj->metadata->name, p->cj->metadata->uid,
	          p->arena);
	job->spec = t->spec;
	return job;
}

static bool is_started(const struct planner *p, int64_t scheduled_s)
{
	const BatchV1__CronJobStatus *s = p->out->status;
	const char *name = job_name(p, scheduled_s);
	for (size_t i = 0; i < s->n_active; i++)
		if (!strcmp(s->active[i]->name, name))
			return true;
	return seconds_of(s->last_schedule_time) == scheduled_s;
}

/* The running Jobs make room. */
static void replace_active(struct planner *p)
{
	for (size_t i = 0; i < p->in->n_jobs; i++)
		if (is_active(p->out->status, p->in->jobs[i]->metadata->uid)) {
			put_remove(p, p->in->jobs[i]);
			drop_active(p->out->status, p->in->jobs[i]->metadata->uid);
		}
}

static void plan_start(struct planner *p)
{
	const BatchV1__CronJobSpec *spec = p->cj->spec;
	int64_t scheduled = due(p);
	if (!scheduled)
		return;
	if (spec->has_starting_deadline_seconds &&
	    scheduled + spec->starting_deadline_seconds < p->in->now_s) {
		tell(p, true, "MissSchedule",
		     arena_printf(p->arena, "Missed scheduled time to start a job: %s",
		                  local_time(p, scheduled)));
	} else if (is_started(p, scheduled)) {
		return;
	} else if (!strcmp(spec->concurrency_policy, "Forbid") && p->out->status->n_active) {
		tell(
		    p, false, "JobAlreadyActive",
		    "Not starting job because prior execution is running and concurrency policy is "
		    "Forbid");
	} else {
		if (!strcmp(spec->concurrency_policy, "Replace"))
			replace_active(p);
		p->out->start = make_job(p, scheduled);
		p->out->scheduled_s = scheduled;
	}
}

static void plan_schedule(struct planner *p)
{
	const BatchV1__CronJobSpec *spec = p->cj->spec;
	if (p->cj->metadata->deletion_timestamp || (spec->has_suspend && spec->suspend))
		return;
	const char *error = cron_parse(spec->schedule, p->arena, &p->cron);
	if (p->in->zone_error) {
		tell(p, true, "UnknownTimeZone",
		     arena_printf(p->arena, "invalid timeZone: \"%s\": %s",
		                  spec->time_zone ? spec->time_zone : "", p->in->zone_error));
		return;
	}
	if (error) {
		tell(p, true, "UnparseableSchedule",
		     arena_printf(p->arena, "unparseable schedule: \"%s\" : %s", spec->schedule,
		                  error));
		return;
	}
	plan_start(p);
	int64_t from = p->in->now_s;
	if (p->cron.every_s) {
		/* Counted from the last time, which this one becomes. */
		int64_t last = p->out->start ? p->out->scheduled_s
		                             : seconds_of(p->cj->status->last_schedule_time);
		from = MAX(last ? last : seconds_of(p->cj->metadata->creation_timestamp),
		           p->in->now_s - p->cron.every_s + 1);
	}
	p->out->next_s = MAX(next(p, from), 0);
}

void cronjob_plan(const struct cronjob_input *in, struct arena *a, struct cronjob_plan *ret)
{
	const BatchV1__CronJobSpec *spec = in->cj->spec;
	const BatchV1__CronJobStatus *old = in->cj->status;
	struct planner p = {.in = in, .cj = in->cj, .arena = a, .out = ret};
	BatchV1__CronJobStatus *s = arena_memdup(a, old, sizeof(*old));
	*ret = (struct cronjob_plan){
	    .status = s,
	    .remove = arena_array(a, const BatchV1__Job *, in->n_jobs * 2),
	    .events = arena_array(a, struct cronjob_event, in->n_jobs * 2 + old->n_active + 4)};
	/* Room for the Job that may be started. */
	s->active = arena_array(a, CoreV1__ObjectReference *, old->n_active + 1);
	for (size_t i = 0; i < old->n_active; i++)
		s->active[i] = old->active[i];
	look_at_jobs(&p);
	drop_missing(&p);
	clean_up(&p, "Complete", spec->has_successful_jobs_history_limit,
	         spec->successful_jobs_history_limit);
	clean_up(&p, "Failed", spec->has_failed_jobs_history_limit,
	         spec->failed_jobs_history_limit);
	plan_schedule(&p);
	ret->status_differs = !msg_equal(&batch_v1__cron_job_status_schema, &s->base, &old->base);
}

BatchV1__CronJobStatus *cronjob_started(const struct cronjob_plan *p, const BatchV1__Job *made,
                                        struct arena *a)
{
	BatchV1__CronJobStatus *s = p->status;
	CoreV1__ObjectReference *ref = arena_new(a, CoreV1__ObjectReference);
	*ref = (CoreV1__ObjectReference)CORE_V1__OBJECT_REFERENCE__INIT;
	ref->kind = TEXT("Job");
	ref->api_version = TEXT("batch/v1");
	ref->namespace_ = made->metadata->namespace_;
	ref->name = made->metadata->name;
	ref->uid = made->metadata->uid;
	ref->resource_version = made->metadata->resource_version;
	ref->field_path = TEXT("");
	s->active[s->n_active++] = ref;
	s->last_schedule_time = meta_time(a, p->scheduled_s);
	return s;
}
