/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a Deployment needs next: which ReplicaSets to make, scale, annotate or delete, and its
 * status (kubernetes pkg/controller/deployment). Pure: the shell carries the steps out and plans
 * anew when their effect is seen. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "proto/apps_v1.pb-c.h"

struct deployment_input {
	const AppsV1__Deployment *d;
	AppsV1__ReplicaSet *const *sets; /* those that it controls */
	size_t n_sets;
	size_t old_pods; /* of all sets but the new one, that still run: Recreate waits for them */
	int64_t now_s;
};

/* A set to write: its new number of replicas and annotations. */
struct deployment_scale {
	const AppsV1__ReplicaSet *set;
	int32_t replicas;
	const char *revision; /* to annotate; NULL: as it is */
	bool newest;          /* it takes over annotations and minReadySeconds */
	bool scaled;          /* the number differs: an event is told */
	bool up;
};

struct deployment_plan {
	/* The new set, when it has to be made: its name and template hash, replicas and revision.
	 */
	bool create;
	const char *hash, *name, *revision;
	int32_t create_replicas;
	struct deployment_scale *scale;
	size_t n_scale;
	const AppsV1__ReplicaSet **remove; /* beyond revisionHistoryLimit */
	size_t n_remove;
	const char *own_revision; /* annotation of the Deployment to set; NULL: it is right */
	AppsV1__DeploymentStatus *status;
	bool status_differs;
	int64_t recheck_s; /* when the progress deadline comes; 0: never */
};

void deployment_plan(const struct deployment_input *in, struct arena *a,
                     struct deployment_plan *ret);

/* The set whose template is the Deployment's, oldest first among equals; NULL: none. */
const AppsV1__ReplicaSet *deployment_new_set(const struct deployment_input *in);
/* maxSurge and maxUnavailable as numbers; at least one of them is not 0 when it rolls. */
void deployment_limits(const AppsV1__Deployment *d, int32_t *ret_surge, int32_t *ret_unavailable);
