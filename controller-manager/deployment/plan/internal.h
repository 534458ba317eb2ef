/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Shared by the files of the Deployment plan. */
#include "controller-manager/deployment/plan/plan.h"

const char *template_hash(const AppsV1__Deployment *d, struct arena *a);

/* Sums over ReplicaSets. */
struct totals {
	int32_t desired, replicas, ready, available;
};
struct totals totals_of(const struct deployment_input *in);

static inline int32_t desired_of(const AppsV1__ReplicaSet *rs)
{
	return rs->spec->has_replicas ? rs->spec->replicas : 1;
}

/* Fills plan->status, status_differs and recheck_s. */
void plan_status(const struct deployment_input *in, const AppsV1__ReplicaSet *newest,
                 struct arena *a, struct deployment_plan *ret);
