/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/apps/kinds.h"
#include "apiserver/registry/apps/workload.h"
#include "apiserver/registry/defaults.h"
#include "apiserver/registry/row.h"
#include "proto/msg.h"
#include "proto/schema.h"

static void defaults(const struct strategy_ctx *ctx, struct object *obj)
{
	AppsV1__StatefulSetSpec *s = OBJECT_MSG(obj, AppsV1__StatefulSet)->spec;
	struct arena *a = ctx->arena;

	if (!*s->pod_management_policy)
		s->pod_management_policy = arena_strdup(a, "OrderedReady");
	if (!*s->update_strategy->type) {
		s->update_strategy->type = arena_strdup(a, "RollingUpdate");
		if (!s->update_strategy->rolling_update)
			s->update_strategy->rolling_update =
			    MSG_NEW(a, AppsV1__RollingUpdateStatefulSetStrategy,
			            apps_v1__rolling_update_stateful_set_strategy__descriptor);
	}
	if (s->update_strategy->rolling_update &&
	    !s->update_strategy->rolling_update->has_partition)
		SET(s->update_strategy->rolling_update, partition, 0);
	if (!s->persistent_volume_claim_retention_policy)
		s->persistent_volume_claim_retention_policy = MSG_NEW(
		    a, AppsV1__StatefulSetPersistentVolumeClaimRetentionPolicy,
		    apps_v1__stateful_set_persistent_volume_claim_retention_policy__descriptor);
	AppsV1__StatefulSetPersistentVolumeClaimRetentionPolicy *keep =
	    s->persistent_volume_claim_retention_policy;
	if (!*keep->when_deleted)
		keep->when_deleted = arena_strdup(a, "Retain");
	if (!*keep->when_scaled)
		keep->when_scaled = arena_strdup(a, "Retain");
	if (!s->has_replicas)
		SET(s, replicas, 1);
	if (!s->has_revision_history_limit)
		SET(s, revision_history_limit, 10);
	for (size_t i = 0; i < s->n_volume_claim_templates; i++) {
		/* Claims are written with their type. */
		CoreV1__PersistentVolumeClaim *c = s->volume_claim_templates[i];
		if (!*c->status->phase)
			c->status->phase = arena_strdup(a, "Pending");
	}
}

static void check_update_strategy(errs_t errs, const AppsV1__StatefulSetUpdateStrategy *u)
{
	path_t p = FIELD(NULL, "spec.updateStrategy"), rolling = FIELD(p, "rollingUpdate");

	if (!*u->type) {
		field_required(errs, p, "");
	} else if (!strcmp(u->type, "OnDelete")) {
		if (u->rolling_update)
			field_invalid_json(errs, rolling, go_json_of(errs, u->rolling_update),
			                   "only allowed for updateStrategy 'RollingUpdate'");
	} else if (!strcmp(u->type, "RollingUpdate")) {
		const AppsV1__RollingUpdateStatefulSetStrategy *r = u->rolling_update;
		if (!r)
			return;
		check_nonneg(errs, FIELD(rolling, "partition"), r->partition);
		if (!r->max_unavailable)
			return;
		check_number_or_percent(errs, FIELD(rolling, "maxUnavailable"), r->max_unavailable);
		if (intstr_is_zero(r->max_unavailable))
			field_invalid_json(errs, FIELD(rolling, "maxUnavailable"),
			                   intstr_json(errs, r->max_unavailable), "cannot be 0");
		check_not_over_100_percent(errs, FIELD(rolling, "maxUnavailable"),
		                           r->max_unavailable);
	} else {
		field_invalid_json(errs, p, go_json_of(errs, u),
		                   "must be 'RollingUpdate' or 'OnDelete'");
	}
}

static void validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const AppsV1__StatefulSetSpec *s = OBJECT_MSG(obj, AppsV1__StatefulSet)->spec;
	const AppsV1__StatefulSetPersistentVolumeClaimRetentionPolicy *keep =
	    s->persistent_volume_claim_retention_policy;
	path_t p = FIELD(NULL, "spec");

	if (!*s->pod_management_policy)
		field_required(errs, FIELD(p, "podManagementPolicy"), "");
	else if (!list_has(LIST("OrderedReady", "Parallel"), s->pod_management_policy))
		field_invalid(errs, FIELD(p, "podManagementPolicy"), s->pod_management_policy,
		              "must be 'OrderedReady' or 'Parallel'");
	check_update_strategy(errs, s->update_strategy);
	if (keep) {
		path_t k = FIELD(p, "persistentVolumeClaimRetentionPolicy");
		check_enum(errs, FIELD(k, "whenDeleted"), keep->when_deleted,
		           LIST("Retain", "Delete"));
		check_enum(errs, FIELD(k, "whenScaled"), keep->when_scaled,
		           LIST("Retain", "Delete"));
	}
	check_nonneg(errs, FIELD(p, "replicas"), s->replicas);
	check_nonneg(errs, FIELD(p, "minReadySeconds"), s->min_ready_seconds);
	if (s->ordinals)
		check_nonneg(errs, FIELD(p, "ordinals.start"), s->ordinals->start);
	workload_check(ctx, errs, s->selector, s->template_, "statefulset");
	workload_check_forever(errs, s->template_, "StatefulSet");
	if (*s->service_name)
		check_name(errs, FIELD(p, "serviceName"), s->service_name, names_dns1123_label);
}

