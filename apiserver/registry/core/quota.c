/* SPDX-License-Identifier: Apache-2.0 */
/* LimitRanges and ResourceQuotas. */
#include "apiserver/registry/core/kinds.h"
#include "apiserver/registry/core/pod_spec.h"
#include "apiserver/registry/defaults.h"
#include "apiserver/registry/row.h"

/* --- LimitRange ------------------------------------------------------------------------------- */

struct limits {
	struct quantity_entry ***list; /* a member of the item, to append to */
	size_t *n;
};

static void add_limit(struct arena *a, struct limits to, const ProtobufCMessageDescriptor *desc,
                      const char *key, Quantity__Quantity *value)
{
	struct quantity_entry *e = arena_new(a, struct quantity_entry);

	if (quantities_get(*to.list, *to.n, key))
		return;
	protobuf_c_message_init(desc, e);
	e->key = arena_strdup(a, key);
	e->value = value;
	*to.list = arena_grow(a, *to.list, *to.n * sizeof(void *), (*to.n + 1) * sizeof(void *));
	(*to.list)[(*to.n)++] = e;
}

#define LIMITS(item, field) \
	((struct limits){(struct quantity_entry ***)(void *)&(item)->field, &(item)->n_##field})

/* Containers get the maximum as default, and the default (or the minimum) as default request. */
static void limit_defaults(const struct strategy_ctx *ctx, struct object *obj)
{
	CoreV1__LimitRangeSpec *s = OBJECT_MSG(obj, CoreV1__LimitRange)->spec;
	const ProtobufCMessageDescriptor *def =
	    &core_v1__limit_range_item__default_entry__descriptor;
	const ProtobufCMessageDescriptor *request =
	    &core_v1__limit_range_item__default_request_entry__descriptor;

	for (size_t i = 0; i < s->n_limits; i++) {
		CoreV1__LimitRangeItem *item = s->limits[i];
		if (strcmp(item->type, "Container"))
			continue;
		for (size_t j = 0; j < item->n_max; j++)
			add_limit(ctx->arena, LIMITS(item, default_), def, item->max[j]->key,
			          item->max[j]->value);
		for (size_t j = 0; j < item->n_default_; j++)
			add_limit(ctx->arena, LIMITS(item, default_request), request,
			          item->default_[j]->key, item->default_[j]->value);
		for (size_t j = 0; j < item->n_min; j++)
			add_limit(ctx->arena, LIMITS(item, default_request), request,
			          item->min[j]->key, item->min[j]->value);
	}
}

static void check_item(errs_t errs, path_t p, const CoreV1__LimitRangeItem *item, const char *key)
{
	const char *max = quantities_get(QUANTITIES(item->max), item->n_max, key);
	const char *min = quantities_get(QUANTITIES(item->min), item->n_min, key);
	const char *def = quantities_get(QUANTITIES(item->default_), item->n_default_, key);
	const char *request =
	    quantities_get(QUANTITIES(item->default_request), item->n_default_request, key);
	path_t at_min = FIELD_KEY(FIELD(p, "min"), key),
	       at_def = FIELD_KEY(FIELD(p, "default"), key);
	path_t at_request = FIELD_KEY(FIELD(p, "defaultRequest"), key);

#define MORE(path_, shown, what, x, other, y)                                                  \
	do {                                                                                   \
		if ((x) && (y) && quantity_cmp_text(x, y) > 0)                                 \
			field_add(errs, FIELD_INVALID, path_, field_quote(errs->arena, shown), \
			          what " value %s is greater than " other " value %s", x, y);  \
	} while (0)
	MORE(at_min, min, "min", min, "max", max);
	if (request && min && quantity_cmp_text(min, request) > 0)
		field_add(errs, FIELD_INVALID, at_request, field_quote(errs->arena, request),
		          "min value %s is greater than default request value %s", min, request);
	MORE(at_request, request, "default request", request, "max", max);
	MORE(at_request, request, "default request", request, "default limit", def);
	if (def && min && quantity_cmp_text(min, def) > 0)
		field_add(errs, FIELD_INVALID, at_def, field_quote(errs->arena, min),
		          "min value %s is greater than default value %s", min, def);
	MORE(at_def, max, "default", def, "max", max);
#undef MORE
}

static bool seen(struct quantity_entry *const *const *lists, const size_t *n, size_t list,
                 const char *key)
{
	for (size_t i = 0; i < list; i++)
		if (quantities_get(lists[i], n[i], key))
			return true;
	return false;
}

static void limit_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const CoreV1__LimitRangeSpec *s = OBJECT_MSG(obj, CoreV1__LimitRange)->spec;

	for (size_t i = 0; i < s->n_limits; i++) {
		const CoreV1__LimitRangeItem *item = s->limits[i];
		path_t p = FIELD_INDEX(FIELD(NULL, "spec.limits"), i);
		struct quantity_entry *const *lists[] = {
		    QUANTITIES(item->max), QUANTITIES(item->min), QUANTITIES(item->default_),
		    QUANTITIES(item->default_request)};
		const size_t n[] = {item->n_max, item->n_min, item->n_default_,
		                    item->n_default_request};
		check_name(errs, FIELD(p, "type"), item->type, names_qualified);
		for (size_t j = 0; j < i; j++)
			if (!strcmp(s->limits[j]->type, item->type)) {
				field_duplicate(errs, FIELD(p, "type"), item->type);
				break;
			}
		if (!strcmp(item->type, "Pod") && item->n_default_)
			field_forbidden(errs, FIELD(p, "default"),
			                "may not be specified when `type` is 'Pod'");
		if (!strcmp(item->type, "Pod") && item->n_default_request)
			field_forbidden(errs, FIELD(p, "defaultRequest"),
			                "may not be specified when `type` is 'Pod'");
		for (size_t l = 0; l < ARRAY_LEN(lists); l++)
			for (size_t j = 0; j < n[l]; j++)
				if (!seen(lists, n, l, lists[l][j]->key))
					check_item(errs, p, item, lists[l][j]->key);
	}
}

const struct strategy limitrange_strategy = {
    .kind = "LimitRange",
    .defaults = limit_defaults,
    .validate = limit_validate,
    .allow_create_on_update = true,
    .allow_unconditional_update = true,
};

/* --- ResourceQuota ---------------------------------------------------------------------------- */

static const char *const quota_resources[] = {"cpu",
                                              "memory",
                                              "ephemeral-storage",
                                              "requests.cpu",
                                              "requests.memory",
                                              "requests.storage",
                                              "requests.ephemeral-storage",
                                              "limits.cpu",
                                              "limits.memory",
                                              "limits.ephemeral-storage",
                                              "pods",
                                              "resourcequotas",
                                              "services",
                                              "replicationcontrollers",
                                              "secrets",
                                              "persistentvolumeclaims",
                                              "configmaps",
                                              "services.nodeports",
                                              "services.loadbalancers",
                                              NULL};
static const char *const quota_scopes[] = {"Terminating",
                                           "NotTerminating",
                                           "BestEffort",
                                           "NotBestEffort",
                                           "PriorityClass",
                                           "CrossNamespacePodAffinity",
                                           "VolumeAttributesClass",
                                           NULL};

static void check_quota_name(errs_t errs, path_t p, const char *name)
{
	check_name(errs, p, name, names_qualified);
	if (strchr(name, '/'))
		return;
	if (list_has(quota_resources, name) || resource_is_hugepages(name) ||
	    has_prefix(name, "requests.hugepages-"))
		return;
	field_invalid(errs, p, name, "must be a standard resource type or fully qualified");
	field_invalid(errs, p, name, "must be a standard resource for quota");
}

static void quota_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const CoreV1__ResourceQuotaSpec *s = OBJECT_MSG(obj, CoreV1__ResourceQuota)->spec;
	path_t scopes = FIELD(NULL, "spec.scopes");

	for (size_t i = 0; i < s->n_hard; i++) {
		path_t p = FIELD_KEY(FIELD(NULL, "spec.hard"), s->hard[i]->key);
		struct quantity q = quantity_of(s->hard[i]->value->string);
		check_quota_name(errs, p, s->hard[i]->key);
		quantity_check_nonneg(errs, p, s->hard[i]->value->string);
		if (resource_is_integer(s->hard[i]->key) && !quantity_is_integer(&q))
			field_invalid(errs, p, s->hard[i]->value->string, "must be an integer");
	}
	for (size_t i = 0; i < s->n_scopes; i++) {
		if (!list_has(quota_scopes, s->scopes[i]))
			field_invalid_json(errs, scopes,
			                   json_of_strings(errs, s->scopes, s->n_scopes),
			                   "unsupported scope");
	}
	if ((strings_have(s->scopes, s->n_scopes, "BestEffort") &&
	     strings_have(s->scopes, s->n_scopes, "NotBestEffort")) ||
	    (strings_have(s->scopes, s->n_scopes, "Terminating") &&
	     strings_have(s->scopes, s->n_scopes, "NotTerminating")))
		field_invalid_json(errs, scopes, json_of_strings(errs, s->scopes, s->n_scopes),
		                   "conflicting scopes");
}

