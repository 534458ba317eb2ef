/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/core/kinds.h"
#include "apiserver/registry/row.h"

static const char name_label[] = "kubernetes.io/metadata.name";

/* Every namespace carries its name as a label. */
static void set_name_label(const struct strategy_ctx *ctx, struct object *obj)
{
	MetaV1__ObjectMeta *m = obj->meta;
	struct arena *a = ctx->arena;
	size_t i = 0;

	if (!*m->name)
		return;
	while (i < m->n_labels && strcmp(m->labels[i]->key, name_label))
		i++;
	if (i == m->n_labels) {
		m->labels = arena_grow(a, m->labels, i * sizeof(void *), (i + 1) * sizeof(void *));
		m->labels[i] = arena_new(a, MetaV1__ObjectMeta__LabelsEntry);
		protobuf_c_message_init(&meta_v1__object_meta__labels_entry__descriptor,
		                        m->labels[i]);
		m->labels[i]->key = arena_strdup(a, name_label);
		m->n_labels++;
	}
	m->labels[i]->value = m->name;
}

static void prepare_create(const struct strategy_ctx *ctx, struct object *obj)
{
	CoreV1__Namespace *ns = OBJECT_MSG(obj, CoreV1__Namespace);
	CoreV1__NamespaceSpec *spec = ns->spec;

	ns->status->phase = arena_strdup(ctx->arena, "Active");
	if (strings_have(spec->finalizers, spec->n_finalizers, "kubernetes"))
		return;
	spec->finalizers =
	    arena_grow(ctx->arena, spec->finalizers, spec->n_finalizers * sizeof(char *),
	               (spec->n_finalizers + 1) * sizeof(char *));
	spec->finalizers[spec->n_finalizers++] = arena_strdup(ctx->arena, "kubernetes");
}

static void prepare_update(const struct strategy_ctx *ctx, struct object *obj,
                           const struct object *old)
{
	OBJECT_MSG(obj, CoreV1__Namespace)->spec = OBJECT_MSG(old, CoreV1__Namespace)->spec;
	set_name_label(ctx, obj);
}

static void check_finalizers(const struct object *obj, errs_t errs)
{
	const CoreV1__NamespaceSpec *spec = OBJECT_MSG(obj, CoreV1__Namespace)->spec;

	for (size_t i = 0; i < spec->n_finalizers; i++) {
		const char *f = spec->finalizers[i];
		path_t p = FIELD_INDEX(FIELD(NULL, "spec.finalizers"), i);
		if (check_name(errs, p, f, names_qualified) && !strchr(f, '/') &&
		    !list_has(LIST("kubernetes", "orphan", "foregroundDeletion"), f))
			field_invalid(errs, p, f,
			              "name is neither a standard finalizer name nor is it fully "
			              "qualified");
	}
}

static void validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	check_finalizers(obj, errs);
}

static void status_validate(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old, errs_t errs)
{
	const CoreV1__Namespace *ns = OBJECT_MSG(obj, CoreV1__Namespace);

	if (!obj->meta->deletion_timestamp && strcmp(ns->status->phase, "Active"))
		field_invalid(errs, FIELD(NULL, "status.Phase"), ns->status->phase,
		              "may only be 'Active' if `deletionTimestamp` is empty");
	if (obj->meta->deletion_timestamp && strcmp(ns->status->phase, "Terminating"))
		field_invalid(errs, FIELD(NULL, "status.Phase"), ns->status->phase,
		              "may only be 'Terminating' if `deletionTimestamp` is not empty");
}

static void finalize_validate(const struct strategy_ctx *ctx, const struct object *obj,
                              const struct object *old, errs_t errs)
{
	check_finalizers(obj, errs);
}

static void field_values(const struct object *obj, struct arena *a, const char **ret)
{
	ret[0] = OBJECT_MSG(obj, CoreV1__Namespace)->status->phase;
	ret[1] = object_name(obj);
}

static void row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	row_name(r, obj);
	row_str(r, OBJECT_MSG(obj, CoreV1__Namespace)->status->phase);
	row_age(ctx, r, obj);
}

const struct strategy namespace_strategy = {
    .kind = "Namespace",
    .name_syntax = names_dns1123_label,
    .has_status = true,
    .defaults = set_name_label,
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .validate = validate,
    .canonicalize = set_name_label,
    .allow_unconditional_update = true,
    .field_names = LIST("status.phase", "name"),
    .field_values = field_values,
    .field_error_fmt = "field label not supported: %s",
    .table_row = row,
};

const struct strategy namespace_status_strategy = {
    .kind = "Namespace",
    .name_syntax = names_dns1123_label,
    .is_status = true,
    .lax_update = true,
    .defaults = set_name_label,
    .validate_update = status_validate,
    .canonicalize = set_name_label,
    .allow_unconditional_update = true,
    .table_row = row,
};

const struct strategy namespace_finalize_strategy = {
    .kind = "Namespace",
    .name_syntax = names_dns1123_label,
    .has_status = true,
    .lax_update = true,
    .defaults = set_name_label,
    .validate_update = finalize_validate,
    .canonicalize = set_name_label,
    .allow_unconditional_update = true,
    .table_row = row,
};
