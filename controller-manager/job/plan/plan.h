/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a Job needs next (kubernetes pkg/controller/job): pods to make and to delete, and how ended
 * pods are counted exactly once, also when the controller dies in between. Pure.
 *
 * A turn has three steps. job_plan says which pods to make and delete; the shell does that.
 * job_track says the status to write first, with the uids of ended pods that are not counted yet,
 * and the pods whose finalizer then goes. job_settle says the status to write last, when it is
 * known which finalizers have gone: these pods are counted, and the Job may be finished. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "common/base/map.h"
#include "proto/batch_v1.pb-c.h"

#define JOB_FINALIZER "batch.kubernetes.io/job-tracking"

enum { JOB_PODS_PER_TURN = 500 };

/* Failures in a row: what the back-off of new pods comes from. */
struct job_memory {
	int32_t failures;
	int64_t last_failure_s;
};

struct job_input {
	const BatchV1__Job *job;
	CoreV1__Pod *const *pods; /* those that it controls */
	size_t n_pods;
	const struct map *released; /* uids of pods whose finalizer is gone though it still shows */
	int64_t now_s;
	bool expecting; /* writes of before that the pods do not show yet */
	struct job_memory memory;
};

/* A pod to make; index < 0: the Job is not Indexed. */
struct job_pod {
	int32_t index;
	int32_t failures, ignored_failures; /* of the pods of this index before; < 0: not told */
};

struct job_event {
	bool warning;
	const char *reason, *message;
};

struct job_state; /* what the steps of one turn hand on */

struct job_plan {
	bool nothing; /* it is finished, or somebody else's */
	struct job_pod *create;
	size_t n_create;
	const CoreV1__Pod **remove;
	size_t n_remove;
	bool
	    uncounted; /* what is removed loses its finalizer first, and does not count as failed */
	struct job_event *events; /* Suspended, Resumed */
	size_t n_events;
	struct job_memory memory;
	int64_t recheck_s; /* when time alone changes something; 0: never */
	struct job_state *state;
};

struct job_status_step {
	BatchV1__JobStatus *status;
	bool differs;
	const CoreV1__Pod **release; /* pods to take the finalizer from, when this is written */
	size_t n_release;
	struct job_event *events; /* of a Job that is finished by this status */
	size_t n_events;
};

void job_plan(const struct job_input *in, struct arena *a, struct job_plan *ret);
void job_track(const struct job_plan *plan, size_t n_created, size_t n_removed, struct arena *a,
               struct job_status_step *ret);
/* gone[i]: track->release[i] has no finalizer any more. */
void job_settle(const struct job_plan *plan, const struct job_status_step *track, const bool *gone,
                struct arena *a, struct job_status_step *ret);

/* Complete or Failed. */
bool job_is_finished(const BatchV1__Job *job);
/* This controller's, and not another's (spec.managedBy). */
bool job_is_ours(const BatchV1__Job *job);
bool job_pod_has_finalizer(const CoreV1__Pod *pod);
/* Gives a pod of the template what makes it one of the Job: finalizer, index. */
void job_shape_pod(const BatchV1__Job *job, const struct job_pod *p, CoreV1__Pod *pod,
                   struct arena *a);
