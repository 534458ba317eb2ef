/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a ReplicaSet needs: how many pods to make, which to delete, and its status (kubernetes
 * pkg/controller/replicaset). Pure. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "proto/apps_v1.pb-c.h"

enum { REPLICASET_BURST = 500 };

struct replicaset_input {
	const AppsV1__ReplicaSet *rs;
	CoreV1__Pod *const *pods; /* those that it controls */
	size_t n_pods;
	int64_t now_s;
	/* Writes of before that the pods do not show yet: nothing is made or deleted meanwhile. */
	bool expecting;
	const char *failure; /* why a pod could not be made; NULL: it could */
};

struct replicaset_plan {
	size_t create;
	const CoreV1__Pod **remove; /* best victims first */
	size_t n_remove;
	AppsV1__ReplicaSetStatus status;
	bool status_differs;
	int64_t recheck_s; /* when a pod becomes available by time alone; 0: never */
};

void replicaset_plan(const struct replicaset_input *in, struct arena *a,
                     struct replicaset_plan *ret);
