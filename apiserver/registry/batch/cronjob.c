/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/apps/kinds.h"
#include "apiserver/registry/apps/workload.h"
#include "common/codec/cron.h"
#include "apiserver/registry/batch/job.h"
#include "apiserver/registry/core/pod.h"
#include "apiserver/registry/row.h"

enum { NAME_MAX_BYTES = 52 };

static void defaults(const struct strategy_ctx *ctx, struct object *obj)
{
	BatchV1__CronJobSpec *s = OBJECT_MSG(obj, BatchV1__CronJob)->spec;

	if (!*s->concurrency_policy)
		s->concurrency_policy = arena_strdup(ctx->arena, "Allow");
	if (!s->has_suspend)
		SET(s, suspend, 0);
	if (!s->has_successful_jobs_history_limit)
		SET(s, successful_jobs_history_limit, 3);
	if (!s->has_failed_jobs_history_limit)
		SET(s, failed_jobs_history_limit, 1);
	job_rules_default(ctx->arena, s->job_template->spec);
}

static void check_schedule(errs_t errs, const BatchV1__CronJobSpec *s)
{
	path_t p = FIELD(NULL, "spec.schedule");
	const char *error;

	if (!*s->schedule) {
		field_required(errs, p, "");
		return;
	}
	if (strstr(s->schedule, "TZ")) {
		field_invalid(errs, p, s->schedule,
		              "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
		return;
	}
	error = cron_error(s->schedule, errs->arena);
	if (error)
		field_invalid(errs, p, s->schedule, error);
}

static void check_time_zone(errs_t errs, const char *zone)
{
	path_t p = FIELD(NULL, "spec.timeZone");

	if (!zone)
		return;
	if (!*zone)
		field_invalid(errs, p, zone, "timeZone must be nil or non-empty string");
	else if (!strcmp(zone, "Local"))
		field_invalid(errs, p, zone,
		              "timeZone must be an explicit time zone as defined in "
		              "https://www.iana.org/time-zones");
	else if (!time_zone_is_known(zone))
		field_invalid(errs, p, zone,
		              arena_printf(errs->arena, "unknown time zone %s", zone));
}

static void validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const BatchV1__CronJobSpec *s = OBJECT_MSG(obj, BatchV1__CronJob)->spec;
	path_t p = FIELD(NULL, "spec");

	check_schedule(errs, s);
	check_time_zone(errs, s->time_zone);
	if (s->has_starting_deadline_seconds)
		check_nonneg(errs, FIELD(p, "startingDeadlineSeconds"),
		             s->starting_deadline_seconds);
	check_required_enum(errs, FIELD(p, "concurrencyPolicy"), s->concurrency_policy,
	                    LIST("Allow", "Forbid", "Replace"));
	job_template_check(ctx, errs, FIELD(p, "jobTemplate"), s->job_template);
	if (s->has_successful_jobs_history_limit)
		check_nonneg(errs, FIELD(p, "successfulJobsHistoryLimit"),
		             s->successful_jobs_history_limit);
	if (s->has_failed_jobs_history_limit)
		check_nonneg(errs, FIELD(p, "failedJobsHistoryLimit"),
		             s->failed_jobs_history_limit);
}

static void validate_create(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	if (strlen(object_name(obj)) > NAME_MAX_BYTES)
		field_invalid(errs, FIELD(NULL, "metadata.name"), object_name(obj),
		              "must be no more than 52 characters");
}

static void warnings(const struct strategy_ctx *ctx, const struct object *obj,
                     const struct object *old, struct strategy_warnings *w)
{
	const BatchV1__CronJobSpec *s = OBJECT_MSG(obj, BatchV1__CronJob)->spec;

	if (!old ||
	    !same_msg(s->job_template, OBJECT_MSG(old, BatchV1__CronJob)->spec->job_template))
		pod_spec_warnings(w, FIELD(FIELD(NULL, "spec.jobTemplate.spec.template"), "spec"),
		                  s->job_template->spec->template_->spec,
		                  s->job_template->spec->template_->metadata);
}

static void row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const BatchV1__CronJob *c = OBJECT_MSG(obj, BatchV1__CronJob);
	const BatchV1__JobSpec *job = c->spec->job_template->spec;
	const MetaV1__Time *last = c->status->last_schedule_time;

	row_name(r, obj);
	row_str(r, c->spec->schedule);
	row_or_none(r, c->spec->time_zone);
	row_str(r, c->spec->suspend ? "True" : "False");
	row_int(r, (int64_t)c->status->n_active);
	row_str(r, last ? human_since(ctx, last->seconds) : "<none>");
	row_age(ctx, r, obj);
	row_containers(ctx, r, job->template_->spec);
	if (job->selector)
		row_selector(ctx, r, job->selector);
	else
		row_str(r, "<none>");
}

const struct strategy cronjob_strategy = {
    .kind = "CronJob",
    .generation = GENERATION_SPEC,
    .has_status = true,
    .defaults = defaults,
    .validate = validate,
    .validate_create = validate_create,
    .warnings = warnings,
    .allow_unconditional_update = true,
    .table_row = row,
};

const struct strategy cronjob_status_strategy = {
    .kind = "CronJob",
    .is_status = true,
    .lax_update = true,
    .defaults = defaults,
    .allow_unconditional_update = true,
    .table_row = row,
};
