/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Shared by the files of the Job plan. */
#include "controller-manager/job/plan/indexes.h"
#include "controller-manager/job/plan/plan.h"

#define TEXT(s) ((char *)(uintptr_t)(s))
#define INDEX_ANNOTATION "batch.kubernetes.io/job-completion-index"
#define FAILURES_ANNOTATION "batch.kubernetes.io/job-index-failure-count"
#define IGNORED_ANNOTATION "batch.kubernetes.io/job-index-ignored-failure-count"

enum { BACKOFF_MIN_S = 10, BACKOFF_MAX_S = 600 };

/* How the Job ends: first FailureTarget or SuccessCriteriaMet, then Failed or Complete. */
struct job_finish {
	bool success;
	const char *reason, *message;
};

struct job_state {
	const struct job_input *in;
	const BatchV1__Job *job;
	struct arena *arena;
	bool indexed, per_index, suspended,
	    only_failed;                     /* only_failed: ending pods have not failed */
	const CoreV1__Pod **active, **fresh; /* fresh: ended, and not counted anywhere yet */
	size_t n_active, n_fresh;
	int32_t ready, ending; /* of the active ones; being deleted and not ended */
	struct indexes before, succeeded, failed;
	int64_t n_succeeded, n_failed;
	const CoreV1__Pod **delayed; /* per index: kept with their finalizer until replaced */
	size_t n_delayed;
	const struct job_finish *finish; /* NULL: it goes on */
	bool finish_known;               /* its first condition is in the status already */
	bool complete;                   /* it ends because all is done */
	BatchV1__JobStatus *status;
};

int32_t job_index_of(const struct job_state *s, const CoreV1__Pod *pod); /* < 0: none or beyond */
bool job_pod_failed(const struct job_state *s, const CoreV1__Pod *pod);
/* The finalizer is there: the pod is not counted yet, or not released. */
bool job_pod_tracked(const struct job_state *s, const CoreV1__Pod *pod);
int64_t job_pod_end_s(const CoreV1__Pod *pod, int64_t now_s);
int32_t job_annotation(const CoreV1__Pod *pod, const char *key);
bool job_uid_in(char *const *uids, size_t n, const char *uid);

/* What the pod failure policy makes of a failed pod: the action, or NULL; *ret_counted: it counts
 * towards back-off limits; *ret_message (NULL allowed): why the Job fails, or NULL. */
const char *job_policy_match(const struct job_state *s, const CoreV1__Pod *pod, bool *ret_counted,
                             const char **ret_message);
/* The index has failed for good with this pod. */
bool job_index_failed(const struct job_state *s, const CoreV1__Pod *pod);
/* The rule of the success policy that is met, or -1. */
int job_success_rule(const struct job_state *s);

void job_condition_set(struct job_state *s, const char *type, const char *status,
                       const char *reason, const char *message);
const BatchV1__JobCondition *job_condition(const BatchV1__JobStatus *status, const char *type);
