/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a DaemonSet needs: a pod on each node that it is for, the newest template by rolling
 * updates, its status (kubernetes pkg/controller/daemon). Pure. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "proto/apps_v1.pb-c.h"

#define DAEMONSET_HASH_LABEL "controller-revision-hash"

enum { DAEMONSET_BURST = 250 };

struct daemonset_input {
	const AppsV1__DaemonSet *ds;
	CoreV1__Node *const *nodes;
	size_t n_nodes;
	CoreV1__Pod *const *pods; /* those that it controls */
	size_t n_pods;
	const char *hash; /* of the current template */
	int64_t now_s;
	bool expecting;
	/* May a pod that failed on this node be replaced now, or is it too early? NULL: it may. */
	bool (*may_replace)(const char *node, void *arg);
	void *arg;
};

struct daemonset_event {
	bool warning;
	const char *reason, *message;
};

struct daemonset_plan {
	const char **create; /* names of nodes */
	size_t n_create;
	const CoreV1__Pod **remove;
	size_t n_remove;
	const char **failed_on; /* nodes whose failed pod goes: their back-off counts */
	size_t n_failed_on;
	struct daemonset_event *events;
	size_t n_events;
	AppsV1__DaemonSetStatus status;
	bool status_differs;
	int64_t recheck_s; /* when a pod becomes available by time alone; 0: never */
};

void daemonset_plan(const struct daemonset_input *in, struct arena *a, struct daemonset_plan *ret);
/* Gives a pod of the template what makes it one for the node: affinity, tolerations, hash. */
void daemonset_shape_pod(const AppsV1__DaemonSet *ds, const char *node, const char *hash,
                         CoreV1__Pod *pod, struct arena *a);
/* The node that the pod is on or for; NULL: unknown. */
const char *daemonset_pod_node(const CoreV1__Pod *pod);
