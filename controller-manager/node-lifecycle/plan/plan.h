/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a node's conditions ask of it: taints, and Unknown conditions when it gives no sign of life
 * (kubernetes pkg/controller/nodelifecycle). Pure. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "proto/core_v1.pb-c.h"

enum node_eviction {
	NODE_EVICT,       /* the taints with NoExecute go with the conditions */
	NODE_EVICT_LATER, /* none is added to a node that has none */
	NODE_EVICT_NEVER, /* and those that are there go */
};

struct node_input {
	const CoreV1__Node *node;
	bool silent; /* neither its lease nor its status was renewed in time */
	int64_t now_s;
	enum node_eviction eviction;
};

struct node_plan {
	/* Conditions that nobody vouches for are Unknown from here on. */
	CoreV1__NodeStatus *status;
	bool status_differs;
	CoreV1__NodeSpec *spec; /* with the taints that fit the conditions of before */
	bool taints_differ;
	bool deferred; /* a taint with NoExecute waits */
	bool ready;    /* by the conditions after the plan */
};

void node_plan(const struct node_input *in, struct arena *a, struct node_plan *ret);
