/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/core/pvc.h"

#include "apiserver/registry/core/kinds.h"
#include "apiserver/registry/core/pod_spec.h"
#include "apiserver/registry/row.h"

static const char class_annotation[] = "volume.beta.kubernetes.io/storage-class";

void access_modes_check(errs_t errs, path_t p, char *const *modes, size_t n)
{
	bool once_pod = false, other = false;

	if (!n)
		field_required(errs, p, "at least 1 access mode is required");
	for (size_t i = 0; i < n; i++) {
		check_enum(
		    errs, p, modes[i],
		    LIST("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"));
		once_pod |= !strcmp(modes[i], "ReadWriteOncePod");
		other |= list_has(LIST("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce"), modes[i]);
	}
	if (once_pod && other)
		field_forbidden(errs, p, "may not use ReadWriteOncePod with other access modes");
}

static void check_data_source(errs_t errs, path_t p, const CoreV1__TypedLocalObjectReference *d)
{
	check_required(errs, FIELD(p, "name"), d->name);
	check_required(errs, FIELD(p, "kind"), d->kind);
	if (!d->api_group || !*d->api_group) {
		if (strcmp(d->kind, "PersistentVolumeClaim"))
			field_invalid(
			    errs, p, d->kind,
			    "must be 'PersistentVolumeClaim' when referencing the default "
			    "apiGroup");
	} else {
		check_name(errs, FIELD(p, "apiGroup"), d->api_group, names_dns1123_subdomain);
	}
}

static void check_data_source_ref(errs_t errs, path_t p, const CoreV1__PersistentVolumeClaimSpec *s)
{
	const CoreV1__TypedObjectReference *r = s->data_source_ref;
	const CoreV1__TypedLocalObjectReference *d = s->data_source;
	path_t at = FIELD(p, "dataSourceRef");
	CoreV1__TypedLocalObjectReference local = CORE_V1__TYPED_LOCAL_OBJECT_REFERENCE__INIT;

	local.api_group = r->api_group;
	local.kind = r->kind;
	local.name = r->name;
	check_data_source(errs, at, &local);
	bool has_namespace = r->namespace_ && *r->namespace_;
	if (has_namespace)
		check_name(errs, FIELD(at, "namespace"), r->namespace_, names_dns1123_label);
	/* Upstream shows the path where the value belongs. */
	const char *shown = field_path_str(errs->arena, FIELD(p, "dataSource"));
	if (has_namespace && d)
		field_invalid(errs, p, shown,
		              "may not be specified when dataSourceRef.namespace is specified");
	else if (d && (!same_str(d->api_group, r->api_group) || strcmp(d->kind, r->kind) ||
	               strcmp(d->name, r->name)))
		field_invalid(errs, p, shown, "must match dataSourceRef");
}

void pvc_spec_check(errs_t errs, path_t p, const CoreV1__PersistentVolumeClaimSpec *s)
{
	const CoreV1__VolumeResourceRequirements *r = s->resources;
	const char *storage = quantities_get(QUANTITIES(r->requests), r->n_requests, "storage");
	path_t resources = FIELD(p, "resources");

	access_modes_check(errs, FIELD(p, "accessModes"), s->access_modes, s->n_access_modes);
	check_selector(errs, FIELD(p, "selector"), s->selector);
	if (!storage) {
		field_required(errs, FIELD_KEY(resources, "storage"), "");
	} else {
		struct quantity q = quantity_of(storage);
		if (quantity_sign(&q) <= 0)
			field_invalid(errs, FIELD_KEY(resources, "storage"), storage,
			              "must be greater than zero");
	}
	if (s->storage_class_name && *s->storage_class_name)
		check_name(errs, FIELD(p, "storageClassName"), s->storage_class_name,
		           names_dns1123_subdomain);
	if (s->volume_mode)
		check_enum(errs, FIELD(p, "volumeMode"), s->volume_mode,
		           LIST("Block", "Filesystem"));
	if (s->data_source)
		check_data_source(errs, FIELD(p, "dataSource"), s->data_source);
	if (s->data_source_ref)
		check_data_source_ref(errs, p, s);
	if (s->volume_attributes_class_name && *s->volume_attributes_class_name)
		check_name(errs, FIELD(p, "volumeAttributesClassName"),
		           s->volume_attributes_class_name, names_dns1123_subdomain);
}

