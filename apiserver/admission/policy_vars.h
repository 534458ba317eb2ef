/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What expressions see of a request, made when it is first asked for. */
#include "apiserver/admission/admission.h"
#include "apiserver/policy/policy.h"

struct policy_vars {
	struct admission *ad;
	struct cel_value object, old_object, request, namespace_object, authorizer, resource_check;
	bool have_object, have_old, have_request, have_namespace, have_authorizer;
	uint64_t left; /* of the cost that all expressions of the request may have */
};

void policy_vars_init(struct policy_vars *v, struct admission *ad);

/* Of one policy and one of its params. */
struct policy_run {
	struct policy_vars *vars;
	const struct policy *policy;
	struct cel_value params;
	struct cel_value *variables; /* of the policy, each computed once */
	bool *have;
};

void policy_run_init(struct policy_run *r, struct policy_vars *v, const struct policy *p,
                     struct cel_value params);
/* Evaluates within the limits; a program that does not compile gives its error. */
struct cel_value policy_eval(struct policy_run *r, const struct policy_expression *x);
/* "CREATE" ... */
const char *policy_operation(const struct admission *ad);
/* An object as a value with apiVersion and kind; NULL gives null. */
struct cel_value policy_object(const struct object *o, struct arena *a);
