/* SPDX-License-Identifier: Apache-2.0 */
/* storage.k8s.io. */
#include "apiserver/registry/groups/kinds.h"
#include "apiserver/registry/row.h"

enum { PARAMETERS_MAX = 512, PARAMETERS_BYTES_MAX = 256 << 10 };

/* --- StorageClass, VolumeAttributesClass ------------------------------------------------------ */

static void check_provisioner(errs_t errs, path_t p, const char *name)
{
	char *lower;

	if (!check_required(errs, p, name))
		return;
	lower = arena_strdup(errs->arena, name);
	for (char *c = lower; *c; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
	check_name(errs, p, lower, names_qualified);
}

static void check_parameters(errs_t errs, path_t p, struct string_entry *const *map, size_t n)
{
	size_t bytes = 0;

	if (n > PARAMETERS_MAX)
		field_too_long(errs, p, PARAMETERS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (!*map[i]->key)
			field_invalid(errs, p, "", "field can not be empty.");
		bytes += strlen(map[i]->key) + strlen(map[i]->value ? map[i]->value : "");
	}
	if (bytes > PARAMETERS_BYTES_MAX)
		field_too_long(errs, p, PARAMETERS_BYTES_MAX);
}

static void class_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const StorageV1__StorageClass *c = OBJECT_MSG(obj, StorageV1__StorageClass);

	check_provisioner(errs, FIELD(NULL, "provisioner"), c->provisioner);
	check_parameters(errs, FIELD(NULL, "parameters"), STRINGS(c->parameters), c->n_parameters);
	if (c->reclaim_policy && *c->reclaim_policy)
		check_enum(errs, FIELD(NULL, "reclaimPolicy"), c->reclaim_policy,
		           LIST("Delete", "Retain"));
	if (!c->volume_binding_mode)
		field_required(errs, FIELD(NULL, "volumeBindingMode"), "");
	else
		check_enum(errs, FIELD(NULL, "volumeBindingMode"), c->volume_binding_mode,
		           LIST("Immediate", "WaitForFirstConsumer"));
}

static void class_update(const struct strategy_ctx *ctx, const struct object *obj,
                         const struct object *old_obj, errs_t errs)
{
	const StorageV1__StorageClass *c = OBJECT_MSG(obj, StorageV1__StorageClass);
	const StorageV1__StorageClass *old = OBJECT_MSG(old_obj, StorageV1__StorageClass);

	if (!same_map(c->parameters, c->n_parameters, old->parameters, old->n_parameters))
		field_invalid_json(errs, FIELD(NULL, "parameters"),
		                   json_of_map(errs, STRINGS(c->parameters), c->n_parameters),
		                   "field is immutable");
	check_immutable_str(errs, FIELD(NULL, "provisioner"), c->provisioner, old->provisioner);
	check_immutable_str(errs, FIELD(NULL, "reclaimPolicy"), c->reclaim_policy,
	                    old->reclaim_policy);
	check_immutable_str(errs, FIELD(NULL, "volumeBindingMode"), c->volume_binding_mode,
	                    old->volume_binding_mode);
}

static void class_row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const StorageV1__StorageClass *c = OBJECT_MSG(obj, StorageV1__StorageClass);
	const char *is_default =
	    strings_get(STRINGS(c->metadata->annotations), c->metadata->n_annotations,
	                "storageclass.kubernetes.io/is-default-class");

	row_str(r, is_default && !strcmp(is_default, "true")
	               ? arena_printf(ctx->arena, "%s (default)", object_name(obj))
	               : object_name(obj));
	row_str(r, c->provisioner);
	row_str(r, c->reclaim_policy ? c->reclaim_policy : "Delete");
	row_str(r, c->volume_binding_mode ? c->volume_binding_mode : "<unset>");
	row_bool(r, c->allow_volume_expansion);
	row_age(ctx, r, obj);
}

const struct strategy storageclass_strategy = {
    .kind = "StorageClass",
    .validate = class_validate,
    .validate_update = class_update,
    .allow_unconditional_update = true,
    .table_row = class_row,
};

