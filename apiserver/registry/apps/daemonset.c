/* SPDX-License-Identifier: Apache-2.0 */
/* DaemonSets and ControllerRevisions. */
#include "apiserver/registry/apps/kinds.h"
#include "apiserver/registry/apps/workload.h"
#include "apiserver/registry/defaults.h"
#include "apiserver/registry/row.h"

/* The generation of the template, which only older versions have as a field. */
static const char template_generation[] = "deprecated.daemonset.template.generation";

static int64_t get_template_generation(const struct object *obj)
{
	const char *text = strings_get(STRINGS(obj->meta->annotations), obj->meta->n_annotations,
	                               template_generation);
	int64_t n = 0;

	for (; text && *text >= '0' && *text <= '9' && n < INT64_MAX / 100; text++)
		n = n * 10 + (*text - '0');
	return n;
}

static void set_template_generation(struct arena *a, struct object *obj, int64_t n)
{
	MetaV1__ObjectMeta *m = obj->meta;
	MetaV1__ObjectMeta__AnnotationsEntry **list, *e;
	size_t i = 0;

	while (i < m->n_annotations && strcmp(m->annotations[i]->key, template_generation))
		i++;
	list = arena_array(a, MetaV1__ObjectMeta__AnnotationsEntry *, m->n_annotations + 1);
	if (m->n_annotations)
		memcpy(list, m->annotations, m->n_annotations * sizeof(*list));
	e = list[i] = arena_new(a, MetaV1__ObjectMeta__AnnotationsEntry);
	protobuf_c_message_init(&meta_v1__object_meta__annotations_entry__descriptor, e);
	e->key = arena_strdup(a, template_generation);
	e->value = arena_printf(a, "%lld", (long long)n);
	m->annotations = list;
	m->n_annotations = MAX(m->n_annotations, i + 1);
}

static void defaults(const struct strategy_ctx *ctx, struct object *obj)
{
	AppsV1__DaemonSetSpec *s = OBJECT_MSG(obj, AppsV1__DaemonSet)->spec;
	struct arena *a = ctx->arena;

	if (!strings_get(STRINGS(obj->meta->annotations), obj->meta->n_annotations,
	                 template_generation))
		set_template_generation(a, obj, 0);
	if (!s->has_revision_history_limit)
		SET(s, revision_history_limit, 10);
	if (!*s->update_strategy->type)
		s->update_strategy->type = arena_strdup(a, "RollingUpdate");
	if (strcmp(s->update_strategy->type, "RollingUpdate"))
		return;
	if (!s->update_strategy->rolling_update)
		s->update_strategy->rolling_update =
		    MSG_NEW(a, AppsV1__RollingUpdateDaemonSet,
		            apps_v1__rolling_update_daemon_set__descriptor);
	AppsV1__RollingUpdateDaemonSet *r = s->update_strategy->rolling_update;
	if (!r->max_unavailable)
		r->max_unavailable = intstr_new_int(a, 1);
	if (!r->max_surge)
		r->max_surge = intstr_new_int(a, 0);
}

static void prepare_create(const struct strategy_ctx *ctx, struct object *obj)
{
	set_template_generation(ctx->arena, obj, MAX(get_template_generation(obj), 1));
}

static void prepare_update(const struct strategy_ctx *ctx, struct object *obj,
                           const struct object *old)
{
	const CoreV1__PodTemplateSpec *now = OBJECT_MSG(obj, AppsV1__DaemonSet)->spec->template_;
	const CoreV1__PodTemplateSpec *was = OBJECT_MSG(old, AppsV1__DaemonSet)->spec->template_;

	set_template_generation(ctx->arena, obj,
	                        get_template_generation(old) + !same_msg(now, was));
}

static void check_rolling(errs_t errs, path_t p, const AppsV1__RollingUpdateDaemonSet *r)
{
	bool unavailable = !intstr_is_zero(r->max_unavailable),
	     surge = !intstr_is_zero(r->max_surge);

	check_number_or_percent(errs, FIELD(p, "maxUnavailable"), r->max_unavailable);
	check_number_or_percent(errs, FIELD(p, "maxSurge"), r->max_surge);
	if (unavailable && surge)
		field_invalid_json(errs, FIELD(p, "maxSurge"), intstr_json(errs, r->max_surge),
		                   "may not be set when maxUnavailable is non-zero");
	else if (!unavailable && !surge)
		field_required(errs, FIELD(p, "maxUnavailable"), "cannot be 0 when maxSurge is 0");
	check_not_over_100_percent(errs, FIELD(p, "maxUnavailable"), r->max_unavailable);
	check_not_over_100_percent(errs, FIELD(p, "maxSurge"), r->max_surge);
}

static void validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const AppsV1__DaemonSetSpec *s = OBJECT_MSG(obj, AppsV1__DaemonSet)->spec;
	path_t p = FIELD(NULL, "spec"), update = FIELD(p, "updateStrategy");

	workload_check(ctx, errs, s->selector, s->template_, "daemonset");
	workload_check_forever(errs, s->template_, "DaemonSet");
	check_nonneg(errs, FIELD(p, "minReadySeconds"), s->min_ready_seconds);
	if (s->has_revision_history_limit)
		check_nonneg(errs, FIELD(p, "revisionHistoryLimit"), s->revision_history_limit);
	if (!strcmp(s->update_strategy->type, "RollingUpdate")) {
		if (!s->update_strategy->rolling_update)
			field_required(errs, FIELD(update, "rollingUpdate"), "");
		else
			check_rolling(errs, FIELD(update, "rollingUpdate"),
			              s->update_strategy->rolling_update);
	} else {
		check_enum(errs, FIELD(update, "type"), s->update_strategy->type,
		           LIST("RollingUpdate", "OnDelete"));
	}
}

