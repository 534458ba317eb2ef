/* SPDX-License-Identifier: Apache-2.0 */
/* resource.k8s.io: claims of devices, their templates, classes and slices. Expressions are checked
 * by who compiles them. */
#include "apiserver/registry/core/pod_spec.h"
#include "apiserver/registry/groups/kinds.h"
#include "apiserver/registry/row.h"

enum {
	REQUESTS_MAX = 32,
	CONSTRAINTS_MAX = 32,
	CONFIGS_MAX = 32,
	SELECTORS_MAX = 32,
	DEVICES_MAX = 128,
	RESERVED_MAX = 256,
};

/* What exact requests and subrequests have in common. */
struct request {
	const char *class_name, *mode;
	ResourceV1__DeviceSelector *const *selectors;
	size_t n_selectors;
	int64_t count;
};

static void check_request_body(errs_t errs, path_t p, const struct request *r)
{
	check_required_name(errs, FIELD(p, "deviceClassName"), r->class_name,
	                    names_dns1123_subdomain);
	if (r->n_selectors > SELECTORS_MAX)
		field_too_many(errs, FIELD(p, "selectors"), (int64_t)r->n_selectors, SELECTORS_MAX);
	for (size_t i = 0; i < r->n_selectors && i < SELECTORS_MAX; i++)
		if (!r->selectors[i]->cel)
			field_required(errs, FIELD(FIELD_INDEX(FIELD(p, "selectors"), i), "cel"),
			               "");
	if (!strcmp(r->mode, "All")) {
		if (r->count)
			field_invalid_int(errs, FIELD(p, "count"), r->count,
			                  "must not be specified when allocationMode is 'All'");
	} else if (!strcmp(r->mode, "ExactCount")) {
		check_positive(errs, FIELD(p, "count"), r->count);
	} else {
		check_enum(errs, FIELD(p, "allocationMode"), r->mode, LIST("All", "ExactCount"));
	}
}

static void check_request(errs_t errs, path_t p, const ResourceV1__DeviceRequest *r)
{
	check_name(errs, FIELD(p, "name"), r->name, names_dns1123_label);
	if (!r->exactly == !r->n_first_available) {
		static const char need[] =
		    "exactly one of `exactly` or `firstAvailable` is required";
		if (r->exactly)
			field_invalid(errs, p, NULL, need);
		else
			field_required(errs, p, need);
		return;
	}
	if (r->exactly) {
		const ResourceV1__ExactDeviceRequest *e = r->exactly;
		struct request body = {e->device_class_name, e->allocation_mode, e->selectors,
		                       e->n_selectors, e->count};
		check_request_body(errs, FIELD(p, "exactly"), &body);
		return;
	}
	for (size_t i = 0; i < r->n_first_available; i++) {
		const ResourceV1__DeviceSubRequest *s = r->first_available[i];
		struct request body = {s->device_class_name, s->allocation_mode, s->selectors,
		                       s->n_selectors, s->count};
		path_t at = FIELD_INDEX(FIELD(p, "firstAvailable"), i);
		check_name(errs, FIELD(at, "name"), s->name, names_dns1123_label);
		check_request_body(errs, at, &body);
	}
}

static bool has_request(const ResourceV1__DeviceClaim *d, const char *name)
{
	size_t n = strcspn(name, "/");

	for (size_t i = 0; i < d->n_requests; i++)
		if (strlen(d->requests[i]->name) == n && !strncmp(d->requests[i]->name, name, n))
			return true;
	return false;
}

static void check_references(errs_t errs, path_t p, const ResourceV1__DeviceClaim *d,
                             char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!has_request(d, names[i]))
			field_add(errs, FIELD_INVALID, FIELD_INDEX(p, i),
			          field_quote(errs->arena, names[i]),
			          "must be the name of a request in the claim");
}

