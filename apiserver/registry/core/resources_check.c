/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/core/pod_spec.h"

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

static void check_container_name(errs_t errs, path_t p, const char *name)
{
	check_name(errs, p, name, names_qualified);
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

static void check_claims(struct pod_scope *s, path_t p, const CoreV1__ResourceRequirements *r)
{
	struct index seen = INDEX_IN(s->errs->arena);

	for (size_t i = 0; i < r->n_claims; i++) {
		const CoreV1__ResourceClaim *c = r->claims[i];
		path_t at = FIELD_INDEX(p, i);
		if (!check_required(s->errs, FIELD(at, "name"), c->name))
			continue;
		if (!index_add(&seen, arena_printf(s->errs->arena, "%s/%s", c->name, c->request),
		               0)) {
			field_duplicate(s->errs, at, c->name);
		}
		if (!index_has(&s->claims, c->name))
			field_add(s->errs, FIELD_NOT_FOUND, at,
			          field_quote(s->errs->arena, c->name), "%s", "");
	}
}

void resources_check(struct pod_scope *s, path_t p, const CoreV1__ResourceRequirements *r)
{
	errs_t errs = s->errs;
	path_t limits = FIELD(p, "limits"), requests = FIELD(p, "requests");

	if (!r)
		return;
	struct index index = map_index(errs->arena, r->limits, r->n_limits);
	for (size_t i = 0; i < r->n_limits; i++) {
		const struct quantity_entry *e = QUANTITIES(r->limits)[i];
		check_container_name(errs, FIELD_KEY(limits, e->key), e->key);
		check_value(errs, FIELD_KEY(limits, e->key), e->key, e->value->string);
	}
	for (size_t i = 0; i < r->n_requests; i++) {
		const struct quantity_entry *e = QUANTITIES(r->requests)[i];
		check_container_name(errs, FIELD_KEY(requests, e->key), e->key);
		check_value(errs, FIELD_KEY(requests, e->key), e->key, e->value->string);
		check_request(errs, requests, limits, r, &index, e);
	}
	if ((has_hugepages(QUANTITIES(r->limits), r->n_limits) ||
	     has_hugepages(QUANTITIES(r->requests), r->n_requests)) &&
	    !has_cpu_or_memory(r))
		field_forbidden(errs, p, "HugePages require cpu or memory");
	check_claims(s, FIELD(p, "claims"), r);
}
