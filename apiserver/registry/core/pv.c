/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/core/kinds.h"
#include "apiserver/registry/core/pod_spec.h"
#include "apiserver/registry/core/pvc.h"
#include "apiserver/registry/core/volume_check.h"
#include "apiserver/registry/defaults.h"
#include "apiserver/registry/diff.h"
#include "apiserver/registry/row.h"
#include "proto/msg.h"
#include "proto/schema.h"

static void set_phase_time(const struct strategy_ctx *ctx, CoreV1__PersistentVolumeStatus *s)
{
	s->last_phase_transition_time =
	    MSG_NEW(ctx->arena, MetaV1__Time, meta_v1__time__descriptor);
	SET(s->last_phase_transition_time, seconds, ctx->now_sec);
}

static void prepare_create(const struct strategy_ctx *ctx, struct object *obj)
{
	CoreV1__PersistentVolume *pv = OBJECT_MSG(obj, CoreV1__PersistentVolume);

	pv->status->phase = arena_strdup(ctx->arena, "Pending");
	set_phase_time(ctx, pv->status);
}

static void check_capacity(errs_t errs, const CoreV1__PersistentVolumeSpec *s)
{
	path_t p = FIELD(NULL, "spec.capacity");

	if (!s->n_capacity)
		field_required(errs, p, "");
	if (s->n_capacity != 1 || strcmp(s->capacity[0]->key, "storage"))
		field_add(errs, FIELD_NOT_SUPPORTED, p, go_json_of(errs, NULL),
		          "supported values: \"storage\"");
	for (size_t i = 0; i < s->n_capacity; i++) {
		struct quantity q = quantity_of(s->capacity[i]->value->string);
		path_t at = FIELD_KEY(p, s->capacity[i]->key);
		check_name(errs, at, s->capacity[i]->key, names_qualified);
		if (quantity_sign(&q) <= 0)
			field_invalid(errs, at, s->capacity[i]->value->string,
			              "must be greater than zero");
	}
}

static void check_affinity(errs_t errs, const CoreV1__PersistentVolumeSpec *s)
{
	path_t p = FIELD(NULL, "spec.nodeAffinity");

	if (s->node_affinity) {
		if (!s->node_affinity->required)
			field_required(errs, FIELD(p, "required"),
			               "must specify required node constraints");
		else
			node_selector_check(errs, FIELD(p, "required"), s->node_affinity->required);
	} else if (s->persistent_volume_source->local) {
		field_required(errs, p, "Local volume requires node affinity");
	}
}

static void check_attributes_class(errs_t errs, const CoreV1__PersistentVolumeSpec *s)
{
	path_t p = FIELD(NULL, "spec.volumeAttributesClassName");

	if (!s->volume_attributes_class_name)
		return;
	if (!*s->volume_attributes_class_name)
		field_required(errs, p, "an empty string is disallowed");
	else
		check_name(errs, p, s->volume_attributes_class_name, names_dns1123_subdomain);
	if (!s->persistent_volume_source->csi)
		field_required(errs, FIELD(NULL, "spec.csi"),
		               "has to be specified when using volumeAttributesClassName");
}

static void validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const CoreV1__PersistentVolumeSpec *s = OBJECT_MSG(obj, CoreV1__PersistentVolume)->spec;
	path_t p = FIELD(NULL, "spec");

	if (!s->n_access_modes)
		field_required(errs, FIELD(p, "accessModes"), "");
	else
		access_modes_check(errs, FIELD(p, "accessModes"), s->access_modes,
		                   s->n_access_modes);
	check_capacity(errs, s);
	if (*s->persistent_volume_reclaim_policy)
		check_enum(errs, FIELD(p, "persistentVolumeReclaimPolicy"),
		           s->persistent_volume_reclaim_policy,
		           LIST("Delete", "Recycle", "Retain"));
	volume_source_check(errs, p, &s->persistent_volume_source->base,
	                    "must specify a volume type");
	check_affinity(errs, s);
	if (*s->storage_class_name)
		check_name(errs, FIELD(p, "storageClassName"), s->storage_class_name,
		           names_dns1123_subdomain);
	if (s->volume_mode)
		check_enum(errs, FIELD(p, "volumeMode"), s->volume_mode,
		           LIST("Block", "Filesystem"));
	if (s->persistent_volume_source->host_path &&
	    !strcmp(s->persistent_volume_source->host_path->path, "/") &&
	    !strcmp(s->persistent_volume_reclaim_policy, "Recycle"))
		field_forbidden(errs, FIELD(p, "persistentVolumeReclaimPolicy"),
		                "may not be 'recycle' for a hostPath mount of '/'");
	check_attributes_class(errs, s);
}

/* The secret for growing may be given later. */
static bool same_source(struct arena *a, const CoreV1__PersistentVolumeSource *now,
                        const CoreV1__PersistentVolumeSource *old)
{
	if (!now->csi || !old->csi || old->csi->controller_expand_secret_ref)
		return same_msg(now, old);
	CoreV1__PersistentVolumeSource *copy = arena_memdup(a, now, sizeof(*now));
	copy->csi = arena_memdup(a, now->csi, sizeof(*now->csi));
	copy->csi->controller_expand_secret_ref = NULL;
	return same_msg(copy, old);
}

