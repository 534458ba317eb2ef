/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* kube-scheduler's shell: informers of nodes and pods feed the cluster and the queue; a turn takes
 * pods from the queue, runs a cycle, assumes the result and binds it asynchronously. Everything
 * runs on one loop. */
#include "common/client/recorder.h"
#include "common/daemon/daemon.h"

struct scheduler_options {
	struct daemon *daemon;
	struct client *client;
	const char *scheduler_name; /* pods of this spec.schedulerName; "default-scheduler" */
	uint64_t seed;
};

struct scheduler;

struct scheduler *scheduler_new(const struct scheduler_options *o);
/* Starts to follow the cluster at once; pods are bound from scheduler_lead on. */
void scheduler_start(struct scheduler *s);
void scheduler_lead(struct scheduler *s);
void scheduler_free(struct scheduler *s);
