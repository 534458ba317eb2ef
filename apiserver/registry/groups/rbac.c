/* SPDX-License-Identifier: Apache-2.0 */
/* rbac.authorization.k8s.io. What a user may grant is checked by auth/. */
#include "apiserver/registry/groups/kinds.h"
#include "apiserver/registry/row.h"
#include "common/codec/rfc3339.h"

static const char group[] = "rbac.authorization.k8s.io";

static void check_rule(errs_t errs, path_t p, const RbacV1__PolicyRule *r, bool namespaced)
{
	path_t urls = FIELD(p, "nonResourceURLs");

	if (!r->n_verbs)
		field_required(errs, FIELD(p, "verbs"), "verbs must contain at least one value");
	if (r->n_non_resource_urls) {
		if (namespaced)
			field_invalid_json(
			    errs, urls,
			    json_of_strings(errs, r->non_resource_urls, r->n_non_resource_urls),
			    "namespaced rules cannot apply to non-resource URLs");
		if (r->n_api_groups || r->n_resources || r->n_resource_names)
			field_invalid_json(
			    errs, urls,
			    json_of_strings(errs, r->non_resource_urls, r->n_non_resource_urls),
			    "rules cannot apply to both regular resources and non-resource URLs");
		return;
	}
	if (!r->n_api_groups)
		field_required(errs, FIELD(p, "apiGroups"),
		               "resource rules must supply at least one api group");
	if (!r->n_resources)
		field_required(errs, FIELD(p, "resources"),
		               "resource rules must supply at least one resource");
}

static void role_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const RbacV1__Role *role = OBJECT_MSG(obj, RbacV1__Role);

	for (size_t i = 0; i < role->n_rules; i++)
		check_rule(errs, FIELD_INDEX(FIELD(NULL, "rules"), i), role->rules[i], true);
}

static void clusterrole_validate(const struct strategy_ctx *ctx, const struct object *obj,
                                 errs_t errs)
{
	const RbacV1__ClusterRole *role = OBJECT_MSG(obj, RbacV1__ClusterRole);
	path_t p = FIELD(NULL, "aggregationRule.clusterRoleSelectors");

	for (size_t i = 0; i < role->n_rules; i++)
		check_rule(errs, FIELD_INDEX(FIELD(NULL, "rules"), i), role->rules[i], false);
	if (!role->aggregation_rule)
		return;
	if (!role->aggregation_rule->n_cluster_role_selectors)
		field_required(errs, p,
		               "at least one clusterRoleSelector required if aggregationRule is "
		               "non-nil");
	for (size_t i = 0; i < role->aggregation_rule->n_cluster_role_selectors; i++)
		check_selector(errs, FIELD_INDEX(p, i),
		               role->aggregation_rule->cluster_role_selectors[i]);
}

static void check_role_ref(errs_t errs, const RbacV1__RoleRef *ref, const char *const *kinds)
{
	path_t p = FIELD(NULL, "roleRef");

	check_enum(errs, FIELD(p, "apiGroup"), ref->api_group, LIST(group));
	check_enum(errs, FIELD(p, "kind"), ref->kind, kinds);
	check_required_name(errs, FIELD(p, "name"), ref->name, names_path_segment);
}

static void check_subject(errs_t errs, path_t p, const RbacV1__Subject *s, bool namespaced)
{
	if (!*s->name)
		field_required(errs, FIELD(p, "name"), "");
	if (!strcmp(s->kind, "ServiceAccount")) {
		if (*s->name)
			check_name(errs, FIELD(p, "name"), s->name, names_dns1123_subdomain);
		if (*s->api_group)
			field_not_supported(errs, FIELD(p, "apiGroup"), s->api_group, LIST(""));
		if (!namespaced && !*s->namespace_)
			field_required(errs, FIELD(p, "namespace"), "");
	} else if (list_has(LIST("User", "Group"), s->kind)) {
		if (strcmp(s->api_group, group))
			field_not_supported(errs, FIELD(p, "apiGroup"), s->api_group, LIST(group));
	} else {
		field_not_supported(errs, FIELD(p, "kind"), s->kind,
		                    LIST("ServiceAccount", "User", "Group"));
	}
}

static void rolebinding_validate(const struct strategy_ctx *ctx, const struct object *obj,
                                 errs_t errs)
{
	const RbacV1__RoleBinding *b = OBJECT_MSG(obj, RbacV1__RoleBinding);

	check_role_ref(errs, b->role_ref, LIST("Role", "ClusterRole"));
	for (size_t i = 0; i < b->n_subjects; i++)
		check_subject(errs, FIELD_INDEX(FIELD(NULL, "subjects"), i), b->subjects[i], true);
}