/* Keys of labels that have become stable may be replaced. */
static const char *stable_key(const char *key)
{
	static const char *const keys[][2] = {
	    {"failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"},
	    {"failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"},
	    {"beta.kubernetes.io/os", "kubernetes.io/os"},
	    {"beta.kubernetes.io/arch", "kubernetes.io/arch"},
	    {"beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"},
	};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (!strcmp(keys[i][0], key))
			return keys[i][1];
	return NULL;
}

static bool same_affinity(struct arena *a, const CoreV1__VolumeNodeAffinity *now,
                          const CoreV1__VolumeNodeAffinity *old)
{
	CoreV1__VolumeNodeAffinity *was;

	if (!now || !now->required || !old->required)
		return same_msg(now, old);
	was =
	    (CoreV1__VolumeNodeAffinity *)msg_copy(schema_of(old->base.descriptor), &old->base, a);
	for (size_t i = 0;
	     i < was->required->n_node_selector_terms && i < now->required->n_node_selector_terms;
	     i++) {
		const CoreV1__NodeSelectorTerm *t = now->required->node_selector_terms[i];
		CoreV1__NodeSelectorTerm *o = was->required->node_selector_terms[i];
		for (size_t j = 0; j < o->n_match_expressions && j < t->n_match_expressions; j++) {
			char **key = &o->match_expressions[j]->key;
			const char *stable = stable_key(*key);
			if (stable && !strcmp(stable, t->match_expressions[j]->key))
				*key = arena_strdup(a, stable);
		}
	}
	return same_msg(now, was);
}

static void validate_update(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old_obj, errs_t errs)
{
	const CoreV1__PersistentVolumeSpec *s = OBJECT_MSG(obj, CoreV1__PersistentVolume)->spec;
	const CoreV1__PersistentVolumeSpec *old =
	    OBJECT_MSG(old_obj, CoreV1__PersistentVolume)->spec;

	if (!same_source(errs->arena, s->persistent_volume_source, old->persistent_volume_source))
		field_add(
		    errs, FIELD_FORBIDDEN, FIELD(NULL, "spec.persistentvolumesource"), NULL,
		    "spec.persistentvolumesource is immutable after creation\n%s",
		    msg_diff(errs, old->persistent_volume_source, s->persistent_volume_source));
	check_immutable_str(errs, FIELD(NULL, "volumeMode"), s->volume_mode, old->volume_mode);
	if (old->node_affinity && !same_affinity(errs->arena, s->node_affinity, old->node_affinity))
		field_invalid_json(errs, FIELD(NULL, "nodeAffinity"),
		                   go_json_of(errs, s->node_affinity),
		                   "field is immutable, except for updating from beta label to GA");
	if (old->volume_attributes_class_name && !s->volume_attributes_class_name)
		field_forbidden(errs, FIELD(NULL, "spec.volumeAttributesClassName"),
		                "update from non-nil value to nil is forbidden");
}

static const char *modes_text(struct arena *a, const CoreV1__PersistentVolumeSpec *s)
{
	static const char *const order[][2] = {{"ReadWriteOnce", "RWO"},
	                                       {"ReadOnlyMany", "ROX"},
	                                       {"ReadWriteMany", "RWX"},
	                                       {"ReadWriteOncePod", "RWOP"}};
	const char *text = "";

	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		if (strings_have(s->access_modes, s->n_access_modes, order[i][0]))
			text = joined(a, text, order[i][1], ",");
	return text;
}

static void row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const CoreV1__PersistentVolume *pv = OBJECT_MSG(obj, CoreV1__PersistentVolume);
	const CoreV1__PersistentVolumeSpec *s = pv->spec;
	const char *size = quantities_get(QUANTITIES(s->capacity), s->n_capacity, "storage");

	row_name(r, obj);
	row_str(r, size ? size : "");
	row_str(r, modes_text(ctx->arena, s));
	row_str(r, s->persistent_volume_reclaim_policy);
	row_str(r, pv->metadata->deletion_timestamp ? "Terminating" : pv->status->phase);
	row_str(r, s->claim_ref ? arena_printf(ctx->arena, "%s/%s", s->claim_ref->namespace_,
	                                       s->claim_ref->name)
	                        : "");
	row_str(r, s->storage_class_name);
	row_str(r, s->volume_attributes_class_name ? s->volume_attributes_class_name : "<unset>");
	row_str(r, pv->status->reason);
	row_age(ctx, r, obj);
	row_str(r, s->volume_mode ? s->volume_mode : "<unset>");
}

static void status_prepare(const struct strategy_ctx *ctx, struct object *obj,
                           const struct object *old)
{
	CoreV1__PersistentVolumeStatus *s = OBJECT_MSG(obj, CoreV1__PersistentVolume)->status;
	const CoreV1__PersistentVolumeStatus *was =
	    OBJECT_MSG(old, CoreV1__PersistentVolume)->status;

	if (strcmp(s->phase, was->phase) &&
	    same_msg(s->last_phase_transition_time, was->last_phase_transition_time))
		set_phase_time(ctx, s);
}

const struct strategy pv_strategy = {
    .kind = "PersistentVolume",
    .has_status = true,
    .prepare_create = prepare_create,
    .validate = validate,
    .validate_update = validate_update,
    .allow_unconditional_update = true,
    .field_error_fmt = NULL,
    .table_row = row,
};

const struct strategy pv_status_strategy = {
    .kind = "PersistentVolume",
    .is_status = true,
    .lax_update = true,
    .prepare_update = status_prepare,
    .allow_unconditional_update = true,
    .table_row = row,
};