/* dataSource and dataSourceRef say the same in two ways. */
static void sync_data_source(const struct strategy_ctx *ctx, struct object *obj)
{
	CoreV1__PersistentVolumeClaimSpec *s = OBJECT_MSG(obj, CoreV1__PersistentVolumeClaim)->spec;
	struct arena *a = ctx->arena;

	if (s->data_source && !s->data_source_ref) {
		CoreV1__TypedObjectReference *r = arena_new(a, CoreV1__TypedObjectReference);
		protobuf_c_message_init(&core_v1__typed_object_reference__descriptor, r);
		r->api_group = s->data_source->api_group;
		r->kind = s->data_source->kind;
		r->name = s->data_source->name;
		s->data_source_ref = r;
	} else if (s->data_source_ref && !s->data_source && !s->data_source_ref->namespace_ &&
	           ((s->data_source_ref->api_group &&
	             !strcmp(s->data_source_ref->api_group, "snapshot.storage.k8s.io")) ||
	            !strcmp(s->data_source_ref->kind, "PersistentVolumeClaim"))) {
		CoreV1__TypedLocalObjectReference *d =
		    arena_new(a, CoreV1__TypedLocalObjectReference);
		protobuf_c_message_init(&core_v1__typed_local_object_reference__descriptor, d);
		d->api_group = s->data_source_ref->api_group;
		d->kind = s->data_source_ref->kind;
		d->name = s->data_source_ref->name;
		s->data_source = d;
	}
}

static void prepare_create(const struct strategy_ctx *ctx, struct object *obj)
{
	CoreV1__PersistentVolumeClaim *c = OBJECT_MSG(obj, CoreV1__PersistentVolumeClaim);

	c->status->phase = arena_strdup(ctx->arena, "Pending");
	sync_data_source(ctx, obj);
}

static void prepare_update(const struct strategy_ctx *ctx, struct object *obj,
                           const struct object *old)
{
	sync_data_source(ctx, obj);
}

static void validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	pvc_spec_check(errs, FIELD(NULL, "spec"),
	               OBJECT_MSG(obj, CoreV1__PersistentVolumeClaim)->spec);
}

static const char *request(const CoreV1__PersistentVolumeClaim *c)
{
	const CoreV1__VolumeResourceRequirements *r = c->spec->resources;

	return quantities_get(QUANTITIES(r->requests), r->n_requests, "storage");
}

static void validate_update(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old_obj, errs_t errs)
{
	const CoreV1__PersistentVolumeClaim *c = OBJECT_MSG(obj, CoreV1__PersistentVolumeClaim);
	const CoreV1__PersistentVolumeClaim *old =
	    OBJECT_MSG(old_obj, CoreV1__PersistentVolumeClaim);
	CoreV1__PersistentVolumeClaimSpec *s = arena_memdup(errs->arena, c->spec, sizeof(*s));
	bool bound = !strcmp(old->status->phase, "Bound");
	const char *now = request(c), *was = request(old);

	/* The volume may be named once, the class given later, and a bound claim may grow. */
	if (!*old->spec->volume_name)
		s->volume_name = old->spec->volume_name;
	if (!old->spec->storage_class_name)
		s->storage_class_name = NULL;
	if (bound && now && was && quantity_cmp_text(now, was) >= 0)
		s->resources = old->spec->resources;
	s->volume_attributes_class_name = old->spec->volume_attributes_class_name;
	if (!same_msg(s, old->spec))
		field_forbidden(errs, FIELD(NULL, "spec"),
		                "spec is immutable after creation except resources.requests and "
		                "volumeAttributesClassName for bound claims");
	else if (bound && now && was && quantity_cmp_text(now, was) < 0)
		field_forbidden(errs, FIELD(NULL, "spec.resources.requests.storage"),
		                "field can not be less than status.capacity");
	if (same_str(c->spec->volume_attributes_class_name,
	             old->spec->volume_attributes_class_name))
		return;
	if (old->spec->volume_attributes_class_name && !c->spec->volume_attributes_class_name)
		field_forbidden(errs, FIELD(NULL, "spec.volumeAttributesClassName"),
		                "update from non-nil value to nil is forbidden");
	else if (!bound)
		field_forbidden(errs, FIELD(NULL, "spec.volumeAttributesClassName"),
		                "update is forbidden when claim is not bound");
}