static void clusterrolebinding_validate(const struct strategy_ctx *ctx, const struct object *obj,
                                        errs_t errs)
{
	const RbacV1__ClusterRoleBinding *b = OBJECT_MSG(obj, RbacV1__ClusterRoleBinding);

	check_role_ref(errs, b->role_ref, LIST("ClusterRole"));
	for (size_t i = 0; i < b->n_subjects; i++)
		check_subject(errs, FIELD_INDEX(FIELD(NULL, "subjects"), i), b->subjects[i], false);
}

static void check_ref_kept(errs_t errs, const RbacV1__RoleRef *now, const RbacV1__RoleRef *old)
{
	if (!same_msg(now, old))
		field_invalid_json(errs, FIELD(NULL, "roleRef"), go_json_of(errs, now),
		                   "cannot change roleRef");
}

static void rolebinding_update(const struct strategy_ctx *ctx, const struct object *obj,
                               const struct object *old, errs_t errs)
{
	check_ref_kept(errs, OBJECT_MSG(obj, RbacV1__RoleBinding)->role_ref,
	               OBJECT_MSG(old, RbacV1__RoleBinding)->role_ref);
}

static void clusterrolebinding_update(const struct strategy_ctx *ctx, const struct object *obj,
                                      const struct object *old, errs_t errs)
{
	check_ref_kept(errs, OBJECT_MSG(obj, RbacV1__ClusterRoleBinding)->role_ref,
	               OBJECT_MSG(old, RbacV1__ClusterRoleBinding)->role_ref);
}

static void binding_cells(const struct strategy_ctx *ctx, struct table_row *r,
                          const RbacV1__RoleRef *ref, RbacV1__Subject *const *list, size_t n)
{
	struct arena *a = ctx->arena;
	struct join users = JOIN(a, ", "), groups = users, accounts = users;

	row_str(r, arena_printf(a, "%s/%s", ref->kind, ref->name));
	for (size_t i = 0; i < n; i++) {
		const RbacV1__Subject *s = list[i];
		if (!strcmp(s->kind, "User"))
			join_add(&users, s->name);
		else if (!strcmp(s->kind, "Group"))
			join_add(&groups, s->name);
		else
			join_add(&accounts, arena_printf(a, "%s/%s", s->namespace_, s->name));
	}
	row_str(r, join_text(&users));
	row_str(r, join_text(&groups));
	row_str(r, join_text(&accounts));
}

static void rolebinding_row(const struct strategy_ctx *ctx, const struct object *obj,
                            struct table_row *r)
{
	const RbacV1__RoleBinding *b = OBJECT_MSG(obj, RbacV1__RoleBinding);
	struct table_row tail = {0};

	binding_cells(ctx, &tail, b->role_ref, b->subjects, b->n_subjects);
	row_name(r, obj);
	row_str(r, tail.cells[0].str);
	row_age(ctx, r, obj);
	for (size_t i = 1; i < tail.n_cells; i++)
		row_str(r, tail.cells[i].str);
}

static void clusterrolebinding_row(const struct strategy_ctx *ctx, const struct object *obj,
                                   struct table_row *r)
{
	const RbacV1__ClusterRoleBinding *b = OBJECT_MSG(obj, RbacV1__ClusterRoleBinding);
	struct table_row tail = {0};

	binding_cells(ctx, &tail, b->role_ref, b->subjects, b->n_subjects);
	row_name(r, obj);
	row_str(r, tail.cells[0].str);
	row_age(ctx, r, obj);
	for (size_t i = 1; i < tail.n_cells; i++)
		row_str(r, tail.cells[i].str);
}

const struct strategy role_strategy = {
    .kind = "Role",
    .name_syntax = names_path_segment,
    .validate = role_validate,
    .allow_create_on_update = true,
    .allow_unconditional_update = true,
};

const struct strategy clusterrole_strategy = {
    .kind = "ClusterRole",
    .name_syntax = names_path_segment,
    .validate = clusterrole_validate,
    .allow_create_on_update = true,
    .allow_unconditional_update = true,
};

const struct strategy rolebinding_strategy = {
    .kind = "RoleBinding",
    .name_syntax = names_path_segment,
    .validate = rolebinding_validate,
    .validate_update = rolebinding_update,
    .allow_create_on_update = true,
    .allow_unconditional_update = true,
    .table_row = rolebinding_row,
};

const struct strategy clusterrolebinding_strategy = {
    .kind = "ClusterRoleBinding",
    .name_syntax = names_path_segment,
    .validate = clusterrolebinding_validate,
    .validate_update = clusterrolebinding_update,
    .allow_create_on_update = true,
    .allow_unconditional_update = true,
    .table_row = clusterrolebinding_row,
};
