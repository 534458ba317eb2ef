/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Role based access control: roles, bindings, and the question whether they allow something
 * (rbac.authorization.k8s.io/v1; kubernetes plugin/pkg/auth/authorizer/rbac).
 *
 * Pure. A binding is found by its subjects, so that a decision costs the bindings of one user and
 * its groups, not those of the cluster. Objects passed in are copied. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "proto/rbac_v1.pb-c.h"

struct rbac;

/* What somebody wants to do. Strings are never NULL; resource requests have no path. */
struct rbac_attributes {
	const char *user;
	const char *const *groups;
	size_t n_groups;
	bool is_resource;
	const char *verb;
	const char *api_group, *resource, *subresource, *name, *ns;
	const char *path;
};

struct rbac *rbac_new(void);
void rbac_free(struct rbac *r);

/* ns "" for ClusterRole and ClusterRoleBinding. Setting replaces. */
void rbac_set_role(struct rbac *r, const char *ns, const char *name,
                   RbacV1__PolicyRule *const *rules, size_t n_rules);
void rbac_remove_role(struct rbac *r, const char *ns, const char *name);
void rbac_set_binding(struct rbac *r, const char *ns, const char *name,
                      RbacV1__Subject *const *subjects, size_t n_subjects,
                      const RbacV1__RoleRef *ref);
void rbac_remove_binding(struct rbac *r, const char *ns, const char *name);

/* True when a rule allows it; *ret_reason (may be NULL) then says which binding, in the arena. */
bool rbac_allows(const struct rbac *r, const struct rbac_attributes *a, struct arena *arena,
                 const char **ret_reason);

/* The rules that hold for the user in the namespace ("" for cluster-wide ones only), each once a
 * binding. Valid until the next change. */
struct rbac_rules {
	const RbacV1__PolicyRule **at;
	size_t n;
};
void rbac_rules_for(const struct rbac *r, const char *user, const char *const *groups,
                    size_t n_groups, const char *ns, struct arena *arena, struct rbac_rules *ret);
/* The rules of a role that a binding refers to; false when there is no such role. */
bool rbac_role_rules(const struct rbac *r, const char *ns, const RbacV1__RoleRef *ref,
                     struct rbac_rules *ret);

/* Whether `owner` covers every single permission of `rule` (component-helpers auth/rbac
 * validation.Covers): the check against escalation. */
bool rbac_covers(const struct rbac_rules *owner, const RbacV1__PolicyRule *rule);
/* Whether one rule allows the request. */
bool rbac_rule_allows(const RbacV1__PolicyRule *rule, const struct rbac_attributes *a);
