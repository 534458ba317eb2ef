/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/core/pod_spec.h"
#include "apiserver/registry/row.h"

bool resource_is_hugepages(const char *name)
{
	return has_prefix(name, "hugepages-");
}

bool resource_is_native(const char *name)
{
	return !strchr(name, '/') || strstr(name, "kubernetes.io/");
}

bool resource_is_extended(const char *name)
{
	const char *msgs[NAMES_MAX];
	struct arena a;
	bool ok;

	if (resource_is_native(name) || has_prefix(name, "requests."))
		return false;
	arena_init(&a);
	ok = !names_qualified(arena_printf(&a, "requests.%s", name), &a, msgs);
	arena_deinit(&a);
	return ok;
}

bool resource_is_integer(const char *name)
{
	static const char *const counted[] = {"pods",
	                                      "services",
	                                      "replicationcontrollers",
	                                      "resourcequotas",
	                                      "secrets",
	                                      "configmaps",
	                                      "persistentvolumeclaims",
	                                      "services.nodeports",
	                                      "services.loadbalancers",
	                                      NULL};

	return list_has(counted, name) || resource_is_extended(name);
}

void quantity_check_nonneg(errs_t errs, path_t p, const char *text)
{
	struct quantity q = quantity_of(text);

	if (quantity_sign(&q) < 0)
		field_invalid(errs, p, text, "must be greater than or equal to 0");
}

static void check_value(errs_t errs, path_t p, const char *name, const char *text)
{
	struct quantity q = quantity_of(text);

	quantity_check_nonneg(errs, p, text);
	if (resource_is_integer(name) && !quantity_is_integer(&q)) {
		char out[QUANTITY_BYTES];
		quantity_format_text(&q, out);
		field_invalid(errs, p, out, "must be an integer");
	}
}

void resource_list_check(errs_t errs, path_t p, struct quantity_entry *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		path_t at = FIELD_KEY(p, list[i]->key);
		check_name(errs, at, list[i]->key, names_qualified);
		check_value(errs, at, list[i]->key, list[i]->value->string);
	}
}

void standard_resource_check(errs_t errs, path_t p, const char *name)
{
	static const char *const standard[] = {"cpu",
	                                       "memory",
	                                       "ephemeral-storage",
	                                       "storage",
	                                       "pods",
	                                       "services",
	                                       "replicationcontrollers",
	                                       "resourcequotas",
	                                       "secrets",
	                                       "configmaps",
	                                       "persistentvolumeclaims",
	                                       "services.nodeports",
	                                       "services.loadbalancers",
	                                       "requests.cpu",
	                                       "requests.memory",
	                                       "requests.storage",
	                                       "requests.ephemeral-storage",
	                                       "limits.cpu",
	                                       "limits.memory",
	                                       "limits.ephemeral-storage",
	                                       NULL};

	if (!strchr(name, '/') && !list_has(standard, name) && !resource_is_hugepages(name) &&
	    !has_prefix(name, "requests.hugepages-"))
		field_invalid(errs, p, name, "must be a standard resource type or fully qualified");
}

void container_resource_check(errs_t errs, path_t p, const char *name)
{
	if (check_name(errs, p, name, names_qualified))
		standard_resource_check(errs, p, name);
	if (!strchr(name, '/')) {
		if (!list_has(LIST("cpu", "memory", "ephemeral-storage"), name) &&
		    !resource_is_hugepages(name))
			field_invalid(errs, p, name, "must be a standard resource for containers");
	} else if (!resource_is_native(name) && !resource_is_extended(name)) {
		field_invalid(errs, p, name, "doesn't follow extended resource name standard");
	}
}

static bool overcommits(const char *name)
{
	return resource_is_native(name) && !resource_is_hugepages(name);
}

static void check_request(errs_t errs, path_t p, path_t limits,
                          const CoreV1__ResourceRequirements *r, const struct index *index,
                          const struct quantity_entry *e)
{
	const char *limit = quantities_at(QUANTITIES(r->limits), index, e->key);
	int cmp = limit ? quantity_cmp_text(e->value->string, limit) : 0;

	if (limit && !overcommits(e->key) && cmp)
		field_add(errs, FIELD_INVALID, p, field_quote(errs->arena, e->value->string),
		          "must be equal to %s limit of %s", e->key, limit);
	else if (limit && cmp > 0)
		field_add(errs, FIELD_INVALID, p, field_quote(errs->arena, e->value->string),
		          "must be less than or equal to %s limit of %s", e->key, limit);
	else if (!limit && !overcommits(e->key))
		field_required(errs, limits, "Limit must be set for non overcommitable resources");
}

