/* SPDX-License-Identifier: Apache-2.0 */
#include "common/net/loop.h"

#include <assert.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "common/base/err.h"

/* --- timers: a binary heap ordered by (due, sequence), places counted from 1 --- */

static bool timer_before(const struct loop_timer *a, const struct loop_timer *b)
{
	return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->sequence < b->sequence;
}

static void timer_set_place(struct loop *l, size_t place, struct loop_timer *t)
{
	l->timers.at[place - 1] = t;
	t->place = place;
}

static void timer_sift(struct loop *l, struct loop_timer *t)
{
	size_t place = t->place;
	for (; place > 1 && timer_before(t, l->timers.at[place / 2 - 1]); place /= 2)
		timer_set_place(l, place, l->timers.at[place / 2 - 1]);
	for (;;) {
		size_t child = place * 2;
		if (child > l->timers.n)
			break;
		if (child < l->timers.n &&
		    timer_before(l->timers.at[child], l->timers.at[child - 1]))
			child++;
		if (!timer_before(l->timers.at[child - 1], t))
			break;
		timer_set_place(l, place, l->timers.at[child - 1]);
		place = child;
	}
	timer_set_place(l, place, t);
}

static void timer_take_out(struct loop_timer *t)
{
	struct loop *l = t->loop;
	struct loop_timer *last = vec_pop(&l->timers);
	if (last != t) {
		last->place = t->place;
		timer_sift(l, last);
	}
	t->place = 0;
}

static void on_clock(uv_timer_t *clock);

/* Sets the one uv timer to the earliest deadline. */
static void timer_arm(struct loop *l)
{
	if (!l->timers.n) {
		uv_timer_stop(&l->clock);
		return;
	}
	uint64_t due = l->timers.at[0]->due_ms, now = uv_now(&l->uv);
	uv_timer_start(&l->clock, on_clock, due > now ? due - now : 0, 0);
}

static void on_clock(uv_timer_t *clock)
{
	struct loop *l = CONTAINER_OF(clock, struct loop, clock);
	uint64_t now = uv_now(&l->uv), sequence = l->timer_sequence;
	/* A timer that is started again by its own function waits for the next turn. */
	while (l->timers.n && l->timers.at[0]->due_ms <= now &&
	       l->timers.at[0]->sequence <= sequence) {
		struct loop_timer *t = l->timers.at[0];
		timer_take_out(t);
		t->fn(t->arg);
	}
	timer_arm(l);
}

void loop_timer_init(struct loop_timer *t, struct loop *l, loop_fn fn, void *arg)
{
	*t = (struct loop_timer){.loop = l, .fn = fn, .arg = arg};
}

void loop_timer_start_at(struct loop_timer *t, uint64_t due_ms)
{
	struct loop *l = t->loop;
	t->due_ms = due_ms;
	t->sequence = ++l->timer_sequence;
	if (!t->place) {
		*vec_push(&l->timers) = t;
		t->place = l->timers.n;
	}
	timer_sift(l, t);
	if (l->timers.at[0] == t)
		timer_arm(l);
}

void loop_timer_start(struct loop_timer *t, uint64_t delay_ms)
{
	uint64_t now = uv_now(&t->loop->uv);
	loop_timer_start_at(t, delay_ms > UINT64_MAX - now ? UINT64_MAX : now + delay_ms);
}

void loop_timer_stop(struct loop_timer *t)
{
	if (t->place)
		timer_take_out(t);
}

/* --- the loop --- */

/* The loop that this thread is running. */
static __thread struct loop *current;

static void run_posted(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	loop_posts now = l->posted;
	l->posted = l->running; /* empty; its storage is used again */
	l->running = (loop_posts){0};
	bool stop = l->stop;
	pthread_mutex_unlock(&l->lock);
	if (stop)
		uv_stop(&l->uv);
	VEC_FOREACH (&now, p)
		p->fn(p->arg);
	vec_clear(&now);
	l->running = now;
}

static void on_wake(uv_poll_t *wake, int status, int events)
{
	struct loop *l = CONTAINER_OF(wake, struct loop, wake);
	uint64_t n;

	if (read(l->wake_fd, &n, sizeof(n)) == sizeof(n))
		run_posted(l);
}

