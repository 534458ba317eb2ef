/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A ValidatingAdmissionPolicy with its expressions compiled, and what binds it. Constant once made:
 * any number of threads may evaluate it. */
#include "apiserver/policy/env.h"
#include "proto/admissionregistration_v1.pb-c.h"

struct policy_expression {
	const struct cel_program *program; /* NULL: it does not compile */
	const char *error;                 /* then why */
};

struct policy_validation {
	struct policy_expression expression, message;
	const char *text; /* of the expression, trimmed */
};

struct policy {
	struct arena arena;
	const char *name;
	const AdmissionregistrationV1__ValidatingAdmissionPolicySpec *spec; /* in the arena */
	struct policy_expression *conditions, *variables;
	struct policy_validation *validations;
};

struct policy_binding {
	struct arena arena;
	const char *name;
	const AdmissionregistrationV1__ValidatingAdmissionPolicyBindingSpec
	    *spec; /* in the arena */
};

struct policy_entry {
	const struct policy *policy;
	const struct policy_binding *const *bindings;
	size_t n_bindings;
};
/* All policies that are bound. */
struct policy_set {
	const struct policy_entry *entries;
	size_t n;
};

/* Compiles `spec`, which lies in p->arena already. */
void policy_compile(struct policy *p);
