/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/policy/env.h"

#define OBJECT_TYPE(type_name, field_list)                                       \
	{                                                                        \
		.kind = CEL_OBJECT, .name = (type_name), .fields = (field_list), \
		.n_fields = ARRAY_LEN(field_list)                                \
	}

static const struct cel_type map_string = {.kind = CEL_MAP, .of = &cel_string, .to = &cel_string};
static const struct cel_type map_strings = {
    .kind = CEL_MAP, .of = &cel_string, .to = &cel_list_string};

static const struct cel_field GVK_FIELDS[] = {
    {"group", &cel_string}, {"version", &cel_string}, {"kind", &cel_string}};
static const struct cel_type gvk = OBJECT_TYPE("kubernetes.GroupVersionKind", GVK_FIELDS);

static const struct cel_field GVR_FIELDS[] = {
    {"group", &cel_string}, {"version", &cel_string}, {"resource", &cel_string}};
static const struct cel_type gvr = OBJECT_TYPE("kubernetes.GroupVersionResource", GVR_FIELDS);

static const struct cel_field USER_FIELDS[] = {{"username", &cel_string},
                                               {"uid", &cel_string},
                                               {"groups", &cel_list_string},
                                               {"extra", &map_strings}};
static const struct cel_type user = OBJECT_TYPE("kubernetes.UserInfo", USER_FIELDS);

static const struct cel_field REQUEST_FIELDS[] = {
    {"kind", &gvk},        {"resource", &gvr},         {"subResource", &cel_string},
    {"requestKind", &gvk}, {"requestResource", &gvr},  {"requestSubResource", &cel_string},
    {"name", &cel_string}, {"namespace", &cel_string}, {"operation", &cel_string},
    {"userInfo", &user},   {"dryRun", &cel_bool},      {"options", &cel_dyn},
};
static const struct cel_type request = OBJECT_TYPE("kubernetes.AdmissionRequest", REQUEST_FIELDS);

static const struct cel_field META_FIELDS[] = {
    {"name", &cel_string},
    {"generateName", &cel_string},
    {"namespace", &cel_string},
    {"labels", &map_string},
    {"annotations", &map_string},
    {"UID", &cel_string},
    {"creationTimestamp", &cel_timestamp},
    {"deletionGracePeriodSeconds", &cel_int},
    {"deletionTimestamp", &cel_timestamp},
    {"generation", &cel_int},
    {"resourceVersion", &cel_string},
    {"finalizers", &cel_list_string},
};
static const struct cel_type meta = OBJECT_TYPE("kubernetes.NamespaceMetadata", META_FIELDS);
static const struct cel_field SPEC_FIELDS[] = {{"finalizers", &cel_list_string}};
static const struct cel_type spec = OBJECT_TYPE("kubernetes.NamespaceSpec", SPEC_FIELDS);
static const struct cel_field STATUS_FIELDS[] = {{"phase", &cel_string}};
static const struct cel_type status = OBJECT_TYPE("kubernetes.NamespaceStatus", STATUS_FIELDS);
static const struct cel_field NAMESPACE_FIELDS[] = {
    {"metadata", &meta}, {"spec", &spec}, {"status", &status}};
static const struct cel_type namespace_object =
    OBJECT_TYPE("kubernetes.Namespace", NAMESPACE_FIELDS);

static const struct cel_type authorizer = {.kind = CEL_OPAQUE,
                                           .name = "kubernetes.authorization.Authorizer"};
static const struct cel_type resource_check = {.kind = CEL_OPAQUE,
                                               .name = "kubernetes.authorization.ResourceCheck"};

static void declare(struct policy_env *e, const char *name, const struct cel_type *type)
{
	e->vars[e->n_vars++] = (struct cel_variable){name, type};
}

void policy_env_init(struct policy_env *e, unsigned what, struct arena *a)
{
	*e = (struct policy_env){.arena = a,
	                         .variables = {.kind = CEL_OBJECT, .name = "kubernetes.variables"}};
	declare(e, "object", &cel_dyn);
	declare(e, "oldObject", &cel_dyn);
	declare(e, "request", &request);
	if (what & POLICY_PARAMS)
		declare(e, "params", &cel_dyn);
	if (what & POLICY_NAMESPACE)
		declare(e, "namespaceObject", &namespace_object);
	if (what & POLICY_AUTHORIZER) {
		declare(e, "authorizer", &authorizer);
		declare(e, "authorizer.requestResource", &resource_check);
	}
	if (what & POLICY_VARIABLES)
		declare(e, "variables", &e->variables);
}

void policy_env_add(struct policy_env *e, const char *name, const struct cel_type *type)
{
	size_t n = e->variables.n_fields;

	e->fields =
	    arena_grow(e->arena, e->fields, n * sizeof(*e->fields), (n + 1) * sizeof(*e->fields));
	e->fields[n] = (struct cel_field){name, type};
	e->variables.fields = e->fields;
	e->variables.n_fields = n + 1;
}

static const char *kind_name(enum cel_kind k)
{
	return k == CEL_BOOL ? "bool" : k == CEL_STRING ? "string" : "null_type";
}

const struct cel_program *policy_env_compile(const struct policy_env *e, const char *text,
                                             enum cel_kind want, enum cel_kind or_want,
                                             const char **ret_why)
{
	const struct cel_env env = {.variables = e->vars, .n_variables = e->n_vars};
	const struct cel_program *p;
	const char *why;

	if (cel_compile(&env, text, e->arena, &p, &why) < 0) {
		*ret_why = arena_printf(e->arena, "compilation failed: %s", why);
		return NULL;
	}
	enum cel_kind kind = cel_program_type(p)->kind;
	if (want == CEL_DYN || kind == CEL_DYN || kind == want || kind == or_want)
		return p;
	*ret_why = or_want == want ? arena_printf(e->arena, "must evaluate to %s", kind_name(want))
	                           : arena_printf(e->arena, "must evaluate to one of [%s %s]",
	                                          kind_name(want), kind_name(or_want));
	return NULL;
}