/* Posts of the loop's own thread need no wake-up, only that the loop does not sleep. */
static void on_idle(uv_idle_t *idle)
{
	uv_idle_stop(idle);
	run_posted(CONTAINER_OF(idle, struct loop, idle));
}

static void wake_up(struct loop *l)
{
	static const uint64_t one = 1;

	if (write(l->wake_fd, &one, sizeof(one)) != sizeof(one))
		abort(); /* only a closed descriptor fails */
}

int loop_init(struct loop *l)
{
	memset(l, 0, sizeof *l);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->wake_fd < 0)
		return -ERR_IO;
	if (uv_loop_init(&l->uv)) {
		close(l->wake_fd);
		return -ERR_IO;
	}
	pthread_mutex_init(&l->lock, NULL);
	uv_poll_init(&l->uv, &l->wake, l->wake_fd);
	uv_poll_start(&l->wake, UV_READABLE, on_wake);
	uv_idle_init(&l->uv, &l->idle);
	uv_timer_init(&l->uv, &l->clock);
	l->uv.data = l;
	l->thread = pthread_self();
	return 0;
}

static void close_open_handle(uv_handle_t *h, void *arg)
{
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

void loop_deinit(struct loop *l)
{
	if (!l->uv.data)
		return;
	VEC_FOREACH (&l->timers, t)
		(*t)->place = 0;
	uv_walk(&l->uv, close_open_handle, NULL);
	while (uv_run(&l->uv, UV_RUN_DEFAULT))
		;
	int r = uv_loop_close(&l->uv);
	assert(r == 0);
	close(l->wake_fd);
	pthread_mutex_destroy(&l->lock);
	vec_deinit(&l->posted);
	vec_deinit(&l->running);
	vec_deinit(&l->timers);
	l->uv.data = NULL;
}

static bool turn(struct loop *l, uv_run_mode mode)
{
	struct loop *outer = current;

	current = l;
	bool alive = uv_run(&l->uv, mode) != 0;
	current = outer;
	return alive;
}

void loop_run(struct loop *l)
{
	l->thread = pthread_self();
	uv_update_time(&l->uv);
	for (;;) {
		pthread_mutex_lock(&l->lock);
		bool stop = l->stop;
		l->stop = false;
		pthread_mutex_unlock(&l->lock);
		if (stop)
			return;
		turn(l, UV_RUN_DEFAULT);
	}
}

bool loop_run_once(struct loop *l, bool wait)
{
	l->thread = pthread_self();
	uv_update_time(&l->uv);
	return turn(l, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

void loop_stop(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_mutex_unlock(&l->lock);
	wake_up(l);
}

void loop_post(struct loop *l, loop_fn fn, void *arg)
{
	pthread_mutex_lock(&l->lock);
	bool was_empty = l->posted.n == 0;
	*vec_push(&l->posted) = (struct loop_post){fn, arg};
	pthread_mutex_unlock(&l->lock);
	if (!was_empty)
		return;
	if (current == l)
		uv_idle_start(&l->idle, on_idle);
	else
		wake_up(l);
}

bool loop_is_mine(const struct loop *l)
{
	return pthread_equal(l->thread, pthread_self());
}

uint64_t loop_now_ms(const struct loop *l)
{
	return uv_now(&l->uv);
}

/* --- threads --- */

static void *loop_thread_main(void *arg)
{
	loop_run(&((struct loop_thread *)arg)->loop);
	return NULL;
}

int loop_thread_start(struct loop_thread *t, const char *name)
{
	int r = loop_init(&t->loop);
	if (r)
		return r;
	if (pthread_create(&t->thread, NULL, loop_thread_main, t)) {
		loop_deinit(&t->loop);
		return -ERR_NOMEM;
	}
	pthread_setname_np(t->thread, name);
	t->started = true;
	return 0;
}

void loop_thread_stop(struct loop_thread *t)
{
	if (!t->started)
		return;
	loop_stop(&t->loop);
	pthread_join(t->thread, NULL);
	loop_deinit(&t->loop);
	t->started = false;
}
