/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* kube-scheduler's shell: informers feed the cluster and the queue (watch.c); a turn takes pods
 * from the queue and runs cycles (scheduler.c); results are bound asynchronously, many at once
 * (bind.c), or reported (report.c); victims are ended (preempt.c). Everything runs on one loop. */
#include "common/client/recorder.h"
#include "common/codec/jvalue.h"
#include "common/daemon/daemon.h"

struct scheduler_options {
	struct daemon *daemon;
	struct client *client;
	const struct jvalue *config; /* KubeSchedulerConfiguration; NULL: defaults */
	uint64_t unschedulable_ms;   /* after which a pod is tried again in any case */
	uint64_t seed;
};

struct scheduler;

int scheduler_new(const struct scheduler_options *o, struct scheduler **ret, struct err *err);
/* Starts to follow the cluster at once; pods are bound from scheduler_lead on. */
void scheduler_start(struct scheduler *s);
void scheduler_lead(struct scheduler *s);
void scheduler_free(struct scheduler *s);
