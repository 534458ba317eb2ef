/* SPDX-License-Identifier: Apache-2.0 */
/* ValidatingAdmissionPolicy: the rules that a cluster's admins wrote as expressions (KEP-3488). */
#include "apiserver/admission/plugins.h"
#include "apiserver/admission/policy_vars.h"
#include "apiserver/policy/match.h"
#include "proto/meta_labels.h"
#include "proto/meta_v1.pb-c.h"

struct verdict {
	const char *message, *reason; /* message NULL: nothing is wrong */
};

/* --- which requests ------------------------------------------------------------------------------
 */

static bool selects(struct admission *ad, const MetaV1__LabelSelector *sel,
                    const MetaV1__ObjectMeta *meta)
{
	struct label_selector s;

	return meta_label_selector(sel, ad->arena, &s, NULL) == 0 && meta_labels_match(&s, meta);
}

static const MetaV1__ObjectMeta *meta_of(const struct object *o)
{
	return o ? o->meta : NULL;
}

static bool namespace_selected(struct admission *ad, const MetaV1__LabelSelector *sel)
{
	const struct admission_attrs *at = ad->at;

	if (!sel || (!sel->n_match_labels && !sel->n_match_expressions))
		return true;
	if (!strcmp(at->res->resource, "namespaces") && !*at->res->group) {
		const struct object *o = at->obj && at->obj->res == at->res ? at->obj : at->old;
		return selects(ad, sel, meta_of(o));
	}
	if (!at->ns || !*at->ns)
		return true;
	const struct object *ns = admission_get(ad, "", "namespaces", "", at->ns);
	return ns && selects(ad, sel, ns->meta);
}

static bool object_selected(struct admission *ad, const MetaV1__LabelSelector *sel)
{
	if (!sel || (!sel->n_match_labels && !sel->n_match_expressions))
		return true;
	return (meta_of(ad->at->obj) && selects(ad, sel, ad->at->obj->meta)) ||
	       (meta_of(ad->at->old) && selects(ad, sel, ad->at->old->meta));
}

static bool matches(struct admission *ad, const AdmissionregistrationV1__MatchResources *m)
{
	const struct match_request rq = {.res = ad->at->res,
	                                 .subresource =
	                                     ad->at->subresource ? ad->at->subresource : "",
	                                 .operation = policy_operation(ad),
	                                 .ns = ad->at->ns ? ad->at->ns : "",
	                                 .name = ad->at->name ? ad->at->name : ""};

	return !m || (match_resources(m, &rq) && namespace_selected(ad, m->namespace_selector) &&
	              object_selected(ad, m->object_selector));
}

/* --- params --------------------------------------------------------------------------------------
 */

/* The objects that a binding gives to its policy; -1 and *ret_why when the policy cannot be asked.
 */
static int params_of(struct admission *ad, const struct policy *p, const struct policy_binding *b,
                     struct cel_value **ret, const char **ret_why)
{
	const AdmissionregistrationV1__ParamKind *kind = p->spec->param_kind;
	const AdmissionregistrationV1__ParamRef *ref = b->spec->param_ref;
	const char *slash = kind ? strchr(kind->api_version, '/') : NULL;
	struct arena *a = ad->arena;
	int n = 0;

	*ret = arena_new(a, struct cel_value);
	(*ret)[0] = (struct cel_value){.kind = CEL_NULL};
	if (!kind || !ref)
		return 1;
	const struct resource_info *res = resource_by_kind(
	    slash ? arena_strndup(a, kind->api_version, (size_t)(slash - kind->api_version)) : "",
	    slash ? slash + 1 : kind->api_version, kind->kind);
	if (!res) {
		*ret_why = arena_printf(a,
		                        "failed to configure policy: failed to find resource "
		                        "referenced by paramKind: '%s, Kind=%s'",
		                        kind->api_version, kind->kind);
		return -1;
	}
	const char *ns = "";
	if (res->namespaced) {
		ns = *ref->namespace_ ? ref->namespace_ : ad->at->ns ? ad->at->ns : "";
		if (!*ns) {
			*ret_why = "failed to configure binding: cannot use namespaced paramRef in "
			           "policy binding that matches "
			           "cluster-scoped resources";
			return -1;
		}
	} else if (*ref->namespace_) {
		*ret_why = "failed to configure binding: paramRef.namespace must not be provided "
		           "for a cluster-scoped `paramKind`";
		return -1;
	}
	if (*ref->name) {
		const struct object *o = ad->world->get(ad->world->arg, res, ns, ref->name);
		if (o) {
			(*ret)[0] = policy_object(o, a);
			n = 1;
		} else if (!ad->fresh) {
			ad->stale = true;
		}
	} else {
		const struct object *all;
		size_t count = ad->world->list(ad->world->arg, res, ns, &all);

		*ret = arena_array(a, struct cel_value, count + 1);
		for (size_t i = 0; i < count; i++)
			if (selects(ad, ref->selector, all[i].meta))
				(*ret)[n++] = policy_object(&all[i], a);
	}
	if (n == 0 && ref->parameter_not_found_action &&
	    !strcmp(ref->parameter_not_found_action, "Deny")) {
		*ret_why = "failed to configure binding: no params found for policy binding with "
		           "`Deny` parameterNotFoundAction";
		return -1;
	}
	return n;
}

/* --- what is wrong -------------------------------------------------------------------------------
 */

static bool fails_closed(const struct policy *p)
{
	return !p->spec->failure_policy || strcmp(p->spec->failure_policy, "Ignore") != 0;
}

