/* SPDX-License-Identifier: Apache-2.0 */
/* admissionregistration.k8s.io: webhook configurations, policies and bindings. */
#include "apiserver/policy/env.h"
#include "apiserver/registry/groups/kinds.h"
#include "apiserver/registry/row.h"

enum { TIMEOUT_MIN_S = 1, TIMEOUT_MAX_S = 30, CONDITIONS_MAX = 64 };

/* --- rules ------------------------------------------------------------------------------------ */

static void check_not_empty(errs_t errs, path_t p, char *const *list, size_t n, const char *what)
{
	if (!n)
		field_required(errs, p, "");
	else if (n > 1 && strings_have(list, n, "*"))
		field_add(errs, FIELD_INVALID, p, json_of_strings(errs, list, n),
		          "if '*' is present, must not specify other %s", what);
}

static void check_resources(errs_t errs, path_t p, char *const *list, size_t n)
{
	bool subresources = false;

	if (!n) {
		field_required(errs, p, "");
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (!*list[i])
			field_required(errs, FIELD_INDEX(p, i), "");
		subresources |= strchr(list[i], '/') != NULL;
	}
	if (n > 1 && strings_have(list, n, "*/*"))
		field_invalid_json(errs, p, json_of_strings(errs, list, n),
		                   "if '*/*' is present, must not specify other resources");
	else if (n > 1 && strings_have(list, n, "*") && !subresources)
		field_invalid_json(
		    errs, p, json_of_strings(errs, list, n),
		    "if '*' is present, must not specify other resources without subresources");
}

static void check_rule(errs_t errs, path_t p, const AdmissionregistrationV1__RuleWithOperations *r)
{
	static const char *const operations[] = {"*",      "CONNECT", "CREATE",
	                                         "DELETE", "UPDATE",  NULL};
	path_t ops = FIELD(p, "operations");

	check_not_empty(errs, ops, r->operations, r->n_operations, "operations");
	for (size_t i = 0; i < r->n_operations; i++)
		check_enum(errs, FIELD_INDEX(ops, i), r->operations[i], operations);
	check_not_empty(errs, FIELD(p, "apiGroups"), r->rule->api_groups, r->rule->n_api_groups,
	                "API groups");
	check_not_empty(errs, FIELD(p, "apiVersions"), r->rule->api_versions,
	                r->rule->n_api_versions, "API versions");
	for (size_t i = 0; i < r->rule->n_api_versions; i++)
		if (!*r->rule->api_versions[i])
			field_required(errs, FIELD_INDEX(FIELD(p, "apiVersions"), i), "");
	check_resources(errs, FIELD(p, "resources"), r->rule->resources, r->rule->n_resources);
	if (r->rule->scope)
		check_enum(errs, FIELD(p, "scope"), r->rule->scope,
		           LIST("*", "Cluster", "Namespaced"));
}

/* An expression of its type; what it gives. */
static const struct cel_type *check_expression(errs_t errs, path_t p, const struct policy_env *e,
                                               const char *text, enum cel_kind want,
                                               enum cel_kind or_want)
{
	const struct cel_program *program;
	const char *why;

	if (!*text)
		return &cel_dyn;
	program = policy_env_compile(e, text, want, or_want, &why);
	if (!program)
		field_invalid(errs, p, text, why);
	return program ? cel_program_type(program) : &cel_dyn;
}

static void check_conditions(errs_t errs, path_t p, unsigned may_name,
                             AdmissionregistrationV1__MatchCondition *const *list, size_t n)
{
	struct policy_env env;
	struct index seen = INDEX_IN(errs->arena);

	if (n > CONDITIONS_MAX)
		field_too_many(errs, p, (int64_t)n, CONDITIONS_MAX);
	policy_env_init(&env, may_name | POLICY_AUTHORIZER, errs->arena);
	for (size_t i = 0; i < n; i++) {
		path_t at = FIELD_INDEX(p, i);
		check_required(errs, FIELD(at, "expression"), list[i]->expression);
		check_expression(errs, FIELD(at, "expression"), &env, list[i]->expression, CEL_BOOL,
		                 CEL_BOOL);
		check_required_name(errs, FIELD(at, "name"), list[i]->name, names_qualified);
		if (*list[i]->name && !index_add(&seen, list[i]->name, 0))
			field_duplicate(errs, FIELD(at, "name"), list[i]->name);
	}
}