static void warnings(const struct strategy_ctx *ctx, const struct object *obj,
                     const struct object *old, struct strategy_warnings *w)
{
	const char *size = request(OBJECT_MSG(obj, CoreV1__PersistentVolumeClaim));
	struct quantity q = quantity_of(size ? size : "0");

	if (strings_get(STRINGS(obj->meta->annotations), obj->meta->n_annotations,
	                class_annotation))
		strategy_warn(
		    w,
		    "metadata.annotations[%s]: deprecated since v1.8; use \"storageClassName\" "
		    "attribute instead",
		    class_annotation);
	if (size && !quantity_is_integer(&q))
		strategy_warn(w,
		              "spec.resources.requests[storage]: fractional byte value \"%s\" is "
		              "invalid, must be an integer",
		              size);
}

static const char *mode_text(struct arena *a, char *const *modes, size_t n)
{
	static const struct {
		const char *mode, *text;
	} order[] = {{"ReadWriteOnce", "RWO"},
	             {"ReadOnlyMany", "ROX"},
	             {"ReadWriteMany", "RWX"},
	             {"ReadWriteOncePod", "RWOP"}};
	const char *text = "";

	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		if (strings_have(modes, n, order[i].mode))
			text = joined(a, text, order[i].text, ",");
	return text;
}

static void row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const CoreV1__PersistentVolumeClaim *c = OBJECT_MSG(obj, CoreV1__PersistentVolumeClaim);
	const char *class = strings_get(STRINGS(c->metadata->annotations),
	                                c->metadata->n_annotations, class_annotation);
	bool has_volume = *c->spec->volume_name;
	const char *capacity =
	    quantities_get(QUANTITIES(c->status->capacity), c->status->n_capacity, "storage");

	row_name(r, obj);
	row_str(r, c->metadata->deletion_timestamp ? "Terminating" : c->status->phase);
	row_str(r, c->spec->volume_name);
	row_str(r, has_volume && capacity ? capacity : "");
	row_str(r, has_volume
	               ? mode_text(ctx->arena, c->status->access_modes, c->status->n_access_modes)
	               : "");
	row_str(r, class ? class : c->spec->storage_class_name);
	row_str(r, c->spec->volume_attributes_class_name ? c->spec->volume_attributes_class_name
	                                                 : "<unset>");
	row_age(ctx, r, obj);
	row_str(r, c->spec->volume_mode ? c->spec->volume_mode : "<unset>");
}

const struct strategy pvc_strategy = {
    .kind = "PersistentVolumeClaim",
    .has_status = true,
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .validate = validate,
    .validate_update = validate_update,
    .warnings = warnings,
    .allow_unconditional_update = true,
    .table_row = row,
};

static void status_validate(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old, errs_t errs)
{
	const CoreV1__PersistentVolumeClaimStatus *s =
	    OBJECT_MSG(obj, CoreV1__PersistentVolumeClaim)->status;

	resource_list_check(errs, FIELD(NULL, "status.capacity"), QUANTITIES(s->capacity),
	                    s->n_capacity);
	for (size_t i = 0; i < s->n_access_modes; i++)
		check_enum(
		    errs, FIELD_INDEX(FIELD(NULL, "status.accessModes"), i), s->access_modes[i],
		    LIST("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"));
}

const struct strategy pvc_status_strategy = {
    .kind = "PersistentVolumeClaim",
    .is_status = true,
    .lax_update = true,
    .validate_update = status_validate,
    .allow_unconditional_update = true,
    .table_row = row,
};
