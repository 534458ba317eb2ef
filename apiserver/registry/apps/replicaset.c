/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/apps/kinds.h"
#include "apiserver/registry/apps/workload.h"
#include "apiserver/registry/row.h"

static void defaults(const struct strategy_ctx *ctx, struct object *obj)
{
	AppsV1__ReplicaSetSpec *s = OBJECT_MSG(obj, AppsV1__ReplicaSet)->spec;

	if (!s->has_replicas)
		SET(s, replicas, 1);
}

static void validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const AppsV1__ReplicaSetSpec *s = OBJECT_MSG(obj, AppsV1__ReplicaSet)->spec;
	path_t p = FIELD(NULL, "spec");

	check_nonneg(errs, FIELD(p, "replicas"), s->replicas);
	check_nonneg(errs, FIELD(p, "minReadySeconds"), s->min_ready_seconds);
	workload_check(ctx, errs, s->selector, s->template_, "deployment");
	workload_check_forever(errs, s->template_, "ReplicaSet");
}

static void validate_update(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old, errs_t errs)
{
	workload_check_selector_kept(errs, OBJECT_MSG(obj, AppsV1__ReplicaSet)->spec->selector,
	                             OBJECT_MSG(old, AppsV1__ReplicaSet)->spec->selector);
}

static void warnings(const struct strategy_ctx *ctx, const struct object *obj,
                     const struct object *old, struct strategy_warnings *w)
{
	workload_warnings(w, OBJECT_MSG(obj, AppsV1__ReplicaSet)->spec->template_,
	                  old ? OBJECT_MSG(old, AppsV1__ReplicaSet)->spec->template_ : NULL);
}

static void status_validate(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old, errs_t errs)
{
	static const char more[] = "cannot be greater than status.replicas";
	const AppsV1__ReplicaSetStatus *s = OBJECT_MSG(obj, AppsV1__ReplicaSet)->status;
	path_t p = FIELD(NULL, "status");

	check_nonneg(errs, FIELD(p, "replicas"), s->replicas);
	check_nonneg(errs, FIELD(p, "fullyLabeledReplicas"), s->fully_labeled_replicas);
	check_nonneg(errs, FIELD(p, "readyReplicas"), s->ready_replicas);
	check_nonneg(errs, FIELD(p, "availableReplicas"), s->available_replicas);
	check_nonneg(errs, FIELD(p, "observedGeneration"), s->observed_generation);
	if (s->fully_labeled_replicas > s->replicas)
		field_invalid_int(errs, FIELD(p, "fullyLabeledReplicas"), s->fully_labeled_replicas,
		                  more);
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
	const AppsV1__ReplicaSet *rs = OBJECT_MSG(obj, AppsV1__ReplicaSet);

	row_name(r, obj);
	row_int(r, rs->spec->replicas);
	row_int(r, rs->status->replicas);
	row_int(r, rs->status->ready_replicas);
	row_age(ctx, r, obj);
	row_containers(ctx, r, rs->spec->template_->spec);
	row_selector(ctx, r, rs->spec->selector);
}

const struct strategy replicaset_strategy = {
    .kind = "ReplicaSet",
    .generation = GENERATION_SPEC,
    .has_status = true,
    .defaults = defaults,
    .validate = validate,
    .validate_update = validate_update,
    .warnings = warnings,
    .allow_unconditional_update = true,
    .table_row = row,
};

const struct strategy replicaset_status_strategy = {
    .kind = "ReplicaSet",
    .is_status = true,
    .lax_update = true,
    .defaults = defaults,
    .validate_update = status_validate,
    .allow_unconditional_update = true,
    .table_row = row,
};