/* --- webhooks --------------------------------------------------------------------------------- */

_Static_assert(offsetof(AdmissionregistrationV1__ValidatingWebhook, admission_review_versions) ==
                   offsetof(AdmissionregistrationV1__MutatingWebhook, admission_review_versions),
               "both kinds of webhook begin alike");
_Static_assert(offsetof(AdmissionregistrationV1__ValidatingWebhook, side_effects) ==
                   offsetof(AdmissionregistrationV1__MutatingWebhook, side_effects),
               "both kinds of webhook begin alike");

static void check_client(errs_t errs, path_t p,
                         const AdmissionregistrationV1__WebhookClientConfig *c)
{
	if (!c->url == !c->service) {
		field_required(errs, p, "exactly one of url or service is required");
		return;
	}
	if (c->url && !has_prefix(c->url, "https://"))
		field_invalid(errs, FIELD(p, "url"), c->url,
		              "'https' is the only allowed URL scheme; desired format: "
		              "https://host[/path]");
	if (!c->service)
		return;
	check_required(errs, FIELD(p, "service.name"), c->service->name);
	check_required(errs, FIELD(p, "service.namespace"), c->service->namespace_);
	check_port(errs, FIELD(p, "service.port"), c->service->port);
	if (c->service->path && *c->service->path != '/')
		field_invalid(errs, FIELD(p, "service.path"), c->service->path,
		              "must start with a '/'");
}

static void check_review_versions(errs_t errs, path_t p, char *const *list, size_t n)
{
	if (!n) {
		field_required(errs, p, "must specify one of v1, v1beta1");
		return;
	}
	for (size_t i = 0; i < n; i++)
		check_name(errs, FIELD_INDEX(p, i), list[i], names_dns1035_label);
	if (!strings_have(list, n, "v1") && !strings_have(list, n, "v1beta1"))
		field_invalid_json(errs, p, json_of_strings(errs, list, n),
		                   "must include at least one of v1, v1beta1");
}

/* A name with at least three labels. */
static void check_webhook_name(errs_t errs, path_t p, const char *name)
{
	const char *dot = strchr(name, '.');

	if (!check_name(errs, p, name, names_dns1123_subdomain))
		return;
	if (!dot || !strchr(dot + 1, '.'))
		field_invalid(errs, p, name,
		              "should be a domain with at least three segments separated by dots");
}

static void check_webhook(errs_t errs, path_t p,
                          const AdmissionregistrationV1__ValidatingWebhook *w)
{
	check_webhook_name(errs, FIELD(p, "name"), w->name);
	check_review_versions(errs, FIELD(p, "admissionReviewVersions"),
	                      w->admission_review_versions, w->n_admission_review_versions);
	for (size_t i = 0; i < w->n_rules; i++)
		check_rule(errs, FIELD_INDEX(FIELD(p, "rules"), i), w->rules[i]);
	if (w->failure_policy)
		check_enum(errs, FIELD(p, "failurePolicy"), w->failure_policy,
		           LIST("Fail", "Ignore"));
	if (w->match_policy)
		check_enum(errs, FIELD(p, "matchPolicy"), w->match_policy,
		           LIST("Equivalent", "Exact"));
	if (!w->side_effects)
		field_required(errs, FIELD(p, "sideEffects"),
		               "must specify one of None, NoneOnDryRun");
	else
		check_enum(errs, FIELD(p, "sideEffects"), w->side_effects,
		           LIST("None", "NoneOnDryRun"));
	if (w->has_timeout_seconds &&
	    (w->timeout_seconds < TIMEOUT_MIN_S || w->timeout_seconds > TIMEOUT_MAX_S))
		field_invalid_int(errs, FIELD(p, "timeoutSeconds"), w->timeout_seconds,
		                  "the timeout value must be between 1 and 30 seconds");
	check_selector(errs, FIELD(p, "namespaceSelector"), w->namespace_selector);
	check_selector(errs, FIELD(p, "objectSelector"), w->object_selector);
	check_client(errs, FIELD(p, "clientConfig"), w->client_config);
}

