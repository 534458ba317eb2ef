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

enum { LIMIT_MAX, LIMIT_MIN, LIMIT_DEFAULT, LIMIT_REQUEST, LIMITS };

static void check_order(errs_t errs, path_t p, const char *shown, const char *low, const char *high,
                        const char *low_name, const char *high_name)
{
	if (low && high && quantity_cmp_text(low, high) > 0)
		field_add(errs, FIELD_INVALID, p, field_quote(errs->arena, shown),
		          "%s value %s is greater than %s value %s", low_name, low, high_name,
		          high);
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
}

static void limit_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const CoreV1__LimitRangeSpec *s = OBJECT_MSG(obj, CoreV1__LimitRange)->spec;

	struct index seen = INDEX_IN(errs->arena);
	for (size_t i = 0; i < s->n_limits; i++) {
		const CoreV1__LimitRangeItem *item = s->limits[i];
		path_t p = FIELD_INDEX(FIELD(NULL, "spec.limits"), i);
		struct index keys = INDEX_IN(errs->arena);
		const struct limits lists[LIMITS] = {
		    limits_of(errs->arena, item->max, item->n_max, 0),
		    limits_of(errs->arena, item->min, item->n_min, 0),
		    limits_of(errs->arena, item->default_, item->n_default_, 0),
		    limits_of(errs->arena, item->default_request, item->n_default_request, 0)};
		check_name(errs, FIELD(p, "type"), item->type, names_qualified);
		if (!index_add(&seen, item->type, 0)) {
			field_duplicate(errs, FIELD(p, "type"), item->type);
		}
		if (!strcmp(item->type, "Pod") && item->n_default_)
			field_forbidden(errs, FIELD(p, "default"),
			                "may not be specified when `type` is 'Pod'");
		if (!strcmp(item->type, "Pod") && item->n_default_request)
			field_forbidden(errs, FIELD(p, "defaultRequest"),
			                "may not be specified when `type` is 'Pod'");
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
	bool unsupported = false;

	for (size_t i = 0; i < s->n_hard; i++) {
		path_t p = FIELD_KEY(FIELD(NULL, "spec.hard"), s->hard[i]->key);
		struct quantity q = quantity_of(s->hard[i]->value->string);
		check_quota_name(errs, p, s->hard[i]->key);
		quantity_check_nonneg(errs, p, s->hard[i]->value->string);
		if (resource_is_integer(s->hard[i]->key) && !quantity_is_integer(&q))
			field_invalid(errs, p, s->hard[i]->value->string, "must be an integer");
	}
	for (size_t i = 0; i < s->n_scopes; i++)
		unsupported |= !list_has(quota_scopes, s->scopes[i]);
	if (unsupported)
		field_invalid_json(errs, scopes, json_of_strings(errs, s->scopes, s->n_scopes),
		                   "unsupported scope");
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