static void quota_update(const struct strategy_ctx *ctx, const struct object *obj,
                         const struct object *old_obj, errs_t errs)
{
	const CoreV1__ResourceQuotaSpec *s = OBJECT_MSG(obj, CoreV1__ResourceQuota)->spec;
	const CoreV1__ResourceQuotaSpec *old = OBJECT_MSG(old_obj, CoreV1__ResourceQuota)->spec;

	if (!same_strings(s->scopes, s->n_scopes, old->scopes, old->n_scopes))
		field_invalid_json(errs, FIELD(NULL, "spec.scopes"),
		                   json_of_strings(errs, s->scopes, s->n_scopes),
		                   "field is immutable");
}

static int by_key(const void *a, const void *b)
{
	return strcmp((*(struct quantity_entry *const *)a)->key,
	              (*(struct quantity_entry *const *)b)->key);
}

static void quota_row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const CoreV1__ResourceQuotaStatus *s = OBJECT_MSG(obj, CoreV1__ResourceQuota)->status;
	const char *requests = "", *limits = "";
	struct quantity_entry **sorted = NULL;

	if (s->n_hard)
		sorted = arena_memdup(ctx->arena, s->hard, s->n_hard * sizeof(void *));
	if (sorted)
		qsort(sorted, s->n_hard, sizeof(*sorted), by_key);
	for (size_t i = 0; i < s->n_hard; i++) {
		const char *used = quantities_get(QUANTITIES(s->used), s->n_used, sorted[i]->key);
		const char *text = arena_printf(ctx->arena, "%s: %s/%s", sorted[i]->key,
		                                used ? used : "0", sorted[i]->value->string);
		if (has_prefix(sorted[i]->key, "limits"))
			limits = joined(ctx->arena, limits, text, ", ");
		else
			requests = joined(ctx->arena, requests, text, ", ");
	}
	row_name(r, obj);
	row_str(r, requests);
	row_str(r, limits);
	row_age(ctx, r, obj);
}