static void validating_validate(const struct strategy_ctx *ctx, const struct object *obj,
                                errs_t errs)
{
	const AdmissionregistrationV1__ValidatingWebhookConfiguration *c =
	    OBJECT_MSG(obj, AdmissionregistrationV1__ValidatingWebhookConfiguration);

	struct index seen = INDEX_IN(errs->arena);
	for (size_t i = 0; i < c->n_webhooks; i++) {
		path_t p = FIELD_INDEX(FIELD(NULL, "webhooks"), i);
		check_webhook(errs, p, c->webhooks[i]);
		check_conditions(errs, FIELD(p, "matchConditions"), 0,
		                 c->webhooks[i]->match_conditions,
		                 c->webhooks[i]->n_match_conditions);
		if (!index_add(&seen, c->webhooks[i]->name, 0)) {
			field_duplicate(errs, FIELD(p, "name"), c->webhooks[i]->name);
		}
	}
}

static void mutating_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const AdmissionregistrationV1__MutatingWebhookConfiguration *c =
	    OBJECT_MSG(obj, AdmissionregistrationV1__MutatingWebhookConfiguration);

	struct index seen = INDEX_IN(errs->arena);
	for (size_t i = 0; i < c->n_webhooks; i++) {
		const AdmissionregistrationV1__MutatingWebhook *w = c->webhooks[i];
		path_t p = FIELD_INDEX(FIELD(NULL, "webhooks"), i);
		check_webhook(errs, p, (const AdmissionregistrationV1__ValidatingWebhook *)w);
		check_conditions(errs, FIELD(p, "matchConditions"), 0, w->match_conditions,
		                 w->n_match_conditions);
		if (w->reinvocation_policy)
			check_enum(errs, FIELD(p, "reinvocationPolicy"), w->reinvocation_policy,
			           LIST("IfNeeded", "Never"));
		if (!index_add(&seen, w->name, 0)) {
			field_duplicate(errs, FIELD(p, "name"), w->name);
		}
	}
}

/* Configurations have no spec: their webhooks are what the generation follows. */
static void validating_update(const struct strategy_ctx *ctx, struct object *obj,
                              const struct object *old_obj)
{
	const AdmissionregistrationV1__ValidatingWebhookConfiguration *c =
	    OBJECT_MSG(obj, AdmissionregistrationV1__ValidatingWebhookConfiguration);
	const AdmissionregistrationV1__ValidatingWebhookConfiguration *old =
	    OBJECT_MSG(old_obj, AdmissionregistrationV1__ValidatingWebhookConfiguration);

	if (!same_list(c->webhooks, c->n_webhooks, old->webhooks, old->n_webhooks))
		object_set_generation(obj, object_generation(old_obj) + 1);
}

static void mutating_update(const struct strategy_ctx *ctx, struct object *obj,
                            const struct object *old_obj)
{
	const AdmissionregistrationV1__MutatingWebhookConfiguration *c =
	    OBJECT_MSG(obj, AdmissionregistrationV1__MutatingWebhookConfiguration);
	const AdmissionregistrationV1__MutatingWebhookConfiguration *old =
	    OBJECT_MSG(old_obj, AdmissionregistrationV1__MutatingWebhookConfiguration);

	if (!same_list(c->webhooks, c->n_webhooks, old->webhooks, old->n_webhooks))
		object_set_generation(obj, object_generation(old_obj) + 1);
}