/* A copy of the new spec with what may change taken from the old one. */
static AppsV1__StatefulSetSpec *munge(struct arena *a, const AppsV1__StatefulSetSpec *now,
                                      const AppsV1__StatefulSetSpec *old)
{
	AppsV1__StatefulSetSpec *s = arena_memdup(a, now, sizeof(*now));

	s->has_replicas = old->has_replicas;
	s->replicas = old->replicas;
	s->template_ = old->template_;
	s->update_strategy = old->update_strategy;
	s->min_ready_seconds = old->min_ready_seconds;
	s->ordinals = old->ordinals;
	s->has_revision_history_limit = old->has_revision_history_limit;
	s->revision_history_limit = old->revision_history_limit;
	s->persistent_volume_claim_retention_policy = old->persistent_volume_claim_retention_policy;
	return s;
}

static void validate_update(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old_obj, errs_t errs)
{
	const AppsV1__StatefulSetSpec *s = OBJECT_MSG(obj, AppsV1__StatefulSet)->spec;
	const AppsV1__StatefulSetSpec *old = OBJECT_MSG(old_obj, AppsV1__StatefulSet)->spec;

	if (!same_msg(munge(errs->arena, s, old), old))
		field_forbidden(
		    errs, FIELD(NULL, "spec"),
		    "updates to statefulset spec for fields other than 'replicas', 'ordinals', "
		    "'template', 'updateStrategy', 'revisionHistoryLimit', "
		    "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
}

static void warnings(const struct strategy_ctx *ctx, const struct object *obj,
                     const struct object *old, struct strategy_warnings *w)
{
	const AppsV1__StatefulSetSpec *s = OBJECT_MSG(obj, AppsV1__StatefulSet)->spec;

	workload_warnings(w, s->template_,
	                  old ? OBJECT_MSG(old, AppsV1__StatefulSet)->spec->template_ : NULL);
	if (s->has_revision_history_limit && s->revision_history_limit < 0)
		strategy_warn(w,
		              "spec.revisionHistoryLimit: a negative value retains all historical "
		              "revisions; a value >= 0 is recommended");
}

static void status_validate(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old, errs_t errs)
{
	static const char more[] = "cannot be greater than status.replicas";
	const AppsV1__StatefulSetStatus *s = OBJECT_MSG(obj, AppsV1__StatefulSet)->status;
	const AppsV1__StatefulSetStatus *was = OBJECT_MSG(old, AppsV1__StatefulSet)->status;
	path_t p = FIELD(NULL, "status");

	check_nonneg(errs, FIELD(p, "replicas"), s->replicas);
	check_nonneg(errs, FIELD(p, "readyReplicas"), s->ready_replicas);
	check_nonneg(errs, FIELD(p, "currentReplicas"), s->current_replicas);
	check_nonneg(errs, FIELD(p, "updatedReplicas"), s->updated_replicas);
	check_nonneg(errs, FIELD(p, "availableReplicas"), s->available_replicas);
	check_nonneg(errs, FIELD(p, "observedGeneration"), s->observed_generation);
	if (s->ready_replicas > s->replicas)
		field_invalid_int(errs, FIELD(p, "readyReplicas"), s->ready_replicas, more);
	if (s->current_replicas > s->replicas)
		field_invalid_int(errs, FIELD(p, "currentReplicas"), s->current_replicas, more);
	if (s->updated_replicas > s->replicas)
		field_invalid_int(errs, FIELD(p, "updatedReplicas"), s->updated_replicas, more);
	if (s->available_replicas > s->replicas)
		field_invalid_int(errs, FIELD(p, "availableReplicas"), s->available_replicas, more);
	if (s->available_replicas > s->ready_replicas)
		field_invalid_int(errs, FIELD(p, "availableReplicas"), s->available_replicas,
		                  "cannot be greater than status.readyReplicas");
	collisions_check(errs, s->has_collision_count, s->collision_count, was->has_collision_count,
	                 was->collision_count);
}

static void row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const AppsV1__StatefulSet *s = OBJECT_MSG(obj, AppsV1__StatefulSet);

	row_name(r, obj);
	row_str(r, arena_printf(ctx->arena, "%d/%d", s->status->ready_replicas, s->spec->replicas));
	row_age(ctx, r, obj);
	row_containers(ctx, r, s->spec->template_->spec);
}

const struct strategy statefulset_strategy = {
    .kind = "StatefulSet",
    .generation = GENERATION_SPEC,
    .has_status = true,
    .defaults = defaults,
    .validate = validate,
    .validate_update = validate_update,
    .warnings = warnings,
    .allow_unconditional_update = true,
    .table_row = row,
};

const struct strategy statefulset_status_strategy = {
    .kind = "StatefulSet",
    .is_status = true,
    .lax_update = true,
    .defaults = defaults,
    .validate_update = status_validate,
    .allow_unconditional_update = true,
    .table_row = row,
};