static void check_config(errs_t errs, path_t p, const ResourceV1__DeviceConfiguration *c)
{
	if (!c || !c->opaque) {
		field_required(errs, FIELD(p, "opaque"), "");
		return;
	}
	check_required_name(errs, FIELD(p, "opaque.driver"), c->opaque->driver,
	                    names_dns1123_subdomain);
	if (!c->opaque->parameters || !c->opaque->parameters->raw.len)
		field_required(errs, FIELD(p, "opaque.parameters"), "");
}

static void check_claim(errs_t errs, path_t p, const ResourceV1__DeviceClaim *d)
{
	path_t requests = FIELD(p, "requests");

	if (d->n_requests > REQUESTS_MAX)
		field_too_many(errs, requests, (int64_t)d->n_requests, REQUESTS_MAX);
	struct index seen = INDEX_IN(errs->arena);
	for (size_t i = 0; i < d->n_requests && i < REQUESTS_MAX; i++) {
		check_request(errs, FIELD_INDEX(requests, i), d->requests[i]);
		if (!index_add(&seen, d->requests[i]->name, 0)) {
			field_duplicate(errs, FIELD_INDEX(requests, i), d->requests[i]->name);
		}
	}
	if (d->n_constraints > CONSTRAINTS_MAX)
		field_too_many(errs, FIELD(p, "constraints"), (int64_t)d->n_constraints,
		               CONSTRAINTS_MAX);
	for (size_t i = 0; i < d->n_constraints && i < CONSTRAINTS_MAX; i++) {
		const ResourceV1__DeviceConstraint *c = d->constraints[i];
		path_t at = FIELD_INDEX(FIELD(p, "constraints"), i);
		check_references(errs, FIELD(at, "requests"), d, c->requests, c->n_requests);
		if (!c->match_attribute && !c->distinct_attribute)
			field_required(errs, FIELD(at, "matchAttribute"), "");
	}
	if (d->n_config > CONFIGS_MAX)
		field_too_many(errs, FIELD(p, "config"), (int64_t)d->n_config, CONFIGS_MAX);
	for (size_t i = 0; i < d->n_config && i < CONFIGS_MAX; i++) {
		path_t at = FIELD_INDEX(FIELD(p, "config"), i);
		check_references(errs, FIELD(at, "requests"), d, d->config[i]->requests,
		                 d->config[i]->n_requests);
		check_config(errs, at, d->config[i]->device_configuration);
	}
}

static void claim_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	check_claim(errs, FIELD(NULL, "spec.devices"),
	            OBJECT_MSG(obj, ResourceV1__ResourceClaim)->spec->devices);
}

static void claim_update(const struct strategy_ctx *ctx, const struct object *obj,
                         const struct object *old, errs_t errs)
{
	const ResourceV1__ResourceClaimSpec *s = OBJECT_MSG(obj, ResourceV1__ResourceClaim)->spec;

	if (!same_msg(s, OBJECT_MSG(old, ResourceV1__ResourceClaim)->spec))
		field_invalid_json(errs, FIELD(NULL, "spec"), go_json_of(errs, s),
		                   "field is immutable");
}

static void claim_status_validate(const struct strategy_ctx *ctx, const struct object *obj,
                                  const struct object *old_obj, errs_t errs)
{
	const ResourceV1__ResourceClaimStatus *s =
	    OBJECT_MSG(obj, ResourceV1__ResourceClaim)->status;
	const ResourceV1__ResourceClaimStatus *old =
	    OBJECT_MSG(old_obj, ResourceV1__ResourceClaim)->status;
	path_t p = FIELD(NULL, "status.reservedFor");

	if (s->n_reserved_for > RESERVED_MAX)
		field_too_many(errs, p, (int64_t)s->n_reserved_for, RESERVED_MAX);
	for (size_t i = 0; i < s->n_reserved_for && i < RESERVED_MAX; i++) {
		path_t at = FIELD_INDEX(p, i);
		check_required(errs, FIELD(at, "resource"), s->reserved_for[i]->resource);
		check_required(errs, FIELD(at, "name"), s->reserved_for[i]->name);
		check_required(errs, FIELD(at, "uid"), s->reserved_for[i]->uid);
	}
	if (s->n_reserved_for && !s->allocation)
		field_forbidden(errs, p, "may not be specified when `allocated` is not set");
	if (old->allocation && s->allocation && !same_msg(old->allocation, s->allocation))
		field_invalid_json(errs, FIELD(NULL, "status.allocation"),
		                   go_json_of(errs, s->allocation), "field is immutable");
}