static void validating_row(const struct strategy_ctx *ctx, const struct object *obj,
                           struct table_row *r)
{
	row_name(r, obj);
	row_int(r, (int64_t)OBJECT_MSG(obj, AdmissionregistrationV1__ValidatingWebhookConfiguration)
	               ->n_webhooks);
	row_age(ctx, r, obj);
}

static void mutating_row(const struct strategy_ctx *ctx, const struct object *obj,
                         struct table_row *r)
{
	row_name(r, obj);
	row_int(r, (int64_t)OBJECT_MSG(obj, AdmissionregistrationV1__MutatingWebhookConfiguration)
	               ->n_webhooks);
	row_age(ctx, r, obj);
}

const struct strategy validatingwebhook_strategy = {
    .kind = "ValidatingWebhookConfiguration",
    .generation = GENERATION_SPEC,
    .prepare_update = validating_update,
    .validate = validating_validate,
    .table_row = validating_row,
};

const struct strategy mutatingwebhook_strategy = {
    .kind = "MutatingWebhookConfiguration",
    .generation = GENERATION_SPEC,
    .prepare_update = mutating_update,
    .validate = mutating_validate,
    .table_row = mutating_row,
};

/* --- policies --------------------------------------------------------------------------------- */

static void check_match(errs_t errs, path_t p, const AdmissionregistrationV1__MatchResources *m)
{
	check_selector(errs, FIELD(p, "namespaceSelector"), m->namespace_selector);
	check_selector(errs, FIELD(p, "objectSelector"), m->object_selector);
	for (size_t i = 0; i < m->n_resource_rules; i++)
		check_rule(errs, FIELD_INDEX(FIELD(p, "resourceRules"), i),
		           m->resource_rules[i]->rule_with_operations);
	for (size_t i = 0; i < m->n_exclude_resource_rules; i++)
		check_rule(errs, FIELD_INDEX(FIELD(p, "excludeResourceRules"), i),
		           m->exclude_resource_rules[i]->rule_with_operations);
	if (m->match_policy)
		check_enum(errs, FIELD(p, "matchPolicy"), m->match_policy,
		           LIST("Equivalent", "Exact"));
}

static void check_constraints(errs_t errs, path_t p,
                              const AdmissionregistrationV1__MatchResources *m)
{
	if (!m) {
		field_required(errs, p, "");
		return;
	}
	if (!m->n_resource_rules)
		field_required(errs, FIELD(p, "resourceRules"), "");
	check_match(errs, p, m);
}

/* Each may name those before it: they join the environment. */
static void check_variables(errs_t errs, path_t p, struct policy_env *env,
                            AdmissionregistrationV1__Variable *const *list, size_t n)
{
	struct index seen = INDEX_IN(errs->arena);
	for (size_t i = 0; i < n; i++) {
		path_t at = FIELD_INDEX(p, i);
		check_required_name(errs, FIELD(at, "name"), list[i]->name, names_c_identifier);
		check_required(errs, FIELD(at, "expression"), list[i]->expression);
		policy_env_add(env, list[i]->name,
		               check_expression(errs, FIELD(at, "expression"), env,
		                                list[i]->expression, CEL_DYN, CEL_DYN));
		if (!index_add(&seen, list[i]->name, 0)) {
			field_duplicate(errs, FIELD(at, "name"), list[i]->name);
		}
	}
}

static void check_param_kind(errs_t errs, path_t p, const AdmissionregistrationV1__ParamKind *k)
{
	if (!k)
		return;
	check_required(errs, FIELD(p, "apiVersion"), k->api_version);
	check_required(errs, FIELD(p, "kind"), k->kind);
}

