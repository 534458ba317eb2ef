/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/apps/kinds.h"
#include "apiserver/registry/apps/workload.h"
#include "apiserver/registry/defaults.h"
#include "apiserver/registry/row.h"

static void defaults(const struct strategy_ctx *ctx, struct object *obj)
{
	AppsV1__DeploymentSpec *s = OBJECT_MSG(obj, AppsV1__Deployment)->spec;
	struct arena *a = ctx->arena;

	if (!s->has_replicas)
		SET(s, replicas, 1);
	if (!s->has_revision_history_limit)
		SET(s, revision_history_limit, 10);
	if (!s->has_progress_deadline_seconds)
		SET(s, progress_deadline_seconds, 600);
	if (!*s->strategy->type)
		s->strategy->type = arena_strdup(a, "RollingUpdate");
	if (strcmp(s->strategy->type, "RollingUpdate"))
		return;
	if (!s->strategy->rolling_update)
		s->strategy->rolling_update =
		    MSG_NEW(a, AppsV1__RollingUpdateDeployment,
		            apps_v1__rolling_update_deployment__descriptor);
	if (!s->strategy->rolling_update->max_unavailable)
		s->strategy->rolling_update->max_unavailable = intstr_new_percent(a, "25%");
	if (!s->strategy->rolling_update->max_surge)
		s->strategy->rolling_update->max_surge = intstr_new_percent(a, "25%");
}

static void check_rolling(errs_t errs, path_t p, const AppsV1__RollingUpdateDeployment *r)
{
	check_number_or_percent(errs, FIELD(p, "maxUnavailable"), r->max_unavailable);
	check_number_or_percent(errs, FIELD(p, "maxSurge"), r->max_surge);
	if (intstr_is_zero(r->max_unavailable) && intstr_is_zero(r->max_surge))
		field_invalid_json(errs, FIELD(p, "maxUnavailable"),
		                   intstr_json(errs, r->max_unavailable),
		                   "may not be 0 when `maxSurge` is 0");
	check_not_over_100_percent(errs, FIELD(p, "maxUnavailable"), r->max_unavailable);
}

static void check_strategy(errs_t errs, const AppsV1__DeploymentStrategy *s)
{
	path_t p = FIELD(NULL, "spec.strategy"), rolling = FIELD(p, "rollingUpdate");

	if (!strcmp(s->type, "Recreate")) {
		if (s->rolling_update)
			field_forbidden(errs, rolling,
			                "may not be specified when strategy `type` is 'Recreate'");
	} else if (!strcmp(s->type, "RollingUpdate")) {
		if (!s->rolling_update)
			field_required(errs, rolling, "this should be defaulted and never be nil");
		else
			check_rolling(errs, rolling, s->rolling_update);
	} else {
		field_add(errs, FIELD_NOT_SUPPORTED, p, go_json_of(errs, s),
		          "supported values: \"Recreate\", \"RollingUpdate\"");
	}
}

static void validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const AppsV1__DeploymentSpec *s = OBJECT_MSG(obj, AppsV1__Deployment)->spec;
	path_t p = FIELD(NULL, "spec");

	check_nonneg(errs, FIELD(p, "replicas"), s->replicas);
	workload_check(ctx, errs, s->selector, s->template_, "deployment");
	workload_check_forever(errs, s->template_, "ReplicaSet");
	check_strategy(errs, s->strategy);
	check_nonneg(errs, FIELD(p, "minReadySeconds"), s->min_ready_seconds);
	if (s->has_revision_history_limit)
		check_nonneg(errs, FIELD(p, "revisionHistoryLimit"), s->revision_history_limit);
	if (!s->has_progress_deadline_seconds)
		return;
	check_nonneg(errs, FIELD(p, "progressDeadlineSeconds"), s->progress_deadline_seconds);
	if (s->progress_deadline_seconds <= s->min_ready_seconds)
		field_invalid_int(errs, FIELD(p, "progressDeadlineSeconds"),
		                  s->progress_deadline_seconds,
		                  "must be greater than minReadySeconds");
}

static void validate_update(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old, errs_t errs)
{
	workload_check_selector_kept(errs, OBJECT_MSG(obj, AppsV1__Deployment)->spec->selector,
	                             OBJECT_MSG(old, AppsV1__Deployment)->spec->selector);
}

static void warnings(const struct strategy_ctx *ctx, const struct object *obj,
                     const struct object *old, struct strategy_warnings *w)
{
	workload_warnings(w, OBJECT_MSG(obj, AppsV1__Deployment)->spec->template_,
	                  old ? OBJECT_MSG(old, AppsV1__Deployment)->spec->template_ : NULL);
}

static void status_validate(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old, errs_t errs)
{
	static const char more[] = "cannot be greater than status.replicas";
	const AppsV1__DeploymentStatus *s = OBJECT_MSG(obj, AppsV1__Deployment)->status;
	path_t p = FIELD(NULL, "status");

	check_nonneg(errs, FIELD(p, "observedGeneration"), s->observed_generation);
	check_nonneg(errs, FIELD(p, "replicas"), s->replicas);
	check_nonneg(errs, FIELD(p, "updatedReplicas"), s->updated_replicas);
	check_nonneg(errs, FIELD(p, "readyReplicas"), s->ready_replicas);
	check_nonneg(errs, FIELD(p, "availableReplicas"), s->available_replicas);
	check_nonneg(errs, FIELD(p, "unavailableReplicas"), s->unavailable_replicas);
	const AppsV1__DeploymentStatus *was = OBJECT_MSG(old, AppsV1__Deployment)->status;
	collisions_check(errs, s->has_collision_count, s->collision_count, was->has_collision_count,
	                 was->collision_count);
	if (s->updated_replicas > s->replicas)
		field_invalid_int(errs, FIELD(p, "updatedReplicas"), s->updated_replicas, more);
	if (s->ready_replicas > s->replicas)
		field_invalid_int(errs, FIELD(p, "readyReplicas"), s->ready_replicas, more);
	if (s->available_replicas > s->replicas)
		field_invalid_int(errs, FIELD(p, "availableReplicas"), s->available_replicas, more);
	if (s->available_replicas > s->ready_replicas)
		field_invalid_int(errs, FIELD(p, "availableReplicas"), s->available_replicas,
		                  "cannot be greater than readyReplicas");
}

static void row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const AppsV1__Deployment *d = OBJECT_MSG(obj, AppsV1__Deployment);

	row_name(r, obj);
	row_str(r, arena_printf(ctx->arena, "%d/%d", d->status->ready_replicas, d->spec->replicas));
	row_int(r, d->status->updated_replicas);
	row_int(r, d->status->available_replicas);
	row_age(ctx, r, obj);
	row_containers(ctx, r, d->spec->template_->spec);
	row_selector(ctx, r, d->spec->selector);
}

const struct strategy deployment_strategy = {
    .kind = "Deployment",
    .generation = GENERATION_SPEC_ANNOTATIONS,
    .has_status = true,
    .defaults = defaults,
    .validate = validate,
    .validate_update = validate_update,
    .warnings = warnings,
    .allow_unconditional_update = true,
    .table_row = row,
};

const struct strategy deployment_status_strategy = {
    .kind = "Deployment",
    .is_status = true,
    .keeps_labels = true,
    .lax_update = true,
    .defaults = defaults,
    .validate_update = status_validate,
    .allow_unconditional_update = true,
    .table_row = row,
};
