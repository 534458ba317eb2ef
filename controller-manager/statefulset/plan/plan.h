/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a StatefulSet needs next: pods with an identity each, made in order and deleted in reverse
 * unless it is Parallel, updated from the last one down to the partition (kubernetes
 * pkg/controller/statefulset). Pure. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "proto/apps_v1.pb-c.h"

#define STATEFULSET_REVISION_LABEL "controller-revision-hash"

struct statefulset_input {
	const AppsV1__StatefulSet *set;
	CoreV1__Pod *const *pods; /* those that it controls */
	size_t n_pods;
	const char *current, *update; /* names of revisions: of the status, of the template */
	int64_t now_s;
};

struct statefulset_create {
	int32_t ordinal;
	bool update; /* by the new revision, else by the current one */
};

struct statefulset_remove {
	const CoreV1__Pod *pod;
	bool condemned;     /* beyond the number of replicas: its claims may go with it */
	const char *reason; /* of an event about a pod that ended; NULL: none */
};

struct statefulset_plan {
	struct statefulset_create *create;
	size_t n_create;
	struct statefulset_remove *remove;
	size_t n_remove;
	const CoreV1__Pod **fix;     /* pods whose identity is not theirs any more */
	const CoreV1__Pod **pending; /* pods whose claims may be missing */
	size_t n_fix, n_pending;
	AppsV1__StatefulSetStatus status;
	bool status_differs;
	int64_t recheck_s; /* when a pod becomes available by time alone; 0: never */
};

void statefulset_plan(const struct statefulset_input *in, struct arena *a,
                      struct statefulset_plan *ret);

/* The pod's number; -1: it is not one of the set's. */
int32_t statefulset_ordinal(const AppsV1__StatefulSet *set, const CoreV1__Pod *pod);
/* The pod of a number: of the template of a revision (its owner and namespace are the caller's). */
void statefulset_shape_pod(const AppsV1__StatefulSet *set, int32_t ordinal, const char *revision,
                           CoreV1__Pod *pod, struct arena *a);
/* Labels, host name and volumes as they must be; false: it has them already. */
bool statefulset_set_identity(const AppsV1__StatefulSet *set, int32_t ordinal, CoreV1__Pod *pod,
                              struct arena *a);
/* The claims of a pod, one a template. */
size_t statefulset_claims(const AppsV1__StatefulSet *set, int32_t ordinal, struct arena *a,
                          CoreV1__PersistentVolumeClaim ***ret);
