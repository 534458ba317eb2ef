/* SPDX-License-Identifier: Apache-2.0 */
/* LimitRanges and ResourceQuotas. */
#include "apiserver/registry/core/kinds.h"
#include "apiserver/registry/core/pod_spec.h"
#include "apiserver/registry/defaults.h"
#include "apiserver/registry/row.h"

/* --- LimitRange ------------------------------------------------------------------------------- */

/* One of the maps of an item, to look into and to add to. */
struct limits {
	struct quantity_entry **list;
	size_t n;
	struct index index;
};

static struct limits limits_of(struct arena *a, const void *map, size_t n, size_t room)
{
	struct limits l = {.n = n, .index = map_index(a, map, n)};

	l.list = arena_array(a, struct quantity_entry *, n + room + 1);
	if (n)
		memcpy(l.list, map, n * sizeof(*l.list));
	return l;
}

static const char *limit(const struct limits *l, const char *key)
{
	return quantities_at(l->list, &l->index, key);
}

static void add_limit(struct arena *a, struct limits *to, const ProtobufCMessageDescriptor *desc,
                      const struct quantity_entry *from)
{
	struct quantity_entry *e;

	if (!index_add(&to->index, from->key, (uint32_t)to->n))
		return;
	e = arena_new(a, struct quantity_entry);
	protobuf_c_message_init(desc, e);
	e->key = from->key;
	e->value = from->value;
	to->list[to->n++] = e;
}

/* Containers get the maximum as default, and the default (or the minimum) as default request. */
static void default_item(struct arena *a, CoreV1__LimitRangeItem *item)
{
	struct limits def = limits_of(a, item->default_, item->n_default_, item->n_max);
	struct limits request = limits_of(a, item->default_request, item->n_default_request,
	                                  item->n_default_ + item->n_max + item->n_min);

	for (size_t i = 0; i < item->n_max; i++)
		add_limit(a, &def, &core_v1__limit_range_item__default_entry__descriptor,
		          QUANTITIES(item->max)[i]);
	for (size_t i = 0; i < def.n; i++)
		add_limit(a, &request,
		          &core_v1__limit_range_item__default_request_entry__descriptor,
		          def.list[i]);
	for (size_t i = 0; i < item->n_min; i++)
		add_limit(a, &request,
		          &core_v1__limit_range_item__default_request_entry__descriptor,
		          QUANTITIES(item->min)[i]);
	item->default_ = (void *)def.list;
	item->n_default_ = def.n;
	item->default_request = (void *)request.list;
	item->n_default_request = request.n;
}

static void limit_defaults(const struct strategy_ctx *ctx, struct object *obj)
{
	CoreV1__LimitRangeSpec *s = OBJECT_MSG(obj, CoreV1__LimitRange)->spec;

	for (size_t i = 0; i < s->n_limits; i++)
		if (!strcmp(s->limits[i]->type, "Container"))
			default_item(ctx->arena, s->limits[i]);
}

enum { LIMIT_MAX, LIMIT_MIN, LIMIT_DEFAULT, LIMIT_REQUEST, LIMIT_RATIO, LIMITS };
static const char *const limit_names[LIMITS] = {"max", "min", "default", "defaultRequest",
                                                "maxLimitRequestRatio"};

static void check_order(errs_t errs, path_t p, const char *shown, const char *low, const char *high,
                        const char *low_name, const char *high_name)
{
	if (low && high && quantity_cmp_text(low, high) > 0)
		field_add(errs, FIELD_INVALID, p, field_quote(errs->arena, shown),
		          "%s value %s is greater than %s value %s", low_name, low, high_name,
		          high);
}

static void check_ratio(errs_t errs, path_t p, const char *ratio, const char *min, const char *max)
{
	struct quantity r = quantity_of(ratio ? ratio : "1");

	if (!ratio)
		return;
	if (quantity_cmp_text(ratio, "1") < 0)
		field_add(errs, FIELD_INVALID, p, field_quote(errs->arena, ratio),
		          "ratio %s is less than 1", ratio);
	if (!min || !max)
		return;
	struct quantity low = quantity_of(min), high = quantity_of(max);
	double most = (double)quantity_milli(&high) / (double)quantity_milli(&low);
	if ((double)quantity_milli(&r) / 1000 > most)
		field_add(errs, FIELD_INVALID, p, field_quote(errs->arena, ratio),
		          "ratio %s is greater than max/min = %f", ratio, most);
}

