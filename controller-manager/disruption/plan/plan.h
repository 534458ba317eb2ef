/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How many pods of a PodDisruptionBudget may be evicted (kubernetes pkg/controller/disruption).
 * Pure. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "proto/core_v1.pb-c.h"
#include "proto/policy_v1.pb-c.h"

/* The controller that a pod counts for: its Deployment where there is one. */
struct disruption_owner {
	const char *uid; /* NULL: nobody controls the pod */
	bool known;      /* its number of replicas is */
	int64_t replicas;
};

struct disruption_input {
	const PolicyV1__PodDisruptionBudget *pdb;
	CoreV1__Pod *const *pods;              /* those that the selector matches */
	const struct disruption_owner *owners; /* of each pod */
	size_t n_pods;
	int64_t now_s;
};

struct disruption_event {
	bool warning;
	const char *object; /* a pod's name, or NULL: the budget */
	const char *reason, *message;
};

struct disruption_plan {
	PolicyV1__PodDisruptionBudgetStatus *status;
	bool differs;
	struct disruption_event *events;
	size_t n_events;
	int64_t recheck_s; /* when an eviction should have been carried out; 0: never */
};

void disruption_plan(const struct disruption_input *in, struct arena *a,
                     struct disruption_plan *ret);
