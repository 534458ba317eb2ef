/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/base/rng.h"
#include "common/net/loop.h"

enum { POSTERS = 4, POSTS = 20000, TIMERS = 500 };

struct poster {
	struct loop *loop;
	pthread_t thread;
	int next;
	struct poster_total *total;
};

struct poster_total {
	struct loop *loop;
	int n;
};

struct post {
	struct poster *poster;
	int number;
};

static void on_post(void *arg)
{
	struct post *p = arg;
	assert_int_equal(p->number, p->poster->next++);
	assert_true(loop_is_mine(p->poster->loop));
	if (++p->poster->total->n == POSTERS * POSTS)
		loop_stop(p->poster->loop);
	free(p);
}

static void *post_many(void *arg)
{
	struct poster *p = arg;
	for (int i = 0; i < POSTS; i++) {
		struct post *post = malloc(sizeof *post);
		*post = (struct post){p, i};
		loop_post(p->loop, on_post, post);
	}
	return NULL;
}

/* Posts of each thread arrive in its order, and none is lost. */
static void posts(void **state)
{
	struct loop loop;
	struct poster posters[POSTERS];
	struct poster_total total = {&loop, 0};
	assert_int_equal(loop_init(&loop), 0);
	for (int i = 0; i < POSTERS; i++) {
		posters[i] = (struct poster){.loop = &loop, .total = &total};
		pthread_create(&posters[i].thread, NULL, post_many, &posters[i]);
	}
	loop_run(&loop);
	for (int i = 0; i < POSTERS; i++) {
		pthread_join(posters[i].thread, NULL);
		assert_int_equal(posters[i].next, POSTS);
	}
	loop_deinit(&loop);
}

struct ticker {
	struct loop_timer timer;
	struct timers *all;
	uint64_t due;
	int fired;
};

struct timers {
	struct loop loop;
	struct ticker at[TIMERS];
	uint64_t last_due;
	int left;
};

static void on_timer(void *arg)
{
	struct ticker *t = arg;
	assert_in_range(t->due, t->all->last_due, loop_now_ms(&t->all->loop));
	t->all->last_due = t->due;
	t->fired++;
	if (--t->all->left == 0)
		loop_stop(&t->all->loop);
}

/* Timers fire in the order of their deadlines; stopped ones do not; moved ones move. */
static void timers(void **state)
{
	struct timers *all = calloc(1, sizeof *all);
	struct rng rng;
	rng_init(&rng, 3);
	assert_int_equal(loop_init(&all->loop), 0);
	for (int i = 0; i < TIMERS; i++) {
		struct ticker *t = &all->at[i];
		t->all = all;
		loop_timer_init(&t->timer, &all->loop, on_timer, t);
		t->due = loop_now_ms(&all->loop) + rng_below(&rng, 50);
		loop_timer_start_at(&t->timer, t->due);
		all->left++;
	}
	for (int i = 0; i < TIMERS; i++) {
		struct ticker *t = &all->at[i];
		switch (rng_below(&rng, 3)) {
		case 0:
			loop_timer_stop(&t->timer);
			loop_timer_stop(&t->timer);
			assert_false(loop_timer_active(&t->timer));
			t->due = 0;
			all->left--;
			break;
		case 1:
			t->due = loop_now_ms(&all->loop) + rng_below(&rng, 80);
			loop_timer_start_at(&t->timer, t->due);
			break;
		}
	}
	loop_run(&all->loop);
	for (int i = 0; i < TIMERS; i++)
		assert_int_equal(all->at[i].fired, all->at[i].due != 0);
	loop_deinit(&all->loop);
	free(all);
}

struct chain {
	struct worker worker;
	struct loop_thread thread;
	uv_sem_t over;
	int steps;
};

static void in_worker(void *arg);

static void in_loop(void *arg)
{
	struct chain *c = arg;
	c->steps++;
	worker_post(&c->worker, in_worker, c);
}

static void in_worker(void *arg)
{
	struct chain *c = arg;
	if (++c->steps < 100)
		loop_post(&c->thread.loop, in_loop, c);
	else
		uv_sem_post(&c->over);
}

static void after_all(void *arg)
{
	*(bool *)arg = true;
}

/* A message goes to and fro; stopping a worker runs what was posted. */
static void threads(void **state)
{
	struct chain c = {.steps = 0};
	bool ran = false;
	uv_sem_init(&c.over, 0);
	assert_int_equal(worker_start(&c.worker, "worker"), 0);
	assert_int_equal(loop_thread_start(&c.thread, "loop"), 0);
	worker_post(&c.worker, in_worker, &c);
	uv_sem_wait(&c.over);
	worker_post(&c.worker, after_all, &ran);
	worker_stop(&c.worker);
	loop_thread_stop(&c.thread);
	assert_true(ran);
	assert_true(c.steps >= 100);
	uv_sem_destroy(&c.over);
}

struct later {
	uv_sem_t over;
	char order[8];
	size_t n;
};

static void later_long(void *arg)
{
	struct later *l = arg;
	l->order[l->n++] = 'l';
	uv_sem_post(&l->over);
}

static void later_short(void *arg)
{
	struct later *l = arg;
	l->order[l->n++] = 's';
}

static void later_now(void *arg)
{
	struct later *l = arg;
	l->order[l->n++] = 'n';
}

/* What is for later runs when its time has come; what has not when the worker stops never does. */
static void worker_later(void **state)
{
	struct later l = {.n = 0};
	struct worker w;
	uv_sem_init(&l.over, 0);
	assert_int_equal(worker_start(&w, "worker"), 0);
	worker_post_later(&w, 60, later_long, &l);
	worker_post_later(&w, 20, later_short, &l);
	worker_post(&w, later_now, &l);
	uv_sem_wait(&l.over);
	worker_post_later(&w, 60000, later_long, &l);
	worker_stop(&w);
	worker_stop(&w);
	assert_string_equal(l.order, "nsl");
	uv_sem_destroy(&l.over);
}

static void stop_before_run(void **state)
{
	struct loop loop;
	assert_int_equal(loop_init(&loop), 0);
	loop_stop(&loop);
	loop_run(&loop); /* returns at once */
	loop_deinit(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(posts),           cmocka_unit_test(timers),
	    cmocka_unit_test(threads),         cmocka_unit_test(worker_later),
	    cmocka_unit_test(stop_before_run),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
