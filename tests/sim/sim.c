/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include "tests/sim/heap.h"

struct sim sim;

/* --- events: a binary heap by time, then by sequence --- */

struct event {
	uint64_t at_us, sequence, life;
	struct member *member; /* NULL: happens in any case */
	struct executor *executor;
	bool wakes; /* an executor looks at its jobs */
	sim_fn fn;
	void *arg;
};

static VEC(struct event) heap;

static bool before(const struct event *a, const struct event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->sequence < b->sequence;
}

static void heap_push(struct event e)
{
	e.sequence = ++sim.sequence;
	e.life = e.member ? e.member->life : 0;
	vec_reserve(&heap, 1);
	size_t i = heap.n++;
	for (; i && before(&e, &heap.at[(i - 1) / 2]); i = (i - 1) / 2)
		heap.at[i] = heap.at[(i - 1) / 2];
	heap.at[i] = e;
}

static struct event heap_pop(void)
{
	struct event top = heap.at[0], last = heap.at[--heap.n];
	size_t i = 0;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= heap.n)
			break;
		if (child + 1 < heap.n && before(&heap.at[child + 1], &heap.at[child]))
			child++;
		if (!before(&heap.at[child], &last))
			break;
		heap.at[i] = heap.at[child];
		i = child;
	}
	if (heap.n)
		heap.at[i] = last;
	return top;
}

void sim_mix(uint64_t value)
{
	sim.trace = (sim.trace ^ value) * 0x9e3779b97f4a7c15u;
	sim.trace ^= sim.trace >> 29;
}

void sim_mix_bytes(const void *p, size_t n)
{
	const uint8_t *b = p;
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * 0x100000001b3u;
	sim_mix(h);
}

void sim_after(uint64_t delay_us, sim_fn fn, void *arg)
{
	heap_push((struct event){.at_us = sim_now_us() + delay_us, .fn = fn, .arg = arg});
}

void sim_after_in(struct member *m, struct executor *e, uint64_t delay_us, sim_fn fn, void *arg)
{
	heap_push((struct event){
	    .at_us = sim_now_us() + delay_us, .member = m, .executor = e, .fn = fn, .arg = arg});
}

/* --- executors --- */

/* How long a thread takes to get going: mostly microseconds, at times it is scheduled away. */
static uint64_t wake_us(void)
{
	uint64_t r = rng_next(&sim.rng);
	if (r % 256 == 0)
		return 1000 + (r >> 8) % 20000;
	return 2 + (r >> 8) % 60;
}

static void executor_schedule(struct executor *e)
{
	if (e->scheduled || e->running || e->at == e->jobs.n)
		return;
	e->scheduled = true;
	uint64_t due = MAX(e->jobs.at[e->at].due_ns, e->busy_until_us);
	heap_push((struct event){
	    .at_us = MAX(due, sim.now_us), .member = e->member, .executor = e, .wakes = true});
}

void executor_post(struct executor *e, sim_fn fn, void *arg)
{
	uint64_t due = sim_now_us() + wake_us();
	e->last_due_us = MAX(e->last_due_us, due);
	*vec_push(&e->jobs) = (struct worker_job){fn, arg, e->last_due_us};
	executor_schedule(e);
}

struct executor *executor_new(struct member *m, const char *name)
{
	assert(m->n_executors < EXECUTORS_MAX);
	struct executor *e = &m->executors[m->n_executors++];
	*e = (struct executor){.member = m, .name = name};
	return e;
}

static struct worker_job executor_take(struct executor *e)
{
	struct worker_job j = e->jobs.at[e->at++];
	if (e->at == e->jobs.n) {
		vec_clear(&e->jobs);
		e->at = 0;
	}
	return j;
}

void executor_drain(struct executor *e)
{
	struct executor *outer = sim.executor;
	bool was_running = e->running;
	e->running = true;
	sim.executor = e;
	while (e->at < e->jobs.n) {
		struct worker_job j = executor_take(e);
		j.fn(j.arg);
	}
	sim.executor = outer;
	e->running = was_running;
}

/* Runs one job; the member may die in it. */
static void run(struct executor *e, sim_fn fn, void *arg)
{
	struct member *m = e->member;
	uint64_t life = m->life;
	jmp_buf out;
	sim.executor = e;
	sim.cost_us = 0;
	sim.out = &out;
	e->running = true;
	sim.stats.jobs++;
	if (!setjmp(out))
		fn(arg);
	e->running = false;
	sim.executor = NULL;
	sim.out = NULL;
	e->busy_until_us = sim.now_us + sim.cost_us;
	sim.cost_us = 0;
	if (m->life == life && m->up)
		executor_schedule(e);
}

static void happen(struct event *v)
{
	if (v->member && (v->life != v->member->life || !v->member->up))
		return;
	sim_mix(v->at_us * 31 + (v->member ? v->member->at : 17) * 7 +
	        (v->executor ? (uint64_t)(v->executor->name[0]) : 0));
	if (v->wakes) {
		struct executor *e = v->executor;
		e->scheduled = false;
		if (e->at == e->jobs.n)
			return;
		if (e->busy_until_us > sim.now_us || e->jobs.at[e->at].due_ns > sim.now_us) {
			executor_schedule(e);
			return;
		}
		struct worker_job j = executor_take(e);
		run(e, j.fn, j.arg);
	} else if (v->executor) {
		if (v->executor->dead)
			return;
		*vec_push(&v->executor->jobs) =
		    (struct worker_job){v->fn, v->arg, MAX(v->executor->last_due_us, sim.now_us)};
		executor_schedule(v->executor);
	} else {
		v->fn(v->arg);
	}
}

void sim_run_until(uint64_t time_us)
{
	while (heap.n && heap.at[0].at_us <= time_us && !sim.result) {
		struct event v = heap_pop();
		sim.now_us = MAX(sim.now_us, v.at_us);
		happen(&v);
	}
	if (!sim.result)
		sim.now_us = MAX(sim.now_us, time_us);
}

void sim_cost(uint64_t us)
{
	sim.cost_us += us;
}

struct member *sim_member(void)
{
	return sim.executor ? sim.executor->member : NULL;
}

/* --- clocks --- */

uint64_t member_clock_us(const struct member *m)
{
	int64_t passed = (int64_t)(sim_now_us() - m->clock_at_us);
	return m->clock_base_us + (uint64_t)(passed + passed * m->drift_ppm / 1000000);
}

uint64_t member_to_world_us(const struct member *m, uint64_t us)
{
	return us * 1000000 / (uint64_t)(1000000 + m->drift_ppm) + 1;
}

/* --- verdicts --- */

void sim_fail(enum sim_result result, const char *format, ...)
{
	if (sim.result)
		return;
	sim.result = (int)result;
	va_list args;
	va_start(args, format);
	vsnprintf(sim.failure, sizeof(sim.failure), format, args);
	va_end(args);
	sim_say("FAILED: %s", sim.failure);
}

void sim_say(const char *format, ...)
{
	if (!sim.verbose)
		return;
	struct member *m = sim_member();
	fprintf(stderr, "%10.6f %s%c %-8s ", (double)sim_now_us() / 1e6, m ? "m" : " ",
	        m ? (char)('0' + m->at) : ' ', sim.executor ? sim.executor->name : "");
	va_list args;
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

void sim_begin(uint64_t seed, bool verbose)
{
	sim_heap_reset();
	memset(&heap, 0, sizeof(heap));
	memset(&sim, 0, sizeof(sim));
	sim.seed = seed;
	sim.verbose = verbose;
	rng_init(&sim.rng, seed);
}
