/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One scheduling cycle: filter all nodes, score those that fit, take one of the best
 * (kube-scheduler schedule_one.go). Pure: equal cluster, pod, start and seed give the same node.
 *
 * Of clusters with more than 100 nodes only a share is examined, as upstream does
 * (percentageOfNodesToScore 0: 50 % less 1 % per 125 nodes, at least 5 % and 100 nodes), going on
 * at each cycle where the last one ended. */
#include "common/base/rng.h"
#include "scheduler/core/framework.h"

struct cycle_result {
	struct node_info *node; /* NULL: none fits */
	const char *message;    /* then upstream's FitError text, in the arena */
	unsigned help;          /* events that can change it */
	size_t evaluated, feasible;
};

/* `start` is the slot to begin at; updated. */
void cycle_schedule(const struct cluster *cluster, const struct plugin *const *plugins,
                    const CoreV1__Pod *pod, const char *key, size_t *start, struct rng *rng,
                    struct arena *arena, struct cycle_result *ret);