static void validate_update(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old, errs_t errs)
{
	workload_check_selector_kept(errs, OBJECT_MSG(obj, AppsV1__DaemonSet)->spec->selector,
	                             OBJECT_MSG(old, AppsV1__DaemonSet)->spec->selector);
}

static void warnings(const struct strategy_ctx *ctx, const struct object *obj,
                     const struct object *old, struct strategy_warnings *w)
{
	workload_warnings(w, OBJECT_MSG(obj, AppsV1__DaemonSet)->spec->template_,
	                  old ? OBJECT_MSG(old, AppsV1__DaemonSet)->spec->template_ : NULL);
}

static void status_validate(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old, errs_t errs)
{
	const AppsV1__DaemonSetStatus *s = OBJECT_MSG(obj, AppsV1__DaemonSet)->status;
	const AppsV1__DaemonSetStatus *was = OBJECT_MSG(old, AppsV1__DaemonSet)->status;
	path_t p = FIELD(NULL, "status");

	check_nonneg(errs, FIELD(p, "currentNumberScheduled"), s->current_number_scheduled);
	check_nonneg(errs, FIELD(p, "numberMisscheduled"), s->number_misscheduled);
	check_nonneg(errs, FIELD(p, "desiredNumberScheduled"), s->desired_number_scheduled);
	check_nonneg(errs, FIELD(p, "numberReady"), s->number_ready);
	check_nonneg(errs, FIELD(p, "observedGeneration"), s->observed_generation);
	check_nonneg(errs, FIELD(p, "updatedNumberScheduled"), s->updated_number_scheduled);
	check_nonneg(errs, FIELD(p, "numberAvailable"), s->number_available);
	check_nonneg(errs, FIELD(p, "numberUnavailable"), s->number_unavailable);
	collisions_check(errs, s->has_collision_count, s->collision_count, was->has_collision_count,
	                 was->collision_count);
}

static void row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const AppsV1__DaemonSet *d = OBJECT_MSG(obj, AppsV1__DaemonSet);
	const CoreV1__PodSpec *spec = d->spec->template_->spec;

	row_name(r, obj);
	row_int(r, d->status->desired_number_scheduled);
	row_int(r, d->status->current_number_scheduled);
	row_int(r, d->status->number_ready);
	row_int(r, d->status->updated_number_scheduled);
	row_int(r, d->status->number_available);
	row_map(ctx, r, STRINGS(spec->node_selector), spec->n_node_selector);
	row_age(ctx, r, obj);
	row_containers(ctx, r, spec);
	row_selector(ctx, r, d->spec->selector);
}

const struct strategy daemonset_strategy = {
    .kind = "DaemonSet",
    .generation = GENERATION_SPEC,
    .has_status = true,
    .defaults = defaults,
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .validate = validate,
    .validate_update = validate_update,
    .warnings = warnings,
    .allow_unconditional_update = true,
    .hidden_annotation = template_generation,
    .table_row = row,
};

const struct strategy daemonset_status_strategy = {
    .kind = "DaemonSet",
    .is_status = true,
    .lax_update = true,
    .defaults = defaults,
    .validate_update = status_validate,
    .allow_unconditional_update = true,
    .table_row = row,
};

static void revision_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const AppsV1__ControllerRevision *c = OBJECT_MSG(obj, AppsV1__ControllerRevision);

	if (!c->data)
		field_required(errs, FIELD(NULL, "data"), "data is mandatory");
	check_nonneg(errs, FIELD(NULL, "revision"), c->revision);
}

static void revision_update(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old, errs_t errs)
{
	check_immutable_msg(errs, FIELD(NULL, "data"),
	                    OBJECT_MSG(obj, AppsV1__ControllerRevision)->data,
	                    OBJECT_MSG(old, AppsV1__ControllerRevision)->data);
}

static const char *controller_text(const struct strategy_ctx *ctx, const MetaV1__ObjectMeta *m)
{
	for (size_t i = 0; i < m->n_owner_references; i++) {
		const MetaV1__OwnerReference *o = m->owner_references[i];
		if (!o->controller)
			continue;
		struct group_version gv = group_version_split(ctx->arena, o->api_version);
		char *kind = arena_strdup(ctx->arena, o->kind);
		for (char *c = kind; *c; c++)
			*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
		return arena_printf(ctx->arena, "%s%s%s/%s", kind, *gv.group ? "." : "", gv.group,
		                    o->name);
	}
	return "<none>";
}

static void revision_row(const struct strategy_ctx *ctx, const struct object *obj,
                         struct table_row *r)
{
	row_name(r, obj);
	row_str(r, controller_text(ctx, obj->meta));
	row_int(r, OBJECT_MSG(obj, AppsV1__ControllerRevision)->revision);
	row_age(ctx, r, obj);
}

const struct strategy controllerrevision_strategy = {
    .kind = "ControllerRevision",
    .validate = revision_validate,
    .validate_update = revision_update,
    .allow_unconditional_update = true,
    .table_row = revision_row,
};
