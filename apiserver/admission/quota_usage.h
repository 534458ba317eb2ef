/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What an object takes of a quota (kubernetes pkg/quota/v1/evaluator/core). Pure. */
#include "apiserver/admission/resources.h"
#include "apiserver/registry/object.h"

struct CoreV1__Pod;
struct CoreV1__ResourceQuota;

/* The usage under all names that a quota may use for it. */
void quota_usage(const struct object *obj, struct arena *a, struct resource_sum *ret);
/* Whether changes of the kind change its usage. */
bool quota_follows_updates(const struct resource_info *res);
/* Whether the object falls under the quota's scopes. */
bool quota_matches(const struct CoreV1__ResourceQuota *q, const struct object *obj);
/* "requests.cpu for: a,b": what containers must say and do not, because the quota limits it; NULL
 * when all is said. */
const char *quota_missing(const struct CoreV1__ResourceQuota *q, const struct CoreV1__Pod *pod,
                          struct arena *a);
