/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What an object takes of a quota (kubernetes pkg/quota/v1/evaluator/core). Pure. */
#include "proto/resource_sum.h"

struct resource_info;
struct CoreV1__Pod;
struct CoreV1__ResourceQuota;

/* The usage of an object under all names that a quota may use for it. msg is only looked at for
 * pods, services and claims. */
void quota_usage(const struct resource_info *res, const ProtobufCMessage *msg, struct arena *a,
                 struct resource_sum *ret);
/* The resource that has to be counted for a name of a quota, such as "limits.cpu" or
 * "count/jobs.batch"; NULL: there is none of that name. */
const struct resource_info *quota_resource(const char *name);
/* Whether changes of the kind change its usage. */
bool quota_follows_updates(const struct resource_info *res);
/* Whether the object falls under the quota's scopes. */
bool quota_matches(const struct CoreV1__ResourceQuota *q, const struct resource_info *res,
                   const ProtobufCMessage *msg);
/* "requests.cpu for: a,b": what containers must say and do not, because the quota limits it; NULL
 * when all is said. */
const char *quota_missing(const struct CoreV1__ResourceQuota *q, const struct CoreV1__Pod *pod,
                          struct arena *a);
