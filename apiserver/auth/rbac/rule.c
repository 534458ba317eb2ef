/* SPDX-License-Identifier: Apache-2.0 */
/* What a single rule allows, and what sets of rules cover. */
#include <string.h>
#include "apiserver/auth/rbac/rbac.h"

static bool has(char *const *list, size_t n, const char *want)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], want))
			return true;
	return false;
}

static bool has_or_all(char *const *list, size_t n, const char *want)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], "*") || !strcmp(list[i], want))
			return true;
	return false;
}

/* "pods/log" given as two parts, without building the joined text. */
static bool is_joined(const char *text, const char *resource, const char *subresource)
{
	size_t n = strlen(resource);
	return !strncmp(text, resource, n) && text[n] == '/' && !strcmp(text + n + 1, subresource);
}

static bool resource_matches(const RbacV1__PolicyRule *r, const char *resource,
                             const char *subresource)
{
	for (size_t i = 0; i < r->n_resources; i++) {
		const char *have = r->resources[i];
		if (!strcmp(have, "*"))
			return true;
		if (!*subresource ? !strcmp(have, resource)
		                  : is_joined(have, resource, subresource))
			return true;
		if (*subresource && is_joined(have, "*", subresource))
			return true;
	}
	return false;
}

static bool url_matches(const char *have, const char *path)
{
	size_t n = strlen(have);
	if (!strcmp(have, "*") || !strcmp(have, path))
		return true;
	return n && have[n - 1] == '*' && !strncmp(path, have, n - 1);
}

bool rbac_rule_allows(const RbacV1__PolicyRule *r, const struct rbac_attributes *a)
{
	if (!has_or_all(r->verbs, r->n_verbs, a->verb))
		return false;
	if (!a->is_resource) {
		for (size_t i = 0; i < r->n_non_resource_urls; i++)
			if (url_matches(r->non_resource_urls[i], a->path))
				return true;
		return false;
	}
	return has_or_all(r->api_groups, r->n_api_groups, a->api_group) &&
	       resource_matches(r, a->resource, a->subresource) &&
	       (!r->n_resource_names || has(r->resource_names, r->n_resource_names, a->name));
}

/* Splits "pods/log"; a resource without a subresource gives "". */
static void split(const char *text, char *resource, size_t bytes, const char **ret_sub)
{
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	n = n < bytes - 1 ? n : bytes - 1;
	memcpy(resource, text, n);
	resource[n] = 0;
	*ret_sub = slash ? slash + 1 : "";
}

/* One verb, group, resource and name (NULL: any name). "*" is covered by "*" only, but for
 * all subresources of a resource, which no list of single subresources can cover either. */
static bool covers_resource(const struct rbac_rules *owner, const char *verb, const char *group,
                            const char *resource, const char *name)
{
	char base[256];
	const char *sub;
	split(resource, base, sizeof(base), &sub);
	for (size_t i = 0; i < owner->n; i++) {
		const RbacV1__PolicyRule *o = owner->at[i];
		if (!has_or_all(o->verbs, o->n_verbs, verb) ||
		    !has_or_all(o->api_groups, o->n_api_groups, group))
			continue;
		if (!has(o->resources, o->n_resources, resource) && !resource_matches(o, base, sub))
			continue;
		if (!o->n_resource_names ||
		    (name && has(o->resource_names, o->n_resource_names, name)))
			return true;
	}
	return false;
}

static bool covers_url(const struct rbac_rules *owner, const char *verb, const char *url)
{
	for (size_t i = 0; i < owner->n; i++) {
		const RbacV1__PolicyRule *o = owner->at[i];
		if (!has_or_all(o->verbs, o->n_verbs, verb))
			continue;
		for (size_t u = 0; u < o->n_non_resource_urls; u++)
			if (url_matches(o->non_resource_urls[u], url))
				return true;
	}
	return false;
}

static bool covers_names(const struct rbac_rules *owner, const RbacV1__PolicyRule *rule,
                         const char *verb, const char *group, const char *resource)
{
	if (!rule->n_resource_names)
		return covers_resource(owner, verb, group, resource, NULL);
	for (size_t i = 0; i < rule->n_resource_names; i++)
		if (!covers_resource(owner, verb, group, resource, rule->resource_names[i]))
			return false;
	return true;
}

bool rbac_covers(const struct rbac_rules *owner, const RbacV1__PolicyRule *rule)
{
	for (size_t v = 0; v < rule->n_verbs; v++) {
		for (size_t g = 0; g < rule->n_api_groups; g++)
			for (size_t r = 0; r < rule->n_resources; r++)
				if (!covers_names(owner, rule, rule->verbs[v], rule->api_groups[g],
				                  rule->resources[r]))
					return false;
		for (size_t u = 0; u < rule->n_non_resource_urls; u++)
			if (!covers_url(owner, rule->verbs[v], rule->non_resource_urls[u]))
				return false;
	}
	return true;
}
