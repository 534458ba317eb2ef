/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/policy/policy.h"

static struct policy_expression compile(const struct policy_env *e, const char *text,
                                        enum cel_kind want)
{
	struct policy_expression x = {0};

	x.program = policy_env_compile(e, text, want, want, &x.error);
	return x;
}

static const char *trimmed(struct arena *a, const char *text)
{
	size_t n;

	text += strspn(text, " \t\r\n");
	for (n = strlen(text); n && strchr(" \t\r\n", text[n - 1]);)
		n--;
	return arena_strndup(a, text, n);
}

void policy_compile(struct policy *p)
{
	unsigned params = p->spec->param_kind ? POLICY_PARAMS : 0;
	struct policy_env conditions, all, message;

	policy_env_init(&conditions, params | POLICY_AUTHORIZER, &p->arena);
	policy_env_init(&all, params | POLICY_NAMESPACE | POLICY_AUTHORIZER | POLICY_VARIABLES,
	                &p->arena);
	policy_env_init(&message, params | POLICY_NAMESPACE | POLICY_VARIABLES, &p->arena);
	p->conditions =
	    arena_array(&p->arena, struct policy_expression, p->spec->n_match_conditions);
	for (size_t i = 0; i < p->spec->n_match_conditions; i++)
		p->conditions[i] =
		    compile(&conditions, p->spec->match_conditions[i]->expression, CEL_BOOL);
	p->variables = arena_array(&p->arena, struct policy_expression, p->spec->n_variables);
	for (size_t i = 0; i < p->spec->n_variables; i++) {
		const AdmissionregistrationV1__Variable *v = p->spec->variables[i];

		p->variables[i] = compile(&all, v->expression, CEL_DYN);
		const struct cel_type *t =
		    p->variables[i].program ? cel_program_type(p->variables[i].program) : &cel_dyn;
		policy_env_add(&all, v->name, t);
		policy_env_add(&message, v->name, t);
	}
	p->validations = arena_array(&p->arena, struct policy_validation, p->spec->n_validations);
	for (size_t i = 0; i < p->spec->n_validations; i++) {
		const AdmissionregistrationV1__Validation *v = p->spec->validations[i];

		p->validations[i].text = trimmed(&p->arena, v->expression);
		p->validations[i].expression = compile(&all, v->expression, CEL_BOOL);
		if (*v->message_expression)
			p->validations[i].message =
			    compile(&message, v->message_expression, CEL_STRING);
	}
}
