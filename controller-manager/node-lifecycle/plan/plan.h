/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a node's conditions ask of it: taints, and Unknown conditions when it gives no sign of life
 * (kubernetes pkg/controller/nodelifecycle). Pure. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "proto/core_v1.pb-c.h"

struct node_input {
	const CoreV1__Node *node;
	bool silent; /* neither its lease nor its status was renewed in time */
	int64_t now_s;
};

struct node_plan {
	/* Conditions that nobody vouches for are Unknown from here on. */
	CoreV1__NodeStatus *status;
	bool status_differs;
	CoreV1__NodeSpec *spec; /* with the taints that fit the conditions of before */
	bool taints_differ;
	bool ready; /* by the conditions after the plan */
};

void node_plan(const struct node_input *in, struct arena *a, struct node_plan *ret);