static void attributes_validate(const struct strategy_ctx *ctx, const struct object *obj,
                                errs_t errs)
{
	const StorageV1__VolumeAttributesClass *c =
	    OBJECT_MSG(obj, StorageV1__VolumeAttributesClass);

	check_provisioner(errs, FIELD(NULL, "driverName"), c->driver_name);
	if (!c->n_parameters)
		field_required(errs, FIELD(NULL, "parameters"),
		               "must contain at least one key/value pair");
	check_parameters(errs, FIELD(NULL, "parameters"), STRINGS(c->parameters), c->n_parameters);
}

static void attributes_update(const struct strategy_ctx *ctx, const struct object *obj,
                              const struct object *old_obj, errs_t errs)
{
	const StorageV1__VolumeAttributesClass *c =
	    OBJECT_MSG(obj, StorageV1__VolumeAttributesClass);
	const StorageV1__VolumeAttributesClass *old =
	    OBJECT_MSG(old_obj, StorageV1__VolumeAttributesClass);

	check_immutable_str(errs, FIELD(NULL, "driverName"), c->driver_name, old->driver_name);
	if (!same_map(c->parameters, c->n_parameters, old->parameters, old->n_parameters))
		field_invalid_json(errs, FIELD(NULL, "parameters"),
		                   json_of_map(errs, STRINGS(c->parameters), c->n_parameters),
		                   "field is immutable");
}

static void attributes_row(const struct strategy_ctx *ctx, const struct object *obj,
                           struct table_row *r)
{
	row_name(r, obj);
	row_str(r, OBJECT_MSG(obj, StorageV1__VolumeAttributesClass)->driver_name);
	row_age(ctx, r, obj);
}

const struct strategy volumeattributesclass_strategy = {
    .kind = "VolumeAttributesClass",
    .validate = attributes_validate,
    .validate_update = attributes_update,
    .allow_unconditional_update = true,
    .table_row = attributes_row,
};

/* --- CSIDriver, CSINode, CSIStorageCapacity --------------------------------------------------- */

static void check_driver_name(errs_t errs, path_t p, const char *name)
{
	if (!check_required(errs, p, name))
		return;
	if (strlen(name) > 63)
		field_too_long(errs, p, 63);
	check_name(errs, p, name, names_dns1123_subdomain);
}

static void driver_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const StorageV1__CSIDriverSpec *s = OBJECT_MSG(obj, StorageV1__CSIDriver)->spec;
	path_t p = FIELD(NULL, "spec");

	check_driver_name(errs, FIELD(NULL, "name"), object_name(obj));
	for (size_t i = 0; i < s->n_volume_lifecycle_modes; i++)
		check_enum(errs, FIELD(p, "volumeLifecycleModes"), s->volume_lifecycle_modes[i],
		           LIST("Persistent", "Ephemeral"));
	if (!s->fs_group_policy)
		field_required(errs, FIELD(p, "fsGroupPolicy"), "");
	else
		check_enum(errs, FIELD(p, "fsGroupPolicy"), s->fs_group_policy,
		           LIST("File", "None", "ReadWriteOnceWithFSType"));
	struct index seen = INDEX_IN(errs->arena);
	for (size_t i = 0; i < s->n_token_requests; i++) {
		const StorageV1__TokenRequest *t = s->token_requests[i];
		path_t at = FIELD_INDEX(FIELD(p, "tokenRequests"), i);
		if (!index_add(&seen, t->audience, 0)) {
			field_duplicate(errs, FIELD(at, "audience"), t->audience);
		}
		if (t->has_expiration_seconds && t->expiration_seconds < 600)
			field_invalid_int(errs, FIELD(at, "expirationSeconds"),
			                  t->expiration_seconds,
			                  "may not specify a duration less than 10 minutes");
	}
}