static bool has_cpu_or_memory(const CoreV1__ResourceRequirements *r)
{
	return quantities_get(QUANTITIES(r->limits), r->n_limits, "cpu") ||
	       quantities_get(QUANTITIES(r->limits), r->n_limits, "memory") ||
	       quantities_get(QUANTITIES(r->requests), r->n_requests, "cpu") ||
	       quantities_get(QUANTITIES(r->requests), r->n_requests, "memory");
}

static bool has_hugepages(struct quantity_entry *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (resource_is_hugepages(list[i]->key))
			return true;
	return false;
}

/* One entry for a whole claim, or several for different requests of it. */
static void check_claim(struct pod_scope *s, path_t at, const CoreV1__ResourceClaim *c,
                        struct index *whole, struct index *parts)
{
	const char *key = c->name;

	if (*c->request) {
		check_name(s->errs, FIELD(at, "request"), c->request, names_dns1123_label);
		key = arena_printf(s->errs->arena, "%s/%s", c->name, c->request);
	}
	if (index_has(whole, c->name))
		field_duplicate(s->errs, at, c->name);
	else if (index_has(parts, key))
		field_duplicate(s->errs, at, key);
	if (!*c->request)
		index_add(whole, c->name, 0);
	else
		index_add(parts, c->name, 0); /* the whole claim may not follow */
	index_add(parts, key, 0);
}

static const char *claim_names(struct pod_scope *s)
{
	struct join names = JOIN(s->errs->arena, ", ");

	for (size_t i = 0; i < s->spec->n_resource_claims; i++)
		join_add(&names, s->spec->resource_claims[i]->name);
	return join_text(&names);
}

static void check_claims(struct pod_scope *s, path_t p, const CoreV1__ResourceRequirements *r)
{
	struct index whole = INDEX_IN(s->errs->arena), parts = whole;

	for (size_t i = 0; i < r->n_claims; i++) {
		const CoreV1__ResourceClaim *c = r->claims[i];
		path_t at = FIELD_INDEX(p, i);
		if (!*c->name) {
			field_required(s->errs, at, "");
			continue;
		}
		check_claim(s, at, c, &whole, &parts);
		if (!index_has(&s->claims, c->name))
			field_add(
			    s->errs, FIELD_NOT_FOUND, at, field_quote(s->errs->arena, c->name),
			    "must be one of the names in pod.spec.resourceClaims%s%s",
			    s->spec->n_resource_claims ? ": " : " which is empty", claim_names(s));
	}
}

static void check_hugepages(errs_t errs, path_t p, const struct quantity_entry *e)
{
	struct quantity value, page;
	const char *size = e->key + strlen("hugepages-");

	if (!resource_is_hugepages(e->key))
		return;
	value = quantity_of(e->value->string);
	page = quantity_of(size);
	int64_t have = quantity_value(&value), unit = quantity_value(&page);
	if (unit <= 0 || have % unit)
		field_add(errs, FIELD_INVALID, p, field_quote(errs->arena, e->value->string),
		          "%s is not positive integer multiple of %s", e->value->string, e->key);
}

typedef void name_check(errs_t errs, path_t p, const char *name);

static void check_list(errs_t errs, path_t p, struct quantity_entry *const *list, size_t n,
                       name_check *check_resource)
{
	for (size_t i = 0; i < n; i++) {
		const struct quantity_entry *e = list[i];
		path_t at = FIELD_KEY(p, e->key);
		check_resource(errs, at, e->key);
		check_value(errs, at, e->key, e->value->string);
		check_hugepages(errs, at, e);
	}
}

static void check_requirements(errs_t errs, path_t p, const CoreV1__ResourceRequirements *r,
                               name_check *check_resource)
{
	struct index index = map_index(errs->arena, r->limits, r->n_limits);
	path_t limits = FIELD(p, "limits"), requests = FIELD(p, "requests");

	check_list(errs, limits, QUANTITIES(r->limits), r->n_limits, check_resource);
	check_list(errs, requests, QUANTITIES(r->requests), r->n_requests, check_resource);
	for (size_t i = 0; i < r->n_requests; i++)
		check_request(errs, requests, limits, r, &index, QUANTITIES(r->requests)[i]);
	if ((has_hugepages(QUANTITIES(r->limits), r->n_limits) ||
	     has_hugepages(QUANTITIES(r->requests), r->n_requests)) &&
	    !has_cpu_or_memory(r))
		field_forbidden(errs, p, "HugePages require cpu or memory");
}

void resources_check(struct pod_scope *s, path_t p, const CoreV1__ResourceRequirements *r)
{
	if (!r)
		return;
	check_requirements(s->errs, p, r, container_resource_check);
	check_claims(s, FIELD(p, "claims"), r);
}

/* --- the pod as a whole (KEP-2837) --------------------------------------------------------------
 */

