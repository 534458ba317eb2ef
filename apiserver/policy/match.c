/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/policy/match.h"
#include <string.h>

static bool has(char *const *list, size_t n, const char *what)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], "*") || !strcmp(list[i], what))
			return true;
	return false;
}

/* "pods", "pods/exec", "pods/ *", "* /exec", "*" (no subresources) and "* / *". */
static bool resource_is(const char *pattern, const char *resource, const char *sub)
{
	const char *slash = strchr(pattern, '/');
	size_t n = slash ? (size_t)(slash - pattern) : strlen(pattern);
	bool name = (n == 1 && *pattern == '*') ||
	            (strlen(resource) == n && !strncmp(pattern, resource, n));

	if (!slash)
		return name && !*sub;
	return name && (!strcmp(slash + 1, "*") || (*sub && !strcmp(slash + 1, sub)));
}

/* Whether the rule names the request's group and version, or another form of the same resource. */
static bool group_version_is(const AdmissionregistrationV1__Rule *r,
                             const struct resource_info *res, bool exact)
{
	if (has(r->api_groups, r->n_api_groups, res->group) &&
	    has(r->api_versions, r->n_api_versions, res->version))
		return true;
	if (exact || !res->storage_prefix)
		return false;
	for (size_t g = 0; g < r->n_api_groups; g++) {
		for (size_t v = 0; v < r->n_api_versions; v++) {
			const struct resource_info *other =
			    resource_find(r->api_groups[g], r->api_versions[v], res->resource, "");
			if (other && other->storage_prefix &&
			    !strcmp(other->storage_prefix, res->storage_prefix))
				return true;
		}
	}
	return false;
}

bool match_rule(const AdmissionregistrationV1__RuleWithOperations *rule,
                const struct match_request *rq, bool exact)
{
	const AdmissionregistrationV1__Rule *r = rule->rule;
	bool namespaced = *rq->ns && strcmp(rq->res->resource, "namespaces");

	if (!has(rule->operations, rule->n_operations, rq->operation) ||
	    !group_version_is(r, rq->res, exact))
		return false;
	if (r->scope && strcmp(r->scope, "*") && !strcmp(r->scope, "Namespaced") != namespaced)
		return false;
	for (size_t i = 0; i < r->n_resources; i++)
		if (resource_is(r->resources[i], rq->res->resource, rq->subresource))
			return true;
	return false;
}

static bool any(AdmissionregistrationV1__NamedRuleWithOperations *const *rules, size_t n,
                const struct match_request *rq, bool exact)
{
	for (size_t i = 0; i < n; i++) {
		bool named = rules[i]->n_resource_names == 0;
		for (size_t k = 0; k < rules[i]->n_resource_names && !named; k++)
			named = !strcmp(rules[i]->resource_names[k], rq->name);
		if (named && match_rule(rules[i]->rule_with_operations, rq, exact))
			return true;
	}
	return false;
}

bool match_resources(const AdmissionregistrationV1__MatchResources *m,
                     const struct match_request *rq)
{
	if (!m)
		return true;
	bool exact = m->match_policy && !strcmp(m->match_policy, "Exact");
	if (m->n_resource_rules && !any(m->resource_rules, m->n_resource_rules, rq, exact))
		return false;
	return !any(m->exclude_resource_rules, m->n_exclude_resource_rules, rq, exact);
}