static void driver_update(const struct strategy_ctx *ctx, const struct object *obj,
                          const struct object *old_obj, errs_t errs)
{
	const StorageV1__CSIDriverSpec *s = OBJECT_MSG(obj, StorageV1__CSIDriver)->spec;
	const StorageV1__CSIDriverSpec *old = OBJECT_MSG(old_obj, StorageV1__CSIDriver)->spec;

	if (s->attach_required != old->attach_required)
		field_invalid_json(errs, FIELD(NULL, "spec.attachedRequired"),
		                   s->attach_required ? "true" : "false", "field is immutable");
	if (!same_strings(s->volume_lifecycle_modes, s->n_volume_lifecycle_modes,
	                  old->volume_lifecycle_modes, old->n_volume_lifecycle_modes))
		field_invalid_json(
		    errs, FIELD(NULL, "spec.volumeLifecycleModes"),
		    json_of_strings(errs, s->volume_lifecycle_modes, s->n_volume_lifecycle_modes),
		    "field is immutable");
}

static void driver_row(const struct strategy_ctx *ctx, const struct object *obj,
                       struct table_row *r)
{
	const StorageV1__CSIDriverSpec *s = OBJECT_MSG(obj, StorageV1__CSIDriver)->spec;
	struct join tokens = JOIN(ctx->arena, ",");

	for (size_t i = 0; i < s->n_token_requests; i++)
		join_add(&tokens, s->token_requests[i]->audience);
	row_name(r, obj);
	row_bool(r, !s->has_attach_required || s->attach_required);
	row_bool(r, s->pod_info_on_mount);
	row_bool(r, s->storage_capacity);
	row_str(r, s->n_token_requests ? join_text(&tokens) : "<unset>");
	row_bool(r, s->requires_republish);
	row_list(ctx, r, s->volume_lifecycle_modes, s->n_volume_lifecycle_modes, "<none>");
	row_age(ctx, r, obj);
}

const struct strategy csidriver_strategy = {
    .kind = "CSIDriver",
    .validate = driver_validate,
    .validate_update = driver_update,
    .table_row = driver_row,
};

static void node_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const StorageV1__CSINodeSpec *s = OBJECT_MSG(obj, StorageV1__CSINode)->spec;

	struct index seen = INDEX_IN(errs->arena);
	for (size_t i = 0; i < s->n_drivers; i++) {
		const StorageV1__CSINodeDriver *d = s->drivers[i];
		path_t p = FIELD_INDEX(FIELD(NULL, "spec.drivers"), i);
		check_driver_name(errs, FIELD(p, "name"), d->name);
		check_required(errs, FIELD(p, "nodeID"), d->node_id);
		if (strlen(d->node_id) > 256)
			field_invalid(errs, FIELD(p, "nodeID"), d->node_id,
			              "must be 256 characters or less");
		if (d->allocatable && d->allocatable->has_count && d->allocatable->count < 0)
			field_invalid_int(errs, FIELD(p, "allocatable.count"),
			                  d->allocatable->count,
			                  "must be greater than or equal to 0");
		if (!index_add(&seen, d->name, 0)) {
			field_duplicate(errs, FIELD(p, "name"), d->name);
		}
		for (size_t j = 0; j < d->n_topology_keys; j++)
			check_name(errs, p, d->topology_keys[j], names_qualified);
	}
}

static void node_row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	row_name(r, obj);
	row_int(r, (int64_t)OBJECT_MSG(obj, StorageV1__CSINode)->spec->n_drivers);
	row_age(ctx, r, obj);
}

const struct strategy csinode_strategy = {
    .kind = "CSINode",
    .validate = node_validate,
    .table_row = node_row,
};

