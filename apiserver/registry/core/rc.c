/* SPDX-License-Identifier: Apache-2.0 */
/* ReplicationControllers and PodTemplates. */
#include "apiserver/registry/apps/workload.h"
#include "apiserver/registry/core/kinds.h"
#include "apiserver/registry/row.h"

/* Labels and selector are the template's when they are left out. */
static void defaults(const struct strategy_ctx *ctx, struct object *obj)
{
	CoreV1__ReplicationController *rc = OBJECT_MSG(obj, CoreV1__ReplicationController);
	CoreV1__ReplicationControllerSpec *s = rc->spec;

	if (s->template_) {
		MetaV1__ObjectMeta *t = s->template_->metadata;
		if (!s->n_selector && t->n_labels) {
			s->selector = arena_array(
			    ctx->arena, CoreV1__ReplicationControllerSpec__SelectorEntry *,
			    t->n_labels);
			for (size_t i = 0; i < t->n_labels; i++) {
				s->selector[i] =
				    arena_memdup(ctx->arena, t->labels[i], sizeof(*s->selector[i]));
				s->selector[i]->base.descriptor =
				    &core_v1__replication_controller_spec__selector_entry__descriptor;
			}
			s->n_selector = t->n_labels;
		}
		if (!rc->metadata->n_labels) {
			rc->metadata->labels = t->labels;
			rc->metadata->n_labels = t->n_labels;
		}
	}
	if (!s->has_replicas)
		SET(s, replicas, 1);
}

static bool selects(struct arena *a, const CoreV1__ReplicationControllerSpec *s,
                    const MetaV1__ObjectMeta *t)
{
	struct index labels = map_index(a, t->labels, t->n_labels);

	for (size_t i = 0; i < s->n_selector; i++) {
		int64_t at = index_find(&labels, s->selector[i]->key);
		if (at < 0 || !same_str(t->labels[at]->value, s->selector[i]->value))
			return false;
	}
	return true;
}

static void validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const CoreV1__ReplicationControllerSpec *s =
	    OBJECT_MSG(obj, CoreV1__ReplicationController)->spec;
	path_t p = FIELD(NULL, "spec");

	check_nonneg(errs, FIELD(p, "replicas"), s->replicas);
	check_nonneg(errs, FIELD(p, "minReadySeconds"), s->min_ready_seconds);
	if (!s->n_selector)
		field_required(errs, FIELD(p, "selector"), "");
	if (!s->template_) {
		field_required(errs, FIELD(p, "template"), "");
		return;
	}
	const MetaV1__ObjectMeta *t = s->template_->metadata;
	if (s->n_selector && !selects(errs->arena, s, t))
		field_invalid_json(errs, FIELD(p, "template.metadata.labels"),
		                   json_of_map(errs, STRINGS(t->labels), t->n_labels),
		                   "`selector` does not match template `labels`");
	pod_template_check(ctx, errs, FIELD(p, "template"), s->template_);
	workload_check_forever(errs, s->template_, "ReplicationController");
}

static void row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const CoreV1__ReplicationController *rc = OBJECT_MSG(obj, CoreV1__ReplicationController);

	row_name(r, obj);
	row_int(r, rc->spec->replicas);
	row_int(r, rc->status->replicas);
	row_int(r, rc->status->ready_replicas);
	row_age(ctx, r, obj);
	if (rc->spec->template_) {
		row_containers(ctx, r, rc->spec->template_->spec);
	} else {
		row_str(r, "");
		row_str(r, "");
	}
	row_map(ctx, r, STRINGS(rc->spec->selector), rc->spec->n_selector);
}

static void field_values(const struct object *obj, struct arena *a, const char **ret)
{
	ret[0] =
	    arena_printf(a, "%d", OBJECT_MSG(obj, CoreV1__ReplicationController)->status->replicas);
}

const struct strategy rc_strategy = {
    .kind = "ReplicationController",
    .generation = GENERATION_SPEC,
    .has_status = true,
    .defaults = defaults,
    .validate = validate,
    .delete_default = DELETE_ORPHAN,
    .allow_unconditional_update = true,
    .field_names = LIST("status.replicas"),
    .field_values = field_values,
    .field_error_fmt = "field label not supported: %s",
    .table_row = row,
};

static void check_status_count(errs_t errs, const char *field, int64_t n, int64_t most)
{
	path_t p = FIELD(FIELD(NULL, "status"), field);

	check_nonneg(errs, p, n);
	if (n > most)
		field_invalid_int(errs, p, n, "cannot be greater than status.replicas");
}

static void status_validate(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old, errs_t errs)
{
	const CoreV1__ReplicationControllerStatus *s =
	    OBJECT_MSG(obj, CoreV1__ReplicationController)->status;

	check_nonneg(errs, FIELD(NULL, "status.replicas"), s->replicas);
	check_nonneg(errs, FIELD(NULL, "status.observedGeneration"), s->observed_generation);
	check_status_count(errs, "fullyLabeledReplicas", s->fully_labeled_replicas, s->replicas);
	check_status_count(errs, "readyReplicas", s->ready_replicas, s->replicas);
	check_status_count(errs, "availableReplicas", s->available_replicas, s->replicas);
	if (s->available_replicas > s->ready_replicas)
		field_invalid_int(errs, FIELD(NULL, "status.availableReplicas"),
		                  s->available_replicas, "cannot be greater than readyReplicas");
}

const struct strategy rc_status_strategy = {
    .kind = "ReplicationController",
    .is_status = true,
    .lax_update = true,
    .defaults = defaults,
    .validate_update = status_validate,
    .allow_unconditional_update = true,
    .table_row = row,
};

static void template_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	pod_template_check(ctx, errs, FIELD(NULL, "template"),
	                   OBJECT_MSG(obj, CoreV1__PodTemplate)->template_);
}

static void template_row(const struct strategy_ctx *ctx, const struct object *obj,
                         struct table_row *r)
{
	const CoreV1__PodTemplateSpec *t = OBJECT_MSG(obj, CoreV1__PodTemplate)->template_;

	row_name(r, obj);
	row_containers(ctx, r, t->spec);
	row_map(ctx, r, STRINGS(t->metadata->labels), t->metadata->n_labels);
}

const struct strategy podtemplate_strategy = {
    .kind = "PodTemplate",
    .generation = GENERATION_SPEC,
    .validate = template_validate,
    .allow_unconditional_update = true,
    .table_row = template_row,
};