static void check_pod_name(errs_t errs, path_t p, const char *name)
{
	if (!list_has(LIST("cpu", "memory"), name) && !resource_is_hugepages(name))
		field_not_supported(errs, p, name, LIST("cpu", "hugepages-", "memory"));
}

static struct quantity request_of(const CoreV1__Container *c, const char *name)
{
	const char *text =
	    quantities_get(QUANTITIES(c->resources->requests), c->resources->n_requests, name);

	return quantity_of(text ? text : "0");
}

/* What the containers ask for at once at most: all that keep running, or one init container and
 * the sidecars that were started before it. */
static struct quantity aggregate(const CoreV1__PodSpec *spec, const char *name)
{
	struct quantity sum = quantity_of("0"), sidecars = sum, most = sum;

	for (size_t i = 0; i < spec->n_containers; i++) {
		struct quantity q = request_of(spec->containers[i], name);
		quantity_add(&sum, &q);
	}
	for (size_t i = 0; i < spec->n_init_containers; i++) {
		const CoreV1__Container *c = spec->init_containers[i];
		struct quantity q = request_of(c, name), now = sidecars;
		quantity_add(&now, &q);
		if (c->restart_policy && !strcmp(c->restart_policy, "Always")) {
			sidecars = now;
			quantity_add(&sum, &q);
		}
		if (quantity_cmp(&now, &most) > 0)
			most = now;
	}
	return quantity_cmp(&sum, &most) > 0 ? sum : most;
}

static void add_names(struct index *names, const char **list, size_t *n, const CoreV1__Container *c)
{
	for (size_t i = 0; i < c->resources->n_requests; i++)
		if (index_add(names, c->resources->requests[i]->key, 0))
			list[(*n)++] = c->resources->requests[i]->key;
}

static void check_requests_fit(struct pod_scope *s, path_t p)
{
	const CoreV1__PodSpec *spec = s->spec;
	struct index names = INDEX_IN(s->errs->arena);
	size_t n = 0, room = 0;

	for (size_t i = 0; i < spec->n_containers; i++)
		room += spec->containers[i]->resources->n_requests;
	for (size_t i = 0; i < spec->n_init_containers; i++)
		room += spec->init_containers[i]->resources->n_requests;
	const char **list = arena_array(s->errs->arena, const char *, room + 1);
	for (size_t i = 0; i < spec->n_containers; i++)
		add_names(&names, list, &n, spec->containers[i]);
	for (size_t i = 0; i < spec->n_init_containers; i++)
		add_names(&names, list, &n, spec->init_containers[i]);
	for (size_t i = 0; i < n; i++) {
		struct quantity sum = aggregate(spec, list[i]);
		const char *own = quantities_get(QUANTITIES(spec->resources->requests),
		                                 spec->resources->n_requests, list[i]);
		struct quantity has = quantity_of(own ? own : "0");
		char text[QUANTITY_BYTES];
		if (quantity_cmp(&sum, &has) <= 0)
			continue;
		quantity_format_text(&sum, text);
		field_add(s->errs, FIELD_INVALID, FIELD_KEY(FIELD(p, "requests"), list[i]),
		          field_quote(s->errs->arena, own ? own : "0"),
		          "must be greater than or equal to aggregate container requests of %s",
		          text);
	}
}

static void check_limits_fit(struct pod_scope *s, path_t p)
{
	const CoreV1__ResourceRequirements *r = s->spec->resources;

	for (size_t i = 0; i < s->spec->n_containers; i++) {
		const CoreV1__ResourceRequirements *c = s->spec->containers[i]->resources;
		path_t at = FIELD_INDEX(FIELD(p, "containers"), i);
		for (size_t j = 0; j < c->n_limits; j++) {
			const struct quantity_entry *e = QUANTITIES(c->limits)[j];
			const char *all =
			    quantities_get(QUANTITIES(r->limits), r->n_limits, e->key);
			if (all && quantity_cmp_text(e->value->string, all) > 0)
				field_add(s->errs, FIELD_INVALID,
				          FIELD(FIELD_KEY(at, e->key), "limits"),
				          field_quote(s->errs->arena, e->value->string),
				          "must be less than or equal to pod limits of %s", all);
		}
	}
}

void pod_resources_check(struct pod_scope *s)
{
	const CoreV1__ResourceRequirements *r = s->spec->resources;
	path_t p = FIELD(s->spec_path, "resources");

	if (!r)
		return;
	if (r->n_claims)
		field_forbidden(s->errs, FIELD(p, "claims"),
		                "claims cannot be set for Resources at pod-level");
	check_requirements(s->errs, p, r, check_pod_name);
	check_requests_fit(s, p);
	check_limits_fit(s, p);
}
