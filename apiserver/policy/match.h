/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Whether the rules of a policy, a binding or a webhook are about a request (apiserver
 * pkg/admission/plugin/policy/matching). Selectors are not looked at here: they need objects. */
#include <stdbool.h>
#include "proto/admissionregistration_v1.pb-c.h"
#include "proto/resource_table.h"

struct match_request {
	const struct resource_info *res;
	const char *subresource; /* "" none */
	const char *operation;   /* "CREATE", "UPDATE", "DELETE", "CONNECT" */
	const char *ns, *name;
};

/* `exact`: only the group and version that a rule names, not other forms of the same resource. */
bool match_rule(const AdmissionregistrationV1__RuleWithOperations *rule,
                const struct match_request *rq, bool exact);
/* resourceRules (none: all) without excludeResourceRules; NULL matches. */
bool match_resources(const AdmissionregistrationV1__MatchResources *m,
                     const struct match_request *rq);
