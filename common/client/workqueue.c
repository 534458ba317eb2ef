/* SPDX-License-Identifier: Apache-2.0 */
#include "common/client/workqueue.h"

#include "common/base/heap.h"
#include "common/daemon/metrics.h"

struct workqueue {
	struct workqueue_core core;
	struct loop_timer timer; /* the next due key, or at once to hand out */
	unsigned workers, busy;
	bool started;
	workqueue_fn process;
	void *arg;
	struct metric *depth, *adds, *retries, *waited, *worked; /* NULL: not measured */
	uint64_t told_adds, told_retries;
};

static uint64_t now(const struct workqueue *q)
{
	return loop_now_ms(q->timer.loop);
}

/* What the core has counted since the last time. */
static void tell_metrics(struct workqueue *q)
{
	metric_set(q->depth, (double)workqueue_core_length(&q->core));
	metric_add(q->adds, (double)(q->core.adds - q->told_adds));
	metric_add(q->retries, (double)(q->core.retries - q->told_retries));
	q->told_adds = q->core.adds;
	q->told_retries = q->core.retries;
}

void workqueue_measure(struct workqueue *q, struct metrics *m, const char *name)
{
	static const double bounds[] = {1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10};
	enum { N = sizeof(bounds) / sizeof(*bounds) };
	q->depth = metric_labels(
	    metrics_gauge(m, "workqueue_depth", "Current depth of workqueue", "name"), name);
	q->adds =
	    metric_labels(metrics_counter(m, "workqueue_adds_total",
	                                  "Total number of adds handled by workqueue", "name"),
	                  name);
	q->retries =
	    metric_labels(metrics_counter(m, "workqueue_retries_total",
	                                  "Total number of retries handled by workqueue", "name"),
	                  name);
	q->waited = metric_labels(
	    metrics_histogram(
	        m, "workqueue_queue_duration_seconds",
	        "How long in seconds an item stays in workqueue before being requested", "name",
	        bounds, N),
	    name);
	q->worked = metric_labels(
	    metrics_histogram(m, "workqueue_work_duration_seconds",
	                      "How long in seconds processing an item from workqueue takes.",
	                      "name", bounds, N),
	    name);
}

/* Sets the timer for whatever comes next. Keys are handed out from the loop only, so that no
 * process function runs inside an add. */
static void arm(struct workqueue *q)
{
	tell_metrics(q);
	if (!q->started)
		return;
	uint64_t due = workqueue_core_tick(&q->core, now(q));
	if (workqueue_core_length(&q->core) && q->busy < q->workers)
		loop_timer_start(&q->timer, 0);
	else if (due != UINT64_MAX)
		loop_timer_start_at(&q->timer, due);
	else
		loop_timer_stop(&q->timer);
}

/* One turn hands out what was ready when it began: a queue that feeds itself leaves the loop to
 * others in between. */
static void on_turn(void *arg)
{
	struct workqueue *q = arg;
	q->core.now_ms = now(q);
	workqueue_core_tick(&q->core, now(q));
	for (size_t n = workqueue_core_length(&q->core); n && q->busy < q->workers; n--) {
		const char *key = workqueue_core_take(&q->core);
		if (!key)
			break;
		q->busy++;
		metric_observe(q->waited, (double)q->core.waited_ms / 1000);
		q->process(q, key, q->arg);
	}
	arm(q);
}

struct workqueue *workqueue_new(struct loop *loop, unsigned workers, workqueue_fn process,
                                void *arg)
{
	struct workqueue *q = heap_new(struct workqueue);
	workqueue_core_init(&q->core);
	loop_timer_init(&q->timer, loop, on_turn, q);
	q->workers = MAX(workers, 1U);
	q->process = process;
	q->arg = arg;
	return q;
}

void workqueue_free(struct workqueue *q)
{
	if (!q)
		return;
	loop_timer_stop(&q->timer);
	workqueue_core_deinit(&q->core);
	free(q);
}

void workqueue_start(struct workqueue *q)
{
	q->started = true;
	arm(q);
}

void workqueue_add(struct workqueue *q, const char *key)
{
	q->core.now_ms = now(q);
	workqueue_core_add(&q->core, key);
	arm(q);
}

void workqueue_add_after(struct workqueue *q, const char *key, uint64_t delay_ms)
{
	q->core.now_ms = now(q);
	workqueue_core_add_after(&q->core, key, now(q), delay_ms);
	arm(q);
}

void workqueue_add_rate_limited(struct workqueue *q, const char *key)
{
	workqueue_core_add_rate_limited(&q->core, key, now(q));
	arm(q);
}

void workqueue_done(struct workqueue *q, const char *key)
{
	q->core.now_ms = now(q);
	workqueue_core_forget(&q->core, key);
	workqueue_core_done(&q->core, key);
	metric_observe(q->worked, (double)q->core.worked_ms / 1000);
	q->busy--;
	arm(q);
}

void workqueue_retry(struct workqueue *q, const char *key)
{
	q->core.now_ms = now(q);
	workqueue_core_add_rate_limited(&q->core, key, now(q));
	workqueue_core_done(&q->core, key);
	metric_observe(q->worked, (double)q->core.worked_ms / 1000);
	q->busy--;
	arm(q);
}

size_t workqueue_length(const struct workqueue *q)
{
	return workqueue_core_length(&q->core);
}

unsigned workqueue_requeues(const struct workqueue *q, const char *key)
{
	return workqueue_core_requeues(&q->core, key);
}
