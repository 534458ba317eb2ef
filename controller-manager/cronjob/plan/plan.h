/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a CronJob needs next: a Job to start, Jobs to delete, its status and when to look again
 * (kubernetes pkg/controller/cronjob). Pure. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "common/codec/cron.h"
#include "proto/batch_v1.pb-c.h"

struct cronjob_input {
	const BatchV1__CronJob *cj;
	BatchV1__Job *const *jobs; /* those that it controls */
	size_t n_jobs;
	int64_t now_s;
	cron_offset_fn offset; /* of its time zone; NULL: UTC */
	void *offset_arg;
	const char *zone_error; /* why its time zone cannot be used; NULL: it can */
};

struct cronjob_event {
	bool warning;
	const char *reason, *message;
};

struct cronjob_plan {
	BatchV1__Job *start; /* to be made; NULL: none */
	int64_t scheduled_s; /* its time */
	const BatchV1__Job **remove;
	size_t n_remove;
	struct cronjob_event *events;
	size_t n_events;
	BatchV1__CronJobStatus *status; /* without the new Job */
	bool status_differs;
	int64_t next_s; /* the next time of the schedule; 0: none */
};

void cronjob_plan(const struct cronjob_input *in, struct arena *a, struct cronjob_plan *ret);
/* The status when the Job was made. */
BatchV1__CronJobStatus *cronjob_started(const struct cronjob_plan *p, const BatchV1__Job *made,
                                        struct arena *a);