static const char *claim_state(struct arena *a, const ResourceV1__ResourceClaim *c)
{
	const char *text = "";

	if (c->metadata->deletion_timestamp)
		text = "deleted";
	if (c->status->allocation)
		text = joined(a, text, "allocated", ",");
	else if (!c->metadata->deletion_timestamp)
		text = joined(a, text, "pending", ",");
	if (c->status->n_reserved_for)
		text = joined(a, text, "reserved", ",");
	return text;
}

static void claim_row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	row_name(r, obj);
	row_str(r, claim_state(ctx->arena, OBJECT_MSG(obj, ResourceV1__ResourceClaim)));
	row_age(ctx, r, obj);
}

static void name_age_row(const struct strategy_ctx *ctx, const struct object *obj,
                         struct table_row *r)
{
	row_name(r, obj);
	row_age(ctx, r, obj);
}

const struct strategy resourceclaim_strategy = {
    .kind = "ResourceClaim",
    .has_status = true,
    .validate = claim_validate,
    .validate_update = claim_update,
    .allow_unconditional_update = true,
    .table_row = claim_row,
};

const struct strategy resourceclaim_status_strategy = {
    .kind = "ResourceClaim",
    .is_status = true,
    .keeps_metadata = true,
    .lax_update = true,
    .validate_update = claim_status_validate,
    .allow_unconditional_update = true,
    .table_row = claim_row,
};

static void template_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const ResourceV1__ResourceClaimTemplateSpec *s =
	    OBJECT_MSG(obj, ResourceV1__ResourceClaimTemplate)->spec;

	check_labels(errs, FIELD(NULL, "spec.metadata.labels"), STRINGS(s->metadata->labels),
	             s->metadata->n_labels);
	check_claim(errs, FIELD(NULL, "spec.spec.devices"), s->spec->devices);
}

static void template_update(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old, errs_t errs)
{
	const ResourceV1__ResourceClaimTemplateSpec *s =
	    OBJECT_MSG(obj, ResourceV1__ResourceClaimTemplate)->spec;

	if (!same_msg(s, OBJECT_MSG(old, ResourceV1__ResourceClaimTemplate)->spec))
		field_invalid_json(errs, FIELD(NULL, "spec"), go_json_of(errs, s),
		                   "field is immutable");
}

const struct strategy resourceclaimtemplate_strategy = {
    .kind = "ResourceClaimTemplate",
    .validate = template_validate,
    .validate_update = template_update,
    .allow_unconditional_update = true,
    .table_row = name_age_row,
};

static void class_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const ResourceV1__DeviceClassSpec *s = OBJECT_MSG(obj, ResourceV1__DeviceClass)->spec;
	path_t p = FIELD(NULL, "spec");

	if (s->n_selectors > SELECTORS_MAX)
		field_too_many(errs, FIELD(p, "selectors"), (int64_t)s->n_selectors, SELECTORS_MAX);
	for (size_t i = 0; i < s->n_selectors && i < SELECTORS_MAX; i++)
		if (!s->selectors[i]->cel)
			field_required(errs, FIELD(FIELD_INDEX(FIELD(p, "selectors"), i), "cel"),
			               "");
	for (size_t i = 0; i < s->n_config; i++)
		check_config(errs, FIELD_INDEX(FIELD(p, "config"), i),
		             s->config[i]->device_configuration);
}