static void policy_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const AdmissionregistrationV1__ValidatingAdmissionPolicySpec *s =
	    OBJECT_MSG(obj, AdmissionregistrationV1__ValidatingAdmissionPolicy)->spec;
	path_t p = FIELD(NULL, "spec");

	if (s->failure_policy)
		check_enum(errs, FIELD(p, "failurePolicy"), s->failure_policy,
		           LIST("Fail", "Ignore"));
	check_param_kind(errs, FIELD(p, "paramKind"), s->param_kind);
	check_constraints(errs, FIELD(p, "matchConstraints"), s->match_constraints);
	unsigned params = s->param_kind ? POLICY_PARAMS : 0;
	struct policy_env env;
	policy_env_init(&env, params | POLICY_NAMESPACE | POLICY_AUTHORIZER | POLICY_VARIABLES,
	                errs->arena);
	check_conditions(errs, FIELD(p, "matchConditions"), params, s->match_conditions,
	                 s->n_match_conditions);
	check_variables(errs, FIELD(p, "variables"), &env, s->variables, s->n_variables);
	/* Messages may not ask about rights. */
	struct policy_env messages;
	policy_env_init(&messages, params | POLICY_NAMESPACE | POLICY_VARIABLES, errs->arena);
	for (size_t i = 0; i < env.variables.n_fields; i++)
		policy_env_add(&messages, env.fields[i].name, env.fields[i].type);
	if (!s->n_validations && !s->n_audit_annotations) {
		field_required(errs, FIELD(p, "validations"),
		               "validations or auditAnnotations must be specified");
		field_required(errs, FIELD(p, "auditAnnotations"),
		               "validations or auditAnnotations must be specified");
	}
	for (size_t i = 0; i < s->n_validations; i++) {
		const AdmissionregistrationV1__Validation *v = s->validations[i];
		path_t at = FIELD_INDEX(FIELD(p, "validations"), i);
		if (!*v->expression)
			field_required(errs, FIELD(at, "expression"),
			               "expression is not specified");
		check_expression(errs, FIELD(at, "expression"), &env, v->expression, CEL_BOOL,
		                 CEL_BOOL);
		check_expression(errs, FIELD(at, "messageExpression"), &messages,
		                 v->message_expression, CEL_STRING, CEL_STRING);
		if (*v->message && strchr(v->message, '\n'))
			field_invalid(errs, FIELD(at, "message"), v->message,
			              "message must not contain line breaks");
		if (v->reason)
			check_enum(
			    errs, FIELD(at, "reason"), v->reason,
			    LIST("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"));
	}
	for (size_t i = 0; i < s->n_audit_annotations; i++) {
		path_t at = FIELD_INDEX(FIELD(p, "auditAnnotations"), i);
		check_required_name(errs, FIELD(at, "key"), s->audit_annotations[i]->key,
		                    names_qualified);
		check_required(errs, FIELD(at, "valueExpression"),
		               s->audit_annotations[i]->value_expression);
		check_expression(errs, FIELD(at, "valueExpression"), &env,
		                 s->audit_annotations[i]->value_expression, CEL_STRING, CEL_NULL);
	}
}

