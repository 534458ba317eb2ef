/* SPDX-License-Identifier: Apache-2.0 */
/* Nobody grants permissions that they do not have, unless they may `escalate` the role or `bind` it
 * (kubernetes pkg/registry/rbac/escalation_check.go, validation/rule.go). */
#include "apiserver/auth/auth_impl.h"
#include "proto/meta_v1.pb-c.h"
#include "proto/msg.h"
#include "proto/rbac_v1.pb-c.h"
#include "proto/resource_table.h"

#define GROUP "rbac.authorization.k8s.io"

struct check {
	struct auth *auth;
	const struct request *req;
	const struct object *obj, *old;
	struct arena *a;
	const char *ns;
};

static bool may(const struct check *c, const char *verb, const char *resource, const char *ns,
                const char *name)
{
	const struct authz_attributes at = {
	    .user = &c->req->user,
	    .verb = verb,
	    .is_resource = true,
	    .group = GROUP,
	    .resource = resource,
	    .subresource = "",
	    .name = name,
	    .ns = ns,
	    .path = "",
	    .field_selector = "",
	};

	return auth_authorize(c->auth, &at, c->a, NULL) == AUTHZ_ALLOW;
}

/* --- text
 * ----------------------------------------------------------------------------------------- */

static void list_text(struct buf *b, const char *name, char *const *list, size_t n, bool *first)
{
	if (!n)
		return;
	buf_printf(b, "%s%s:[", *first ? "" : ", ", name);
	*first = false;
	for (size_t i = 0; i < n; i++)
		buf_printf(b, "%s\"%s\"", i ? " " : "", list[i]);
	buf_byte(b, ']');
}

static void rule_text(struct buf *b, const RbacV1__PolicyRule *r)
{
	bool first = true;

	buf_byte(b, '{');
	list_text(b, "APIGroups", r->api_groups, r->n_api_groups, &first);
	list_text(b, "Resources", r->resources, r->n_resources, &first);
	list_text(b, "NonResourceURLs", r->non_resource_urls, r->n_non_resource_urls, &first);
	list_text(b, "ResourceNames", r->resource_names, r->n_resource_names, &first);
	list_text(b, "Verbs", r->verbs, r->n_verbs, &first);
	buf_byte(b, '}');
}

static const struct status *refuse(const struct check *c, const RbacV1__PolicyRule **missing,
                                   size_t n)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const struct user_info *u = &c->req->user;

	buf_printf(&b, "user \"%s\" (groups=[", u->name);
	for (size_t i = 0; i < u->n_groups; i++)
		buf_printf(&b, "%s\"%s\"", i ? " " : "", u->groups[i]);
	buf_str(&b, "]) is attempting to grant RBAC permissions not currently held:");
	for (size_t i = 0; i < n; i++) {
		buf_byte(&b, '\n');
		rule_text(&b, missing[i]);
	}
	return status_forbidden(c->a, GROUP, c->obj->res->resource, object_name(c->obj),
	                        arena_strndup(c->a, b.data, b.len));
}

/* --- rules
 * ------------------------------------------------------------------------------------------ */

static const struct status *covers(const struct check *c, RbacV1__PolicyRule *const *rules,
                                   size_t n)
{
	const RbacV1__PolicyRule **missing = arena_array(c->a, const RbacV1__PolicyRule *, n);
	const struct user_info *u = &c->req->user;
	struct rbac_rules owned;
	size_t n_missing = 0;

	pthread_rwlock_rdlock(&c->auth->rbac_lock);
	rbac_rules_for(c->auth->rbac, u->name, u->groups, u->n_groups, c->ns, c->a, &owned);
	for (size_t i = 0; i < n; i++)
		if (!rbac_covers(&owned, rules[i]))
			missing[n_missing++] = rules[i];
	pthread_rwlock_unlock(&c->auth->rbac_lock);
	return n_missing ? refuse(c, missing, n_missing) : NULL;
}

static bool rules_equal(RbacV1__PolicyRule *const *a, size_t n_a, RbacV1__PolicyRule *const *b,
                        size_t n_b)
{
	if (n_a != n_b)
		return false;
	for (size_t i = 0; i < n_a; i++)
		if (!msg_equal(schema_of(&rbac_v1__policy_rule__descriptor), &a[i]->base,
		               &b[i]->base))
			return false;
	return true;
}