/* 1: all conditions hold; 0: one does not; -1: an error that refuses. */
static int conditions_hold(struct policy_run *r, struct verdict *ret)
{
	const struct policy *p = r->policy;
	int answer = 1;

	for (size_t i = 0; i < p->spec->n_match_conditions; i++) {
		struct cel_value v = policy_eval(r, &p->conditions[i]);

		if (v.kind == CEL_BOOL && !v.b)
			return 0;
		if (v.kind == CEL_BOOL)
			continue;
		if (!fails_closed(p))
			answer = 0;
		else if (answer == 1)
			answer = -1;
		if (v.kind != CEL_ERROR)
			v = cel_error(r->vars->ad->arena, "no such overload");
		*ret = (struct verdict){
		    arena_printf(r->vars->ad->arena, "expression '%s' resulted in error: %.*s",
		                 p->spec->match_conditions[i]->expression, SLICE_FMT(v.s)),
		    ""};
	}
	return answer;
}

/* The message of a validation that failed: of its expression when that gives one. */
static const char *message_of(struct policy_run *r, size_t i)
{
	const AdmissionregistrationV1__Validation *spec = r->policy->spec->validations[i];
	const struct policy_validation *x = &r->policy->validations[i];
	struct arena *a = r->vars->ad->arena;

	if (*spec->message_expression) {
		struct cel_value v = policy_eval(r, &x->message);

		if (v.kind == CEL_STRING) {
			struct slice s = v.s;
			while (s.len && strchr(" \t\r\n", s.data[0]))
				s = slice_skip(s, 1);
			while (s.len && strchr(" \t\r\n", s.data[s.len - 1]))
				s.len--;
			if (s.len && s.len <= 5 * 1024 && !memchr(s.data, '\n', s.len))
				return arena_strndup(a, s.data, s.len);
		}
	}
	if (*spec->message)
		return spec->message;
	return arena_printf(a, "failed expression: %s", x->text);
}

/* The i-th validation. */
static struct verdict judge(struct policy_run *r, size_t i)
{
	const struct policy_validation *x = &r->policy->validations[i];
	const char *reason = r->policy->spec->validations[i]->reason;
	struct cel_value v = policy_eval(r, &x->expression);
	struct arena *a = r->vars->ad->arena;

	if (v.kind == CEL_BOOL && v.b)
		return (struct verdict){0};
	if (v.kind == CEL_BOOL)
		return (struct verdict){message_of(r, i), reason ? reason : ""};
	if (!fails_closed(r->policy))
		return (struct verdict){0};
	if (v.kind != CEL_ERROR)
		v = cel_error(a, "no such overload");
	return (struct verdict){
	    arena_printf(a, "expression '%s' resulted in error: %.*s", x->text, SLICE_FMT(v.s)),
	    ""};
}

/* --- what comes of it ----------------------------------------------------------------------------
 */

static bool acts(const struct policy_binding *b, const char *action)
{
	for (size_t i = 0; i < b->spec->n_validation_actions; i++)
		if (!strcmp(b->spec->validation_actions[i], action))
			return true;
	return false;
}

static const struct refusal *denied(struct admission *ad, const struct policy *p,
                                    const struct policy_binding *b, const struct verdict *v)
{
	struct refusal *r = (struct refusal *)admission_forbid(
	    ad, "ValidatingAdmissionPolicy '%s' with binding '%s' denied request: %s", p->name,
	    b->name, v->message);

	r->cause_message = r->why;
	r->reason = *v->reason ? v->reason : "Invalid";
	return r;
}

static const struct refusal *conclude(struct admission *ad, const struct policy *p,
                                      const struct policy_binding *b, const struct verdict *v,
                                      const struct refusal *first)
{
	if (!v->message)
		return first;
	if (acts(b, "Warn") && ad->at->warnings)
		strategy_warn(
		    ad->at->warnings,
		    "Validation failed for ValidatingAdmissionPolicy '%s' with binding '%s': %s",
		    p->name, b->name, v->message);
	return !first && acts(b, "Deny") ? denied(ad, p, b, v) : first;
}

static const struct refusal *ask(struct admission *ad, struct policy_vars *vars,
                                 const struct policy *p, const struct policy_binding *b,
                                 const struct refusal *first)
{
	const char *why = NULL;
	struct cel_value *params;
	int n = params_of(ad, p, b, &params, &why);

	if (n < 0) {
		const struct verdict v = {fails_closed(p) ? why : NULL, ""};
		return conclude(ad, p, b, &v, first);
	}
	for (int k = 0; k < n; k++) {
		struct policy_run r;
		struct verdict v = {0};

		policy_run_init(&r, vars, p, params[k]);
		int holds = conditions_hold(&r, &v);
		if (holds < 0)
			first = conclude(ad, p, b, &v, first);
		for (size_t i = 0; i < p->spec->n_validations && holds > 0; i++) {
			v = judge(&r, i);
			first = conclude(ad, p, b, &v, first);
		}
	}
	return first;
}

const struct refusal *validating_policy(struct admission *ad)
{
	const struct policy_set *set = ad->world->policies;
	const struct refusal *first = NULL;
	struct policy_vars vars;

	/* Whoever manages policies is never locked out by one. */
	if (!set || !set->n || !strcmp(ad->at->res->group, "admissionregistration.k8s.io"))
		return NULL;
	policy_vars_init(&vars, ad);
	for (size_t i = 0; i < set->n; i++) {
		const struct policy_entry *e = &set->entries[i];

		if (!matches(ad, e->policy->spec->match_constraints))
			continue;
		for (size_t k = 0; k < e->n_bindings; k++)
			if (matches(ad, e->bindings[k]->spec->match_resources))
				first = ask(ad, &vars, e->policy, e->bindings[k], first);
	}
	return first;
}
