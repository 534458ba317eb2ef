/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What expressions of admission may name (KEP-3488, apiserver pkg/admission/plugin/cel): object,
 * oldObject, request, and what a policy adds: params, namespaceObject, authorizer, variables. */
#include "common/cel/cel.h"

enum {
	POLICY_PARAMS = 1 << 0,
	POLICY_NAMESPACE = 1 << 1,
	POLICY_AUTHORIZER = 1 << 2,
	POLICY_VARIABLES = 1 << 3,
};
enum { POLICY_VARS_MAX = 8 };

struct policy_env {
	struct arena *arena;
	struct cel_variable vars[POLICY_VARS_MAX];
	size_t n_vars;
	struct cel_type variables; /* grows with policy_env_add */
	struct cel_field *fields;
};

void policy_env_init(struct policy_env *e, unsigned what, struct arena *a);
/* One of the policy's own variables: those that follow may name it. */
void policy_env_add(struct policy_env *e, const char *name, const struct cel_type *type);
/* The program, or NULL and the text for a field error: "compilation failed: ..." or
 * "must evaluate to bool". `want` and `or_want`: CEL_DYN is any. */
const struct cel_program *policy_env_compile(const struct policy_env *e, const char *text,
                                             enum cel_kind want, enum cel_kind or_want,
                                             const char **ret_why);
