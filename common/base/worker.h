/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A thread that calls functions one after the other, for what blocks (disk, large encodes). It
 * answers with loop_post, or by a post to another worker. */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "common/base/vec.h"

typedef void (*worker_fn)(void *arg);

struct worker_job {
	worker_fn fn;
	void *arg;
	uint64_t due_ns; /* of a later one */
};

typedef VEC(struct worker_job) worker_jobs;

struct worker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	worker_jobs posted; /* in order */
	worker_jobs later;  /* in no order: they are few */
	bool started, stop;
};

int worker_start(struct worker *w, const char *name);
/* Any thread. The functions run in the order of the posts. */
void worker_post(struct worker *w, worker_fn fn, void *arg);
/* Calls fn(arg) in delay_ms at the earliest, behind what has been posted by then. Any thread. */
void worker_post_later(struct worker *w, uint64_t delay_ms, worker_fn fn, void *arg);
/* Runs what was posted and what that posts in turn, drops what was for later, joins the thread. A
 * worker that was not started, or has been stopped, stays as it is. */
void worker_stop(struct worker *w);