static void mutating_policy_validate(const struct strategy_ctx *ctx, const struct object *obj,
                                     errs_t errs)
{
	const AdmissionregistrationV1__MutatingAdmissionPolicySpec *s =
	    OBJECT_MSG(obj, AdmissionregistrationV1__MutatingAdmissionPolicy)->spec;
	path_t p = FIELD(NULL, "spec");

	if (s->failure_policy)
		check_enum(errs, FIELD(p, "failurePolicy"), s->failure_policy,
		           LIST("Fail", "Ignore"));
	check_param_kind(errs, FIELD(p, "paramKind"), s->param_kind);
	check_constraints(errs, FIELD(p, "matchConstraints"), s->match_constraints);
	unsigned params = s->param_kind ? POLICY_PARAMS : 0;
	struct policy_env env;
	policy_env_init(&env, params | POLICY_NAMESPACE | POLICY_AUTHORIZER | POLICY_VARIABLES,
	                errs->arena);
	check_conditions(errs, FIELD(p, "matchConditions"), params, s->match_conditions,
	                 s->n_match_conditions);
	check_variables(errs, FIELD(p, "variables"), &env, s->variables, s->n_variables);
	if (!s->n_mutations)
		field_required(errs, FIELD(p, "mutations"), "mutations must be specified");
	for (size_t i = 0; i < s->n_mutations; i++)
		check_required_enum(errs, FIELD(FIELD_INDEX(FIELD(p, "mutations"), i), "patchType"),
		                    s->mutations[i]->patch_type,
		                    LIST("ApplyConfiguration", "JSONPatch"));
	check_required_enum(errs, FIELD(p, "reinvocationPolicy"), s->reinvocation_policy,
	                    LIST("IfNeeded", "Never"));
}

static const char *param_kind_text(struct arena *a, const AdmissionregistrationV1__ParamKind *k)
{
	return k ? arena_printf(a, "%s/%s", k->api_version, k->kind) : "<unset>";
}

static void policy_row(const struct strategy_ctx *ctx, const struct object *obj,
                       struct table_row *r)
{
	const AdmissionregistrationV1__ValidatingAdmissionPolicySpec *s =
	    OBJECT_MSG(obj, AdmissionregistrationV1__ValidatingAdmissionPolicy)->spec;

	row_name(r, obj);
	row_int(r, (int64_t)s->n_validations);
	row_str(r, param_kind_text(ctx->arena, s->param_kind));
	row_age(ctx, r, obj);
}

static void mutating_policy_row(const struct strategy_ctx *ctx, const struct object *obj,
                                struct table_row *r)
{
	const AdmissionregistrationV1__MutatingAdmissionPolicySpec *s =
	    OBJECT_MSG(obj, AdmissionregistrationV1__MutatingAdmissionPolicy)->spec;

	row_name(r, obj);
	row_int(r, (int64_t)s->n_mutations);
	row_str(r, param_kind_text(ctx->arena, s->param_kind));
	row_age(ctx, r, obj);
}

const struct strategy validatingpolicy_strategy = {
    .kind = "ValidatingAdmissionPolicy",
    .generation = GENERATION_SPEC,
    .has_status = true,
    .validate = policy_validate,
    .table_row = policy_row,
};

const struct strategy validatingpolicy_status_strategy = {
    .kind = "ValidatingAdmissionPolicy",
    .is_status = true,
    .keeps_metadata = true,
    .lax_update = true,
    .table_row = policy_row,
};

const struct strategy mutatingpolicy_strategy = {
    .kind = "MutatingAdmissionPolicy",
    .generation = GENERATION_SPEC,
    .validate = mutating_policy_validate,
    .table_row = mutating_policy_row,
};

/* --- bindings --------------------------------------------------------------------------------- */

static void check_param_ref(errs_t errs, path_t p, const AdmissionregistrationV1__ParamRef *ref)
{
	if (!ref)
		return;
	if (*ref->name && ref->selector)
		field_forbidden(errs, FIELD(p, "name"), "name and selector are mutually exclusive");
	else if (!*ref->name && !ref->selector)
		field_required(errs, p, "one of name or selector must be specified");
	check_selector(errs, FIELD(p, "selector"), ref->selector);
	if (!ref->parameter_not_found_action)
		field_required(errs, FIELD(p, "parameterNotFoundAction"), "");
	else
		check_enum(errs, FIELD(p, "parameterNotFoundAction"),
		           ref->parameter_not_found_action, LIST("Allow", "Deny"));
}