static void capacity_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const StorageV1__CSIStorageCapacity *c = OBJECT_MSG(obj, StorageV1__CSIStorageCapacity);

	check_selector(errs, FIELD(NULL, "nodeTopology"), c->node_topology);
	check_required_name(errs, FIELD(NULL, "storageClassName"), c->storage_class_name,
	                    names_dns1123_subdomain);
	if (c->capacity && quantity_cmp_text(c->capacity->string, "0") < 0)
		field_invalid(errs, FIELD(NULL, "capacity"), c->capacity->string,
		              "must be greater than or equal to 0");
	if (c->maximum_volume_size && quantity_cmp_text(c->maximum_volume_size->string, "0") < 0)
		field_invalid(errs, FIELD(NULL, "maximumVolumeSize"),
		              c->maximum_volume_size->string, "must be greater than or equal to 0");
}

static void capacity_update(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old_obj, errs_t errs)
{
	const StorageV1__CSIStorageCapacity *c = OBJECT_MSG(obj, StorageV1__CSIStorageCapacity);
	const StorageV1__CSIStorageCapacity *old =
	    OBJECT_MSG(old_obj, StorageV1__CSIStorageCapacity);

	check_immutable_msg(errs, FIELD(NULL, "nodeTopology"), c->node_topology,
	                    old->node_topology);
	check_immutable_str(errs, FIELD(NULL, "storageClassName"), c->storage_class_name,
	                    old->storage_class_name);
}

static void capacity_row(const struct strategy_ctx *ctx, const struct object *obj,
                         struct table_row *r)
{
	const StorageV1__CSIStorageCapacity *c = OBJECT_MSG(obj, StorageV1__CSIStorageCapacity);

	row_name(r, obj);
	row_str(r, c->storage_class_name);
	row_str(r, c->capacity ? c->capacity->string : "<unset>");
}

const struct strategy csistoragecapacity_strategy = {
    .kind = "CSIStorageCapacity",
    .validate = capacity_validate,
    .validate_update = capacity_update,
    .table_row = capacity_row,
};

/* --- VolumeAttachment ------------------------------------------------------------------------- */

static void attachment_validate(const struct strategy_ctx *ctx, const struct object *obj,
                                errs_t errs)
{
	const StorageV1__VolumeAttachmentSpec *s =
	    OBJECT_MSG(obj, StorageV1__VolumeAttachment)->spec;
	path_t p = FIELD(NULL, "spec");

	check_driver_name(errs, FIELD(p, "attacher"), s->attacher);
	if (!s->source->persistent_volume_name == !s->source->inline_volume_spec)
		field_required(
		    errs, FIELD(p, "source"),
		    "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
	else if (s->source->persistent_volume_name && !*s->source->persistent_volume_name)
		field_required(errs, FIELD(p, "source.persistentVolumeName"),
		               "must specify non empty persistentVolumeName");
	check_name(errs, FIELD(p, "nodeName"), s->node_name, names_dns1123_subdomain);
}

static void attachment_update(const struct strategy_ctx *ctx, const struct object *obj,
                              const struct object *old, errs_t errs)
{
	const StorageV1__VolumeAttachmentSpec *s =
	    OBJECT_MSG(obj, StorageV1__VolumeAttachment)->spec;

	if (!same_msg(s, OBJECT_MSG(old, StorageV1__VolumeAttachment)->spec))
		field_invalid_json(errs, FIELD(NULL, "spec"), go_json_of(errs, s),
		                   "field is immutable");
}

static void attachment_row(const struct strategy_ctx *ctx, const struct object *obj,
                           struct table_row *r)
{
	const StorageV1__VolumeAttachment *v = OBJECT_MSG(obj, StorageV1__VolumeAttachment);

	row_name(r, obj);
	row_str(r, v->spec->attacher);
	row_str(r, v->spec->source->persistent_volume_name);
	row_str(r, v->spec->node_name);
	row_bool(r, v->status->attached);
	row_age(ctx, r, obj);
}

const struct strategy volumeattachment_strategy = {
    .kind = "VolumeAttachment",
    .has_status = true,
    .validate = attachment_validate,
    .validate_update = attachment_update,
    .table_row = attachment_row,
};

const struct strategy volumeattachment_status_strategy = {
    .kind = "VolumeAttachment",
    .is_status = true,
    .lax_update = true,
    .table_row = attachment_row,
};