static void check_limit_type(errs_t errs, path_t p, const char *type)
{
	if (check_name(errs, p, type, names_qualified) && !strchr(type, '/') &&
	    !list_has(LIST("Pod", "Container", "PersistentVolumeClaim"), type))
		field_invalid(errs, p, type, "must be a standard limit type or fully qualified");
}

/* Limits of pods and containers are of what containers can have. */
static void check_limit_names(errs_t errs, path_t p, const char *type, const struct limits *l)
{
	bool of_containers = list_has(LIST("Pod", "Container"), type);

	for (size_t i = 0; i < l->n; i++) {
		path_t at = FIELD_KEY(p, l->list[i]->key);
		if (of_containers)
			container_resource_check(errs, at, l->list[i]->key);
		else if (check_name(errs, at, l->list[i]->key, names_qualified))
			standard_resource_check(errs, at, l->list[i]->key);
	}
}

static void check_item(errs_t errs, path_t p, const struct limits *l, const char *key)
{
	const char *max = limit(&l[LIMIT_MAX], key), *min = limit(&l[LIMIT_MIN], key);
	const char *def = limit(&l[LIMIT_DEFAULT], key), *request = limit(&l[LIMIT_REQUEST], key);
	path_t at_min = FIELD_KEY(FIELD(p, "min"), key),
	       at_def = FIELD_KEY(FIELD(p, "default"), key);
	path_t at_request = FIELD_KEY(FIELD(p, "defaultRequest"), key);

	check_order(errs, at_min, min, min, max, "min", "max");
	check_order(errs, at_request, request, min, request, "min", "default request");
	check_order(errs, at_request, request, request, max, "default request", "max");
	check_order(errs, at_request, request, request, def, "default request", "default limit");
	check_order(errs, at_def, min, min, def, "min", "default");
	check_order(errs, at_def, max, def, max, "default", "max");
	check_ratio(errs, FIELD_KEY(FIELD(p, "maxLimitRequestRatio"), key),
	            limit(&l[LIMIT_RATIO], key), min, max);
	bool overcommits = resource_is_native(key) && !resource_is_hugepages(key);
	if (!overcommits && def && request && quantity_cmp_text(def, request))
		field_add(errs, FIELD_INVALID, at_request, field_quote(errs->arena, request),
		          "default value %s must equal to defaultRequest value %s in %s", def,
		          request, key);
}

static void limit_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const CoreV1__LimitRangeSpec *s = OBJECT_MSG(obj, CoreV1__LimitRange)->spec;

	struct index seen = INDEX_IN(errs->arena);
	for (size_t i = 0; i < s->n_limits; i++) {
		const CoreV1__LimitRangeItem *item = s->limits[i];
		path_t p = FIELD_INDEX(FIELD(NULL, "spec.limits"), i);
		struct index keys = INDEX_IN(errs->arena);
		bool is_pod = !strcmp(item->type, "Pod");
		const struct limits lists[LIMITS] = {
		    limits_of(errs->arena, item->max, item->n_max, 0),
		    limits_of(errs->arena, item->min, item->n_min, 0),
		    limits_of(errs->arena, item->default_, is_pod ? 0 : item->n_default_, 0),
		    limits_of(errs->arena, item->default_request,
		              is_pod ? 0 : item->n_default_request, 0),
		    limits_of(errs->arena, item->max_limit_request_ratio,
		              item->n_max_limit_request_ratio, 0)};

		check_limit_type(errs, FIELD(p, "type"), item->type);
		if (!index_add(&seen, item->type, 0)) {
			field_duplicate(errs, FIELD(p, "type"), item->type);
		}
		if (is_pod && item->n_default_)
			field_forbidden(errs, FIELD(p, "default"),
			                "may not be specified when `type` is 'Pod'");
		if (is_pod && item->n_default_request)
			field_forbidden(errs, FIELD(p, "defaultRequest"),
			                "may not be specified when `type` is 'Pod'");
		if (!strcmp(item->type, "PersistentVolumeClaim") &&
		    !limit(&lists[LIMIT_MIN], "storage") && !limit(&lists[LIMIT_MAX], "storage"))
			field_required(errs, FIELD(p, "limits"),
			               "either minimum or maximum storage value is required, but "
			               "neither was provided");
		for (size_t l = 0; l < LIMITS; l++)
			check_limit_names(errs, FIELD(p, limit_names[l]), item->type, &lists[l]);
		for (size_t l = 0; l < LIMITS; l++)
			for (size_t j = 0; j < lists[l].n; j++)
				if (index_add(&keys, lists[l].list[j]->key, 0))
					check_item(errs, p, lists, lists[l].list[j]->key);
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
	if (check_name(errs, p, name, names_qualified))
		standard_resource_check(errs, p, name);
	if (!strchr(name, '/') && !list_has(quota_resources, name) &&
	    !resource_is_hugepages(name) && !has_prefix(name, "requests.hugepages-"))
		field_invalid(errs, p, name, "must be a standard resource for quota");
}