static const struct status *check_role(const struct check *c)
{
	const RbacV1__Role *new = OBJECT_MSG(c->obj, RbacV1__Role);
	const RbacV1__Role *old = c->old ? OBJECT_MSG(c->old, RbacV1__Role) : NULL;

	if (old && rules_equal(old->rules, old->n_rules, new->rules, new->n_rules))
		return NULL;
	if (may(c, "escalate", "roles", c->ns, object_name(c->obj)))
		return NULL;
	return covers(c, new->rules, new->n_rules);
}

static const struct status *check_cluster_role(const struct check *c)
{
	const RbacV1__ClusterRole *new = OBJECT_MSG(c->obj, RbacV1__ClusterRole);
	const RbacV1__ClusterRole *old = c->old ? OBJECT_MSG(c->old, RbacV1__ClusterRole) : NULL;
	const struct schema_message *aggregation =
	    schema_of(&rbac_v1__aggregation_rule__descriptor);
	RbacV1__PolicyRule all = RBAC_V1__POLICY_RULE__INIT, *all_p = &all;
	char *star[] = {(char *)"*"};

	bool same_rules = old && rules_equal(old->rules, old->n_rules, new->rules, new->n_rules);
	bool same_aggregation =
	    old ? msg_equal(aggregation,
	                    old->aggregation_rule ? &old->aggregation_rule->base : NULL,
	                    new->aggregation_rule ? &new->aggregation_rule->base : NULL)
	        : !new->aggregation_rule;
	if ((same_rules && same_aggregation) ||
	    may(c, "escalate", "clusterroles", "", object_name(c->obj)))
		return NULL;
	/* Aggregation may collect anything: whoever sets it must hold everything. */
	if (!same_aggregation && new->aggregation_rule) {
		all.verbs = all.api_groups = all.resources = star;
		all.n_verbs = all.n_api_groups = all.n_resources = 1;
		const struct status *s = covers(c, &all_p, 1);
		if (s)
			return s;
	}
	return same_rules ? NULL : covers(c, new->rules, new->n_rules);
}

/* --- bindings
 * ------------------------------------------------------------------------------------------ */

static const struct status *check_binding(const struct check *c)
{
	/* ClusterRoleBinding has the same members in the same places. */
	const RbacV1__RoleBinding *new = OBJECT_MSG(c->obj, RbacV1__RoleBinding);
	const RbacV1__RoleRef *ref = new->role_ref;
	bool cluster = !strcmp(ref->kind, "ClusterRole");
	const RbacV1__PolicyRule **rules;
	struct rbac_rules granted;
	size_t n;

	if (c->old && msg_equal(c->obj->schema, c->old->msg, c->obj->msg))
		return NULL;
	if (may(c, "bind", cluster ? "clusterroles" : "roles", c->ns, ref->name))
		return NULL;
	pthread_rwlock_rdlock(&c->auth->rbac_lock);
	bool found = rbac_role_rules(c->auth->rbac, c->ns, ref, &granted);
	n = found ? granted.n : 0;
	rules = arena_array(c->a, const RbacV1__PolicyRule *, n);
	for (size_t i = 0; i < n; i++)
		rules[i] = (const RbacV1__PolicyRule *)msg_copy(
		    schema_of(&rbac_v1__policy_rule__descriptor), &granted.at[i]->base, c->a);
	pthread_rwlock_unlock(&c->auth->rbac_lock);
	if (!found)
		return status_not_found(c->a, GROUP, cluster ? "clusterroles" : "roles", ref->name);
	return covers(c, (RbacV1__PolicyRule *const *)rules, n);
}

const struct status *auth_check_escalation(struct auth *a, const struct request *req,
                                           const struct object *obj, const struct object *old,
                                           struct arena *arena)
{
	const struct check c = {a, req, obj, old, arena, object_namespace(obj)};
	const char *resource = obj->res->resource;

	if (user_in_group(&req->user, "system:masters"))
		return NULL;
	if (!strcmp(resource, "roles"))
		return check_role(&c);
	if (!strcmp(resource, "clusterroles"))
		return check_cluster_role(&c);
	return check_binding(&c);
}
