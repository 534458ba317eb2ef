/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/admission/policy_vars.h"
#include "apiserver/admission/pods.h"
#include "common/codec/rfc3339.h"

void policy_vars_init(struct policy_vars *v, struct admission *ad)
{
	*v = (struct policy_vars){.ad = ad, .left = CEL_REQUEST_LIMIT};
}

const char *policy_operation(const struct admission *ad)
{
	static const char *const NAMES[] = {[ADMIT_CREATE] = "CREATE",
	                                    [ADMIT_UPDATE] = "UPDATE",
	                                    [ADMIT_DELETE] = "DELETE",
	                                    [ADMIT_CONNECT] = "CONNECT"};
	return NAMES[ad->at->op];
}

static const char *api_version(struct arena *a, const char *group, const char *version)
{
	return *group ? arena_printf(a, "%s/%s", group, version) : version;
}

struct cel_value policy_object(const struct object *o, struct arena *a)
{
	if (!o)
		return (struct cel_value){.kind = CEL_NULL};
	struct jvalue *tree = value_to_tree(value_of_message(o->schema, o->msg, a), a);
	if (o->schema->kind) {
		jvalue_set(a, tree, "kind", jvalue_str(a, o->schema->kind));
		jvalue_set(a, tree, "apiVersion",
		           jvalue_str(a, api_version(a, o->schema->group, o->schema->version)));
	}
	return cel_of_value(value_of_tree(tree, a), a);
}

/* --- request -------------------------------------------------------------------------------------
 */

#define MEMBERS_MAX 16
struct members {
	const char *names[MEMBERS_MAX];
	struct cel_value values[MEMBERS_MAX];
	size_t n;
};

static void member(struct members *m, const char *name, struct cel_value v)
{
	m->names[m->n] = name;
	m->values[m->n++] = v;
}

static struct cel_value map_of(const struct members *m, struct arena *a)
{
	return cel_of_members(arena_memdup(a, m->names, m->n * sizeof(*m->names)),
	                      arena_memdup(a, m->values, m->n * sizeof(*m->values)), m->n, a);
}

static struct cel_value triple(struct arena *a, const char *group, const char *version,
                               const char *last, const char *value)
{
	struct members m = {.n = 0};

	member(&m, "group", cel_of_str(group));
	member(&m, "version", cel_of_str(version));
	member(&m, last, cel_of_str(value));
	return map_of(&m, a);
}

/* A list of strings, through a tree. */
static struct cel_value strings(struct arena *a, const char *const *list, size_t n)
{
	struct jvalue *array = jvalue_array(a);

	for (size_t i = 0; i < n; i++)
		jvalue_append(a, array, jvalue_str(a, list[i]));
	return cel_of_value(value_of_tree(array, a), a);
}

static struct cel_value user_of(const struct user_info *u, struct arena *a)
{
	const char **names = arena_array(a, const char *, u->n_extra);
	struct cel_value *values = arena_array(a, struct cel_value, u->n_extra);
	struct members m = {.n = 0};

	for (size_t i = 0; i < u->n_extra; i++) {
		names[i] = u->extra[i].key;
		values[i] = strings(a, u->extra[i].values, u->extra[i].n_values);
	}
	member(&m, "username", cel_of_str(u->name));
	if (*u->uid)
		member(&m, "uid", cel_of_str(u->uid));
	if (u->n_groups)
		member(&m, "groups", strings(a, u->groups, u->n_groups));
	if (u->n_extra)
		member(&m, "extra", cel_of_members(names, values, u->n_extra, a));
	return map_of(&m, a);
}

static struct cel_value request_of(const struct admission *ad)
{
	const struct admission_attrs *at = ad->at;
	const struct resource_info *res = at->res;
	struct arena *a = ad->arena;
	const char *sub = at->subresource ? at->subresource : "";
	const struct resource_info *shown =
	    *sub ? resource_find(res->group, res->version, res->resource, sub) : res;
	struct members m = {.n = 0};

	if (!shown)
		shown = res;
	struct cel_value kind =
	    triple(a, shown->kind_group, shown->kind_version, "kind", shown->kind);
	struct cel_value resource = triple(a, res->group, res->version, "resource", res->resource);
	member(&m, "kind", kind);
	member(&m, "resource", resource);
	member(&m, "requestKind", kind);
	member(&m, "requestResource", resource);
	if (*sub) {
		member(&m, "subResource", cel_of_str(sub));
		member(&m, "requestSubResource", cel_of_str(sub));
	}
	if (at->name && *at->name)
		member(&m, "name", cel_of_str(at->name));
	if (at->ns && *at->ns)
		member(&m, "namespace", cel_of_str(at->ns));
	member(&m, "operation", cel_of_str(policy_operation(ad)));
	member(&m, "userInfo", user_of(&at->req->user, a));
	member(&m, "dryRun", cel_of_bool(at->dry_run));
	return map_of(&m, a);
}

/* --- the namespace -------------------------------------------------------------------------------
 */

static struct cel_value time_of(const char *text)
{
	struct time_spec t;

	if (rfc3339_parse(slice_str(text), &t, NULL) < 0)
		return (struct cel_value){.kind = CEL_NULL};
	return (struct cel_value){.kind = CEL_TIMESTAMP, .time = {t.sec, t.nsec}};
}

/* Only what policies are promised of it; the uid has its Go name. */
static struct cel_value namespace_of(struct admission *ad)
{
	static const char *const PLAIN[] = {
	    "name",       "generateName",    "namespace",
	    "labels",     "annotations",     "generation",
	    "finalizers", "resourceVersion", "deletionGracePeriodSeconds"};
	const char *name = !strcmp(ad->at->res->resource, "namespaces") ? ad->at->name : ad->at->ns;
	const struct object *ns =
	    name && *name ? admission_get(ad, "", "namespaces", "", name) : NULL;
	struct arena *a = ad->arena;
	struct members meta = {.n = 0}, all = {.n = 0};