static void check_quantities(errs_t errs, path_t p, struct quantity_entry *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		path_t at = FIELD_KEY(p, list[i]->key);
		struct quantity q = quantity_of(list[i]->value->string);
		check_quota_name(errs, at, list[i]->key);
		quantity_check_nonneg(errs, at, list[i]->value->string);
		if (resource_is_integer(list[i]->key) && !quantity_is_integer(&q))
			field_invalid(errs, at, list[i]->value->string, "must be an integer");
	}
}

/* Which resources a scope makes sense for. */
static bool scope_fits(const char *scope, const char *resource)
{
	static const char *const of_pods[] = {"pods",
	                                      "cpu",
	                                      "memory",
	                                      "requests.cpu",
	                                      "requests.memory",
	                                      "limits.cpu",
	                                      "limits.memory",
	                                      "ephemeral-storage",
	                                      "requests.ephemeral-storage",
	                                      "limits.ephemeral-storage",
	                                      NULL};

	if (list_has(LIST("Terminating", "NotTerminating", "NotBestEffort", "PriorityClass",
	                  "CrossNamespacePodAffinity"),
	             scope))
		return list_has(of_pods, resource) || resource_is_hugepages(resource) ||
		       has_prefix(resource, "requests.hugepages-");
	if (!strcmp(scope, "BestEffort"))
		return !strcmp(resource, "pods");
	if (!strcmp(scope, "VolumeAttributesClass"))
		return list_has(LIST("persistentvolumeclaims", "requests.storage"), resource);
	return true;
}

static bool is_quota_resource(const char *name)
{
	return list_has(quota_resources, name) || resource_is_hugepages(name) ||
	       has_prefix(name, "requests.hugepages-");
}

static void check_fit(errs_t errs, path_t p, const CoreV1__ResourceQuotaSpec *s, const char *scope,
                      const char *value)
{
	for (size_t i = 0; i < s->n_hard; i++)
		if (is_quota_resource(s->hard[i]->key) && !scope_fits(scope, s->hard[i]->key))
			field_invalid_json(errs, p, value, "unsupported scope applied to resource");
}

static void check_conflicts(errs_t errs, const CoreV1__ResourceQuotaSpec *s, path_t p,
                            const struct index *scopes)
{
	static const char *const pairs[][2] = {{"BestEffort", "NotBestEffort"},
	                                       {"Terminating", "NotTerminating"}};

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		if (index_has(scopes, pairs[i][0]) && index_has(scopes, pairs[i][1]))
			field_invalid_json(errs, p, json_of_strings(errs, s->scopes, s->n_scopes),
			                   "conflicting scopes");
}

static void check_scopes(errs_t errs, const CoreV1__ResourceQuotaSpec *s)
{
	path_t p = FIELD(NULL, "spec.scopes");
	const char *value = json_of_strings(errs, s->scopes, s->n_scopes);
	struct index scopes = INDEX_IN(errs->arena);

	for (size_t i = 0; i < s->n_scopes; i++) {
		if (!list_has(quota_scopes, s->scopes[i]))
			field_invalid_json(errs, p, value, "unsupported scope");
		check_fit(errs, p, s, s->scopes[i], value);
		index_add(&scopes, s->scopes[i], 0);
	}
	check_conflicts(errs, s, p, &scopes);
}