const struct strategy deviceclass_strategy = {
    .kind = "DeviceClass",
    .generation = GENERATION_SPEC,
    .validate = class_validate,
    .allow_unconditional_update = true,
    .table_row = name_age_row,
};

static void slice_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const ResourceV1__ResourceSliceSpec *s = OBJECT_MSG(obj, ResourceV1__ResourceSlice)->spec;
	path_t p = FIELD(NULL, "spec");
	int selections = (s->node_name && *s->node_name) + !!s->node_selector + !!s->all_nodes +
	                 !!s->per_device_node_selection;

	check_required_name(errs, FIELD(p, "driver"), s->driver, names_dns1123_subdomain);
	check_required(errs, FIELD(p, "pool.name"), s->pool->name);
	check_positive(errs, FIELD(p, "pool.resourceSliceCount"), s->pool->resource_slice_count);
	check_nonneg(errs, FIELD(p, "pool.generation"), s->pool->generation);
	if (selections != 1)
		field_add(errs, selections ? FIELD_INVALID : FIELD_REQUIRED, p, NULL,
		          "exactly one of `nodeName`, `nodeSelector`, `allNodes`, "
		          "`perDeviceNodeSelection` is required");
	if (s->node_name && *s->node_name)
		check_name(errs, FIELD(p, "nodeName"), s->node_name, names_dns1123_subdomain);
	if (s->node_selector)
		node_selector_check(errs, FIELD(p, "nodeSelector"), s->node_selector);
	if (s->n_devices > DEVICES_MAX)
		field_too_many(errs, FIELD(p, "devices"), (int64_t)s->n_devices, DEVICES_MAX);
	struct index seen = INDEX_IN(errs->arena);
	for (size_t i = 0; i < s->n_devices && i < DEVICES_MAX; i++) {
		path_t at = FIELD_INDEX(FIELD(p, "devices"), i);
		check_name(errs, FIELD(at, "name"), s->devices[i]->name, names_dns1123_label);
		if (!index_add(&seen, s->devices[i]->name, 0)) {
			field_duplicate(errs, FIELD(at, "name"), s->devices[i]->name);
		}
	}
}

static void slice_update(const struct strategy_ctx *ctx, const struct object *obj,
                         const struct object *old_obj, errs_t errs)
{
	const ResourceV1__ResourceSliceSpec *s = OBJECT_MSG(obj, ResourceV1__ResourceSlice)->spec;
	const ResourceV1__ResourceSliceSpec *old =
	    OBJECT_MSG(old_obj, ResourceV1__ResourceSlice)->spec;

	check_immutable_str(errs, FIELD(NULL, "spec.driver"), s->driver, old->driver);
	check_immutable_str(errs, FIELD(NULL, "spec.pool.name"), s->pool->name, old->pool->name);
	check_immutable_str(errs, FIELD(NULL, "spec.nodeName"), s->node_name, old->node_name);
}

static void slice_fields(const struct object *obj, struct arena *a, const char **ret)
{
	const ResourceV1__ResourceSliceSpec *s = OBJECT_MSG(obj, ResourceV1__ResourceSlice)->spec;

	ret[0] = s->driver;
	ret[1] = s->node_name;
}

static void slice_row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const ResourceV1__ResourceSliceSpec *s = OBJECT_MSG(obj, ResourceV1__ResourceSlice)->spec;

	row_name(r, obj);
	row_str(r, s->node_name);
	row_str(r, s->driver);
	row_str(r, s->pool->name);
	row_age(ctx, r, obj);
}

const struct strategy resourceslice_strategy = {
    .kind = "ResourceSlice",
    .generation = GENERATION_SPEC,
    .validate = slice_validate,
    .validate_update = slice_update,
    .allow_unconditional_update = true,
    .field_names = LIST("spec.driver", "spec.nodeName"),
    .field_values = slice_fields,
    .field_error_fmt = "field label not supported for ResourceSlice: %s",
    .table_row = slice_row,
};