static void binding_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const AdmissionregistrationV1__ValidatingAdmissionPolicyBindingSpec *s =
	    OBJECT_MSG(obj, AdmissionregistrationV1__ValidatingAdmissionPolicyBinding)->spec;
	path_t p = FIELD(NULL, "spec"), actions = FIELD(p, "validationActions");

	check_required_name(errs, FIELD(p, "policyName"), s->policy_name, names_dns1123_subdomain);
	check_param_ref(errs, FIELD(p, "paramRef"), s->param_ref);
	if (s->match_resources)
		check_match(errs, FIELD(p, "matchResouces"), s->match_resources);
	if (!s->n_validation_actions)
		field_required(errs, actions, "at least one validation action is required");
	struct index seen = INDEX_IN(errs->arena);
	for (size_t i = 0; i < s->n_validation_actions; i++) {
		check_enum(errs, FIELD_INDEX(actions, i), s->validation_actions[i],
		           LIST("Audit", "Deny", "Warn"));
		if (!index_add(&seen, s->validation_actions[i], 0)) {
			field_duplicate(errs, FIELD_INDEX(actions, i), s->validation_actions[i]);
		}
	}
	if (strings_have(s->validation_actions, s->n_validation_actions, "Deny") &&
	    strings_have(s->validation_actions, s->n_validation_actions, "Warn"))
		field_invalid_json(
		    errs, actions,
		    json_of_strings(errs, s->validation_actions, s->n_validation_actions),
		    "must not contain both Deny and Warn (repeating the same validation "
		    "failure information in the API response and headers serves no purpose)");
}

static void mutating_binding_validate(const struct strategy_ctx *ctx, const struct object *obj,
                                      errs_t errs)
{
	const AdmissionregistrationV1__MutatingAdmissionPolicyBindingSpec *s =
	    OBJECT_MSG(obj, AdmissionregistrationV1__MutatingAdmissionPolicyBinding)->spec;
	path_t p = FIELD(NULL, "spec");

	check_required_name(errs, FIELD(p, "policyName"), s->policy_name, names_dns1123_subdomain);
	check_param_ref(errs, FIELD(p, "paramRef"), s->param_ref);
	if (s->match_resources)
		check_match(errs, FIELD(p, "matchResouces"), s->match_resources);
}

static const char *param_ref_text(struct arena *a, const AdmissionregistrationV1__ParamRef *ref)
{
	if (!ref)
		return "<unset>";
	if (ref->selector)
		return "*";
	return *ref->namespace_ ? arena_printf(a, "%s/%s", ref->namespace_, ref->name)
	                        : arena_printf(a, "*/%s", ref->name);
}

static void binding_row(const struct strategy_ctx *ctx, const struct object *obj,
                        struct table_row *r)
{
	const AdmissionregistrationV1__ValidatingAdmissionPolicyBindingSpec *s =
	    OBJECT_MSG(obj, AdmissionregistrationV1__ValidatingAdmissionPolicyBinding)->spec;

	row_name(r, obj);
	row_str(r, s->policy_name);
	row_str(r, param_ref_text(ctx->arena, s->param_ref));
	row_age(ctx, r, obj);
}

static void mutating_binding_row(const struct strategy_ctx *ctx, const struct object *obj,
                                 struct table_row *r)
{
	const AdmissionregistrationV1__MutatingAdmissionPolicyBindingSpec *s =
	    OBJECT_MSG(obj, AdmissionregistrationV1__MutatingAdmissionPolicyBinding)->spec;

	row_name(r, obj);
	row_str(r, s->policy_name);
	row_str(r, param_ref_text(ctx->arena, s->param_ref));
	row_age(ctx, r, obj);
}

const struct strategy validatingbinding_strategy = {
    .kind = "ValidatingAdmissionPolicyBinding",
    .generation = GENERATION_SPEC,
    .validate = binding_validate,
    .table_row = binding_row,
};

const struct strategy mutatingbinding_strategy = {
    .kind = "MutatingAdmissionPolicyBinding",
    .generation = GENERATION_SPEC,
    .validate = mutating_binding_validate,
    .table_row = mutating_binding_row,
};
