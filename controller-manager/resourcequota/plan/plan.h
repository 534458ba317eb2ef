/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a ResourceQuota's namespace uses of it (kubernetes pkg/controller/resourcequota): admission
 * counts what comes, this counts anew what there is. Pure. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "proto/core_v1.pb-c.h"

struct resource_info;

struct quota_object {
	const struct resource_info *res;
	const ProtobufCMessage *msg; /* of pods, services and claims; NULL otherwise */
};

/* The resources that have to be counted for it, each once. */
size_t quota_resources(const CoreV1__ResourceQuota *q, struct arena *a,
                       const struct resource_info ***ret);
/* The status by all objects of these resources in its namespace; NULL: it is right. */
CoreV1__ResourceQuotaStatus *quota_plan(const CoreV1__ResourceQuota *q,
                                        const struct quota_object *objects, size_t n,
                                        struct arena *a);