	if (!ns)
		return (struct cel_value){.kind = CEL_NULL};
	struct value o = value_of_message(ns->schema, ns->msg, a), m = value_get_str(o, "metadata"),
	             v;
	for (size_t i = 0; i < ARRAY_LEN(PLAIN); i++)
		if (value_exists(v = value_get_str(m, PLAIN[i])))
			member(&meta, PLAIN[i], cel_of_value(v, a));
	if (value_is(v = value_get_str(m, "uid"), VALUE_STRING))
		member(&meta, "UID", cel_of_slice(v.s));
	if (value_is(v = value_get_str(m, "creationTimestamp"), VALUE_STRING))
		member(&meta, "creationTimestamp", time_of((const char *)v.s.data));
	if (value_is(v = value_get_str(m, "deletionTimestamp"), VALUE_STRING))
		member(&meta, "deletionTimestamp", time_of((const char *)v.s.data));
	member(&all, "metadata", map_of(&meta, a));
	if (value_exists(v = value_get_str(o, "spec")))
		member(&all, "spec", cel_of_value(v, a));
	if (value_exists(v = value_get_str(o, "status")))
		member(&all, "status", cel_of_value(v, a));
	return map_of(&all, a);
}

/* --- evaluation ----------------------------------------------------------------------------------
 */

void policy_run_init(struct policy_run *r, struct policy_vars *v, const struct policy *p,
                     struct cel_value params)
{
	size_t n = p->spec->n_variables;

	*r = (struct policy_run){.vars = v, .policy = p, .params = params};
	r->variables = arena_array(v->ad->arena, struct cel_value, n);
	r->have = arena_array(v->ad->arena, bool, n);
}

/* variables.NAME */
static bool find_variable(void *arg, struct slice name, struct cel_value *ret)
{
	struct policy_run *r = arg;

	for (size_t i = 0; i < r->policy->spec->n_variables; i++) {
		if (!slice_eq_str(name, r->policy->spec->variables[i]->name))
			continue;
		if (!r->have[i]) {
			r->variables[i] = policy_eval(r, &r->policy->variables[i]);
			r->have[i] = true;
		}
		*ret = r->variables[i];
		return true;
	}
	return false;
}

static void authorizers(struct policy_vars *v)
{
	const struct admission_attrs *at = v->ad->at;

	v->authorizer = cel_authorizer_value(v->ad->arena);
	v->resource_check = cel_authorizer_resource(v->ad->arena, at->res->group, at->res->resource,
	                                            at->subresource ? at->subresource : "",
	                                            at->ns ? at->ns : "", at->name ? at->name : "");
	v->have_authorizer = true;
}

static bool find(void *arg, const char *name, struct cel_value *ret)
{
	struct policy_run *r = arg;
	struct policy_vars *v = r->vars;
	const struct admission_attrs *at = v->ad->at;

	if (!strcmp(name, "object")) {
		if (!v->have_object)
			v->object = policy_object(at->obj, v->ad->arena);
		v->have_object = true;
		*ret = v->object;
	} else if (!strcmp(name, "oldObject")) {
		if (!v->have_old)
			v->old_object = policy_object(at->old, v->ad->arena);
		v->have_old = true;
		*ret = v->old_object;
	} else if (!strcmp(name, "request")) {
		if (!v->have_request)
			v->request = request_of(v->ad);
		v->have_request = true;
		*ret = v->request;
	} else if (!strcmp(name, "params")) {
		*ret = r->params;
	} else if (!strcmp(name, "namespaceObject")) {
		if (!v->have_namespace)
			v->namespace_object = namespace_of(v->ad);
		v->have_namespace = true;
		*ret = v->namespace_object;
	} else if (!strcmp(name, "variables")) {
		*ret = cel_of_lookup(find_variable, r, v->ad->arena);
	} else if (!strncmp(name, "authorizer", 10)) {
		if (!v->have_authorizer)
			authorizers(v);
		*ret = name[10] ? v->resource_check : v->authorizer;
	} else {
		return false;
	}
	return true;
}

static bool allowed(void *arg, const struct cel_value *account, const char *group,
                    const char *resource, const char *subresource, const char *ns, const char *name,
                    const char *path, const char *verb, const char *field_selector,
                    const char *label_selector, const char **ret_reason)
{
	const struct admission *ad = arg;
	const struct admission_question q = {.account =
	                                         account ? (const char *)account->s.data : NULL,
	                                     .verb = verb,
	                                     .group = group,
	                                     .resource = resource,
	                                     .subresource = subresource,
	                                     .ns = ns,
	                                     .name = name,
	                                     .path = path,
	                                     .field_selector = field_selector};

	return ad->world->allowed && ad->world->allowed(ad->world->arg, &q, ret_reason);
}

struct cel_value policy_eval(struct policy_run *r, const struct policy_expression *x)
{
	struct arena *a = r->vars->ad->arena;
	const struct cel_authorizer authorizer = {.allowed = allowed, .arg = r->vars->ad};
	struct cel_run run = {.arena = a,
	                      .find = find,
	                      .arg = r,
	                      .authorizer = &authorizer,
	                      .cost_limit = MIN(r->vars->left, (uint64_t)CEL_CALL_LIMIT)};

	if (!x->program)
		return cel_error(a, "compilation error: %s", x->error);
	if (!r->vars->left)
		return cel_error(a, "validation failed due to running out of cost budget, no "
		                    "further validation rules will be run");
	struct cel_value v = cel_eval(x->program, &run);
	r->vars->left -= MIN(r->vars->left, run.cost);
	return v;
}
