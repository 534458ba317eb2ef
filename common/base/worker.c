/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/worker.h"
#include <string.h>
#include <time.h>
#include "common/base/clock.h"
#include "common/base/err.h"

/* Moves what is due behind what was posted; what is left of the time until the next one is due, or
 * 0 without any. Under lock. */
static uint64_t later_take(struct worker *w)
{
	if (!w->later.n)
		return 0;
	uint64_t now = clock_mono_ns(), next = 0;
	for (size_t i = 0; i < w->later.n;) {
		struct worker_job j = w->later.at[i];
		if (j.due_ns <= now) {
			*vec_push(&w->posted) = j;
			vec_swap_remove(&w->later, i);
			continue;
		}
		next = next ? MIN(next, j.due_ns - now) : j.due_ns - now;
		i++;
	}
	return next;
}

static void wait_ns(struct worker *w, uint64_t ns)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	ns += (uint64_t)until.tv_nsec;
	until.tv_sec += (time_t)(ns / 1000000000);
	until.tv_nsec = (long)(ns % 1000000000);
	pthread_cond_timedwait(&w->wake, &w->lock, &until);
}

/* Waits for jobs; none: the worker is stopped. */
static worker_jobs take(struct worker *w, worker_jobs empty)
{
	pthread_mutex_lock(&w->lock);
	for (;;) {
		uint64_t next = later_take(w);
		if (w->posted.n || w->stop)
			break;
		if (next)
			wait_ns(w, next);
		else
			pthread_cond_wait(&w->wake, &w->lock);
	}
	worker_jobs turn = w->posted;
	w->posted = empty;
	pthread_mutex_unlock(&w->lock);
	return turn;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	worker_jobs turn = {0};
	while ((turn = take(w, turn)).n) {
		VEC_FOREACH (&turn, j)
			j->fn(j->arg);
		vec_clear(&turn);
	}
	vec_deinit(&turn);
	return NULL;
}

int worker_start(struct worker *w, const char *name)
{
	memset(w, 0, sizeof(*w));
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&w->thread, NULL, worker_main, w))
		return -ERR_NOMEM;
	pthread_setname_np(w->thread, name);
	w->started = true;
	return 0;
}

void worker_post(struct worker *w, worker_fn fn, void *arg)
{
	pthread_mutex_lock(&w->lock);
	bool was_empty = !w->posted.n;
	*vec_push(&w->posted) = (struct worker_job){fn, arg, 0};
	pthread_mutex_unlock(&w->lock);
	if (was_empty)
		pthread_cond_signal(&w->wake);
}

void worker_post_later(struct worker *w, uint64_t delay_ms, worker_fn fn, void *arg)
{
	uint64_t due_ns = clock_mono_ns() + delay_ms * 1000000;
	pthread_mutex_lock(&w->lock);
	*vec_push(&w->later) = (struct worker_job){fn, arg, due_ns};
	pthread_mutex_unlock(&w->lock);
	pthread_cond_signal(&w->wake);
}

void worker_stop(struct worker *w)
{
	if (!w->started)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_mutex_unlock(&w->lock);
	pthread_cond_signal(&w->wake);
	pthread_join(w->thread, NULL);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->wake);
	vec_deinit(&w->posted);
	vec_deinit(&w->later);
	w->started = false;
}