const struct strategy resourcequota_strategy = {
    .kind = "ResourceQuota",
    .has_status = true,
    .validate = quota_validate,
    .validate_update = quota_update,
    .allow_unconditional_update = true,
    .table_row = quota_row,
};

static void quota_status_validate(const struct strategy_ctx *ctx, const struct object *obj,
                                  const struct object *old, errs_t errs)
{
	const CoreV1__ResourceQuotaStatus *s = OBJECT_MSG(obj, CoreV1__ResourceQuota)->status;

	if (!*obj->meta->resource_version)
		field_required(errs, FIELD(NULL, "resourceVersion"), "");
	for (size_t i = 0; i < s->n_hard; i++)
		check_quota_name(errs, FIELD_KEY(FIELD(NULL, "status.hard"), s->hard[i]->key),
		                 s->hard[i]->key);
	for (size_t i = 0; i < s->n_used; i++)
		check_quota_name(errs, FIELD_KEY(FIELD(NULL, "status.used"), s->used[i]->key),
		                 s->used[i]->key);
}

const struct strategy resourcequota_status_strategy = {
    .kind = "ResourceQuota",
    .is_status = true,
    .lax_update = true,
    .validate_update = quota_status_validate,
    .allow_unconditional_update = true,
    .table_row = quota_row,
};
