/* SPDX-License-Identifier: Apache-2.0 */
/* Loops, workers, clocks, random seeds and logs of simulated members, in the place of common/net
 * and common/base. */
#include <stdio.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/daemon/daemon.h"
#include "tests/sim/edges.h"

/* --- loops: a loop keeps its executor in `thread` --- */

static struct executor *loop_executor(const struct loop *l)
{
	return (struct executor *)l->thread;
}

void sim_loop_init(struct loop *l, struct executor *e)
{
	l->thread = (pthread_t)e;
}

void loop_post(struct loop *l, loop_fn fn, void *arg)
{
	executor_post(loop_executor(l), fn, arg);
}

bool loop_is_mine(const struct loop *l)
{
	return sim.executor == loop_executor(l);
}

uint64_t loop_now_ms(const struct loop *l)
{
	return member_clock_us(loop_executor(l)->member) / 1000;
}

/* A timer may be freed once it is stopped: what is under way refers to a slot. */
struct timer_slot {
	struct loop_timer *timer;
	uint64_t sequence;
};

static VEC(struct timer_slot) timers;
static VEC(size_t) unused_timers;

struct firing {
	size_t slot;
	uint64_t sequence;
};

void sim_timers_reset(void)
{
	memset(&timers, 0, sizeof(timers));
	memset(&unused_timers, 0, sizeof(unused_timers));
}

static void on_timer(void *arg)
{
	struct firing *f = arg, fired = *f;
	free(f);
	struct timer_slot *s = &timers.at[fired.slot];
	if (s->sequence != fired.sequence || !s->timer)
		return;
	struct loop_timer *t = s->timer;
	loop_timer_stop(t);
	t->fn(t->arg);
}

void loop_timer_init(struct loop_timer *t, struct loop *l, loop_fn fn, void *arg)
{
	*t = (struct loop_timer){.loop = l, .fn = fn, .arg = arg};
}

void loop_timer_start_at(struct loop_timer *t, uint64_t due_ms)
{
	static uint64_t sequence;
	loop_timer_stop(t);
	struct executor *e = loop_executor(t->loop);
	struct member *m = e->member;
	uint64_t now_us = member_clock_us(m), delay_us = 0;
	t->due_ms = due_ms;
	if (due_ms > UINT64_MAX / 2000)
		due_ms = UINT64_MAX / 2000;
	if (due_ms * 1000 > now_us)
		delay_us = member_to_world_us(m, due_ms * 1000 - now_us);
	if (unused_timers.n) {
		t->place = vec_pop(&unused_timers) + 1;
	} else {
		vec_reserve(&timers, 1);
		t->place = ++timers.n;
	}
	timers.at[t->place - 1] = (struct timer_slot){t, ++sequence};
	if (delay_us > 3600000000u)
		return; /* further away than any run */
	struct firing *f = malloc(sizeof(*f));
	*f = (struct firing){t->place - 1, sequence};
	sim_after_in(m, e, delay_us, on_timer, f);
}

void loop_timer_start(struct loop_timer *t, uint64_t delay_ms)
{
	loop_timer_start_at(t, loop_now_ms(t->loop) + MIN(delay_ms, UINT64_MAX / 4000));
}

void loop_timer_stop(struct loop_timer *t)
{
	if (!t->place)
		return;
	timers.at[t->place - 1] = (struct timer_slot){0};
	*vec_push(&unused_timers) = t->place - 1;
	t->place = 0;
}

/* --- workers: the same --- */

int worker_start(struct worker *w, const char *name)
{
	memset(w, 0, sizeof(*w));
	w->thread = (pthread_t)executor_new(sim_member(), name);
	w->started = true;
	return 0;
}

void worker_post(struct worker *w, worker_fn fn, void *arg)
{
	executor_post((struct executor *)w->thread, fn, arg);
}

void worker_post_later(struct worker *w, uint64_t delay_ms, worker_fn fn, void *arg)
{
	struct executor *e = (struct executor *)w->thread;
	sim_after_in(e->member, e, member_to_world_us(e->member, delay_ms * 1000), fn, arg);
}

/* What was for later may still come, to an executor whose worker has gone: it is told apart by a
 * life that has ended. Members stop their workers only when they end. */
void worker_stop(struct worker *w)
{
	if (!w->started)
		return;
	executor_drain((struct executor *)w->thread);
	w->started = false;
	((struct executor *)w->thread)->dead = true;
}

/* --- clocks and seeds --- */

uint64_t clock_mono_ns(void)
{
	struct member *m = sim_member();
	return m ? member_clock_us(m) * 1000 : sim_now_us() * 1000;
}

uint64_t clock_boot_ms(void)
{
	return clock_mono_ns() / 1000000;
}

enum { WORLD_BEGINS_S = 1800000000 };

int64_t clock_real_ns(void)
{
	return (int64_t)WORLD_BEGINS_S * 1000000000 + (int64_t)sim_now_us() * 1000;
}

void __wrap_rng_system(void *p, size_t n);
void __wrap_rng_system(void *p, size_t n)
{
	uint8_t *at = p;
	for (size_t i = 0; i < n; i++)
		at[i] = (uint8_t)rng_next(&sim.rng);
}

/* --- the end of a process --- */

_Noreturn void __wrap__exit(int status);
_Noreturn void __wrap__exit(int status)
{
	member_die("it ended itself");
}

/* --- logs --- */

void log_setup(enum log_format format, int verbosity)
{
}

int log_level(void)
{
	return 0;
}

void log_set_level(int verbosity)
{
}

void log_set_least(enum log_severity least)
{
}

void log_write(enum log_severity sev, const char *file, int line, const struct err *err,
               const char *msg, const struct log_pair *pairs, size_t n_pairs)
{
	if (!sim.verbose)
		return;
	char text[1024];
	size_t n = (size_t)snprintf(text, sizeof(text), "%c %s", "IWEF"[sev], msg);
	for (size_t i = 0; i < n_pairs && n < sizeof(text); i++) {
		const struct log_pair *p = &pairs[i];
		if (p->kind == LOG_PAIR_STR)
			n += (size_t)snprintf(text + n, sizeof(text) - n, " %s=%s", p->key,
			                      p->str ? p->str : "");
		else if (p->kind == LOG_PAIR_SLICE)
			n += (size_t)snprintf(text + n, sizeof(text) - n, " %s=%.*s", p->key,
			                      (int)p->slice.len, (const char *)p->slice.data);
		else
			n += (size_t)snprintf(text + n, sizeof(text) - n, " %s=%lld", p->key,
			                      (long long)p->num);
	}
	sim_say("%s%s%s", text, err ? ": " : "", err ? err->text : "");
}

/* --- the daemon --- */

void daemon_ready(struct daemon *d)
{
	sim_member()->serving = true;
}

void daemon_stop(struct daemon *d)
{
	sim_member_stop_now(sim_member());
}

void daemon_quit(struct daemon *d)
{
	sim_member_quit(sim_member());
}
