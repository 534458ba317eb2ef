/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A libuv loop with a queue that any thread may post to, and timers without handles.
 *
 * One thread runs the loop (loop_run) and owns everything that lives on it; loop_post is the only
 * way in from outside (with loop_stop). Posted functions run in the order in which they were
 * posted: the queue is a vector that is swapped under a lock, and the loop is woken once when the
 * queue was empty. Timers live in a heap of the loop behind one uv_timer_t, so that a struct with a
 * timer inside may be freed as soon as the timer is stopped. */
#include "common/base/vec.h"
#include "common/base/worker.h"
#include <pthread.h>
#include <stdbool.h>
#include <uv.h>

typedef void (*loop_fn)(void *arg);

struct loop_post {
	loop_fn fn;
	void *arg;
};

typedef VEC(struct loop_post) loop_posts;

struct loop_timer {
	struct loop *loop;
	loop_fn fn;
	void *arg;
	uint64_t due_ms;
	uint64_t sequence; /* equal deadlines fire in the order in which they were started */
	size_t place;      /* in the heap, from 1; 0: stopped */
};

struct loop {
	uv_loop_t uv;
	/* Not a uv_async_t: when the sender of one is pushed aside in the middle, the receiver
	 * spins until it runs again, which on a busy machine costs more than all the rest. */
	uv_poll_t wake;
	int wake_fd;
	uv_idle_t idle;
	uv_timer_t clock;
	pthread_mutex_t lock;
	loop_posts posted;  /* under lock */
	loop_posts running; /* being called now */
	VEC(struct loop_timer *) timers;
	uint64_t timer_sequence;
	pthread_t thread; /* the one in loop_run */
	bool stop;        /* under lock */
};

int loop_init(struct loop *l);
/* Closes every handle that is still open on the loop (without calling its owner) and frees the
 * loop. Posts that have not run are dropped. Not while loop_run runs. */
void loop_deinit(struct loop *l);
/* Runs until loop_stop. May be called again. */
void loop_run(struct loop *l);
/* Runs what is ready without waiting; for tests and drains. True when something is still active. */
bool loop_run_once(struct loop *l, bool wait);
/* Makes loop_run return after the current turn. Any thread. */
void loop_stop(struct loop *l);
/* Calls fn(arg) on the loop's thread, after this call has returned. Any thread. */
void loop_post(struct loop *l, loop_fn fn, void *arg);
/* Is the caller the thread that runs the loop? */
bool loop_is_mine(const struct loop *l);
/* Monotonic milliseconds; the loop's idea of now, read once a turn. */
uint64_t loop_now_ms(const struct loop *l);

void loop_timer_init(struct loop_timer *t, struct loop *l, loop_fn fn, void *arg);
/* Fires once after delay_ms; starting a started timer moves it. Fires from the loop, never from
 * within this call. Only on the loop's thread (or before it runs). */
void loop_timer_start(struct loop_timer *t, uint64_t delay_ms);
/* The same with an absolute deadline in loop_now_ms. */
void loop_timer_start_at(struct loop_timer *t, uint64_t due_ms);
/* Stopping a stopped or zeroed timer does nothing. */
void loop_timer_stop(struct loop_timer *t);
static inline bool loop_timer_active(const struct loop_timer *t)
{
	return t->place != 0;
}

/* A loop in a thread of its own. */
struct loop_thread {
	struct loop loop;
	pthread_t thread;
	bool started;
};

int loop_thread_start(struct loop_thread *t, const char *name);
/* Stops the loop, joins the thread and frees the loop. */
void loop_thread_stop(struct loop_thread *t);