static void check_requirement(errs_t errs, path_t p,
                              const CoreV1__ScopedResourceSelectorRequirement *r)
{
	if (list_has(LIST("BestEffort", "NotBestEffort", "Terminating", "NotTerminating",
	                  "CrossNamespacePodAffinity"),
	             r->scope_name) &&
	    strcmp(r->operator_, "Exists"))
		field_invalid(
		    errs, FIELD(p, "operator"), r->operator_,
		    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
		    "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
		    "ResourceQuotaScopeNotBestEffort or "
		    "ResourceQuotaScopeCrossNamespacePodAffinity");
	if (list_has(LIST("In", "NotIn"), r->operator_)) {
		if (!r->n_values)
			field_required(errs, FIELD(p, "values"),
			               "must be at least one value when `operator` is 'In' or "
			               "'NotIn' for scope selector");
	} else if (list_has(LIST("Exists", "DoesNotExist"), r->operator_)) {
		if (r->n_values)
			field_invalid_json(errs, FIELD(p, "values"),
			                   json_of_strings(errs, r->values, r->n_values),
			                   "must be no value when `operator` is 'Exist' or "
			                   "'DoesNotExist' for scope selector");
	} else {
		field_invalid(errs, FIELD(p, "operator"), r->operator_,
		              "not a valid selector operator");
	}
}

static void check_scope_selector(errs_t errs, const CoreV1__ResourceQuotaSpec *s)
{
	path_t p = FIELD(NULL, "spec.scopeSelector.matchExpressions");
	const CoreV1__ScopeSelector *sel = s->scope_selector;
	struct index scopes = INDEX_IN(errs->arena);

	for (size_t i = 0; sel && i < sel->n_match_expressions; i++) {
		const CoreV1__ScopedResourceSelectorRequirement *r = sel->match_expressions[i];
		if (!list_has(quota_scopes, r->scope_name))
			field_invalid(errs, FIELD(p, "scopeName"), r->scope_name,
			              "unsupported scope");
		check_fit(errs, p, s, r->scope_name, go_json_of(errs, sel));
		check_requirement(errs, p, r);
		index_add(&scopes, r->scope_name, 0);
	}
	check_conflicts(errs, s, p, &scopes);
}

static void quota_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const CoreV1__ResourceQuotaSpec *s = OBJECT_MSG(obj, CoreV1__ResourceQuota)->spec;

	check_quantities(errs, FIELD(NULL, "spec.hard"), QUANTITIES(s->hard), s->n_hard);
	check_scopes(errs, s);
	check_scope_selector(errs, s);
}

static bool same_set(char *const *a, size_t na, char *const *b, size_t nb)
{
	for (size_t i = 0; i < na; i++)
		if (!strings_have(b, nb, a[i]))
			return false;
	for (size_t i = 0; i < nb; i++)
		if (!strings_have(a, na, b[i]))
			return false;
	return true;
}

static void quota_update(const struct strategy_ctx *ctx, const struct object *obj,
                         const struct object *old_obj, errs_t errs)
{
	const CoreV1__ResourceQuotaSpec *s = OBJECT_MSG(obj, CoreV1__ResourceQuota)->spec;
	const CoreV1__ResourceQuotaSpec *old = OBJECT_MSG(old_obj, CoreV1__ResourceQuota)->spec;

	if (!same_set(s->scopes, s->n_scopes, old->scopes, old->n_scopes))
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
	struct join requests = JOIN(ctx->arena, ", "), limits = requests;
	struct quantity_entry **sorted = NULL;

	if (s->n_hard)
		sorted = arena_memdup(ctx->arena, s->hard, s->n_hard * sizeof(void *));
	if (sorted)
		qsort(sorted, s->n_hard, sizeof(*sorted), by_key);
	struct index used_index = map_index(ctx->arena, s->used, s->n_used);
	for (size_t i = 0; i < s->n_hard; i++) {
		const char *used = quantities_at(QUANTITIES(s->used), &used_index, sorted[i]->key);
		const char *text = arena_printf(ctx->arena, "%s: %s/%s", sorted[i]->key,
		                                used ? used : "0", sorted[i]->value->string);
		if (has_prefix(sorted[i]->key, "limits"))
			join_add(&limits, text);
		else
			join_add(&requests, text);
	}
	row_name(r, obj);
	row_str(r, join_text(&requests));
	row_str(r, join_text(&limits));
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
	check_quantities(errs, FIELD(NULL, "status.hard"), QUANTITIES(s->hard), s->n_hard);
	check_quantities(errs, FIELD(NULL, "status.used"), QUANTITIES(s->used), s->n_used);
}

const struct strategy resourcequota_status_strategy = {
    .kind = "ResourceQuota",
    .is_status = true,
    .lax_update = true,
    .validate_update = quota_status_validate,
    .allow_unconditional_update = true,
    .table_row = quota_row,
};
