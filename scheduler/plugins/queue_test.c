/* SPDX-License-Identifier: Apache-2.0 */
/* The queue with the default profile: order, back-off, events while a pod is tried, gates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "scheduler/plugins/world_test.h"

static struct world w;
static struct queue *q;
static const struct framework *f;
static uint64_t fit, taints;

static uint64_t bit_of(const char *name)
{
	for (size_t i = 0; i < f->uses.n; i++)
		if (!strcmp(f->uses.at[i].plugin->name, name))
			return UINT64_C(1) << i;
	fail_msg("no plugin %s", name);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	world_init(&w, NULL);
	f = world_framework(&w);
	fit = bit_of("NodeResourcesFit");
	taints = bit_of("TaintToleration");
	struct queue_config config = QUEUE_CONFIG_DEFAULT;
	config.cluster = w.cluster;
	q = queue_new(&config);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	queue_free(q);
	world_deinit(&w);
	return 0;
}

static struct jvalue *doc(const char *fmt, ...) _printf_(1, 2);
static struct jvalue *doc(const char *fmt, ...)
{
	struct jvalue *v = NULL;
	va_list ap;
	va_start(ap, fmt);
	const char *text = arena_vprintf(&w.arena, fmt, ap);
	va_end(ap);
	assert_int_equal(yaml_parse(slice_str(text), &w.arena, NULL, &v, NULL), 0);
	return v;
}

static void add(const char *name, int priority, const char *spec, uint64_t now)
{
	struct pod_info *p =
	    world_pod(&w, doc("{name: %s, priority: %d, spec: {%s}}", name, priority, spec));
	queue_add(q, p, f, now);
	pod_info_unref(p);
}

static const char *key(const char *name)
{
	return arena_printf(&w.arena, "default/%s", name);
}

static void assert_pop(const char *want, uint64_t now)
{
	const struct queue_item *it = queue_pop(q, now);
	if (!want)
		assert_null(it);
	else
		assert_string_equal(it ? it->pod->name : "nothing", want);
}

static void failed(const char *name, uint64_t rejectors, uint64_t now)
{
	queue_failed(q, key(name), rejectors, 0, false, now);
}

static void pod_deleted(uint64_t now)
{
	struct pod_info *p = world_pod(&w, doc("{name: gone, node: n1, cpu: 1}"));
	queue_event(q, &(struct event){.kinds = EVENT_POD_DELETE, .old_pod = p}, now);
	pod_info_unref(p);
}

static void test_order(void **state)
{
	(void)state;
	add("old", 0, "", 10);
	add("new", 0, "", 20);
	add("high", 100, "", 30);
	add("gated", 1000, "schedulingGates: [{name: g}]", 30);
	assert_int_equal(queue_counts(q).gated, 1);
	assert_pop("high", 40);
	assert_pop("old", 40);
	assert_pop("new", 40);
	assert_pop(NULL, 40);
	assert_int_equal(queue_deadline(q), UINT64_MAX);
	add("gated", 1000, "schedulingGates: [{name: h}]", 45);
	assert_pop(NULL, 45);
	add("gated", 1000, "", 50);
	assert_pop("gated", 50);
	assert_int_equal(queue_counts(q).in_flight, 4);
}

static void test_error_backoff(void **state)
{
	(void)state;
	add("p", 0, "", 1);
	uint64_t now = 1, waits[] = {1000, 2000, 4000, 8000, 10000, 10000};
	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		assert_pop("p", now);
		queue_failed(q, key("p"), 0, 0, true, now);
		assert_int_equal(queue_counts(q).backoff, 1);
		assert_int_equal(queue_deadline(q), now + waits[i]);
		assert_pop(NULL, now + waits[i] - 1);
		now += waits[i];
	}
}

/* Pods in back-off give way to active ones, and come early when there are none. */
static void test_backoff_gives_way(void **state)
{
	(void)state;
	add("p", 0, "", 1);
	assert_pop("p", 1);
	failed("p", fit, 1);
	assert_int_equal(queue_counts(q).unschedulable, 1);
	pod_deleted(2);
	assert_int_equal(queue_counts(q).backoff, 1);
	add("other", -5, "", 3);
	assert_pop("other", 3);
	assert_pop("p", 3);
	failed("p", fit, 4);
	/* Among those that come early, the more important one is first. */
	failed("other", fit, 2);
	add("third", 10, "", 5);
	assert_pop("third", 5);
	failed("third", fit, 6);
	pod_deleted(7);
	assert_int_equal(queue_counts(q).backoff, 3);
	assert_pop("third", 7);
	assert_pop("p", 7);
	failed("p", fit, 8);
	pod_deleted(5000); /* the back-off of those that still wait is over */
	assert_int_equal(queue_counts(q).active, 1);
	assert_pop("p", 5000);
}

static void test_events_in_flight(void **state)
{
	(void)state;
	add("p", 0, "", 1);
	add("r", 0, "", 1);
	assert_pop("p", 1);
	pod_deleted(2);
	assert_pop("r", 3);
	assert_int_equal(queue_events_kept(q), 1);
	failed("r", fit, 4); /* nothing happened since it was taken */
	assert_int_equal(queue_counts(q).unschedulable, 1);
	assert_int_equal(queue_events_kept(q), 1);
	failed("p", fit, 4); /* what happened before it failed is not lost */
	assert_int_equal(queue_counts(q).backoff, 1);
	assert_int_equal(queue_events_kept(q), 0);
	assert_pop("p", 5000);
	pod_deleted(5001);
	failed("p", taints, 5002); /* that cannot help against a taint */
	assert_int_equal(queue_counts(q).unschedulable, 1);
	assert_pop("r", 9000); /* the same event woke this one */
}

/* There is an end to the events that are kept: who may have missed one is tried again. */
static void test_too_many_events(void **state)
{
	(void)state;
	add("p", 0, "", 1);
	assert_pop("p", 1);
	for (int i = 0; i < 70000; i++)
		queue_event(q, &(struct event){.kinds = EVENT_NAMESPACE}, 2);
	assert_int_equal(queue_events_kept(q), 65536);
	add("r", 0, "", 3);
	assert_pop("r", 3);
	failed("p", fit, 4);
	failed("r", fit, 4);
	assert_int_equal(queue_counts(q).backoff, 1);
	assert_int_equal(queue_counts(q).unschedulable, 1);
	assert_int_equal(queue_events_kept(q), 0);
}

static void test_flush(void **state)
{
	(void)state;
	add("p", 0, "", 1);
	assert_pop("p", 1);
	failed("p", fit, 20000);
	assert_int_equal(queue_deadline(q), 320000);
	assert_pop(NULL, 319999);
	assert_pop("p", 320000);
	queue_done(q, key("p"));
	assert_int_equal(queue_deadline(q), UINT64_MAX);
}

static void test_own_update(void **state)
{
	(void)state;
	add("p", 0, "", 1);
	add("r", 0, "", 1);
	assert_pop("p", 1);
	assert_pop("r", 1);
	add("p", 0, "tolerations: [{operator: Exists}]", 100);
	failed("p", taints, 200);
	failed("r", taints, 200); /* the other pod's toleration is no help */
	struct queue_counts c = queue_counts(q);
	assert_int_equal(c.backoff, 1);
	assert_int_equal(c.unschedulable, 1);
	add("r", 0, "tolerations: [{operator: Exists}]", 300);
	assert_int_equal(queue_counts(q).unschedulable, 0);
	queue_remove(q, key("r"));
	failed("r", taints, 1300); /* it has gone: nothing to do */
	assert_pop("p", 9999);
	assert_pop(NULL, 9999);
}

static void test_activate(void **state)
{
	(void)state;
	add("p", 0, "", 1);
	assert_pop("p", 1);
	failed("p", fit, 2);
	queue_activate(q, key("p"), 3);
	assert_int_equal(queue_counts(q).active, 1);
	assert_int_equal(queue_incoming(q, QUEUE_ACTIVE, QUEUE_CAUSE_ACTIVATE), 1);
	assert_int_equal(queue_incoming(q, QUEUE_ACTIVE, QUEUE_CAUSE_ADD), 1);
	assert_int_equal(queue_incoming(q, QUEUE_UNSCHEDULABLE, QUEUE_CAUSE_FAILURE), 1);
}

/* Whatever happens, each pod is in exactly one place, events are given back, and pods come out by
 * priority. */
static void test_random(void **state)
{
	(void)state;
	struct rng rng;
	rng_init(&rng, 11);
	uint64_t now = 1;
	char flight[64][16];
	size_t n_flight = 0;
	for (int step = 0; step < 20000; step++) {
		char name[16];
		now += rng_below(&rng, 400);
		snprintf(name, sizeof(name), "p%u", (unsigned)rng_below(&rng, 60));
		switch (rng_below(&rng, 6)) {
		case 0:
			add(name, (int)rng_below(&rng, 5),
			    rng_below(&rng, 8) ? "" : "schedulingGates: [{name: g}]", now);
			break;
		case 1:
			pod_deleted(now);
			break;
		case 2:
			if (rng_below(&rng, 3) == 0)
				queue_remove(q, key(name));
			break;
		case 3:
			if (!n_flight)
				break;
			n_flight--;
			if (rng_below(&rng, 2))
				queue_failed(q, key(flight[n_flight]),
				             rng_below(&rng, 2) ? fit : taints, 0,
				             rng_below(&rng, 4) == 0, now);
			else if (queue_find(q, key(flight[n_flight])) &&
			         queue_find(q, key(flight[n_flight]))->place == QUEUE_IN_FLIGHT)
				queue_done(q, key(flight[n_flight]));
			break;
		default:
			if (n_flight < 64) {
				const struct queue_item *got = queue_pop(q, now);
				if (got)
					snprintf(flight[n_flight++], 16, "%.15s", got->pod->name);
			}
		}
		struct queue_counts c = queue_counts(q);
		assert_true(c.active + c.backoff + c.unschedulable + c.gated + c.in_flight <= 60);
		assert_true(c.in_flight || !queue_events_kept(q));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_order, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_error_backoff, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_backoff_gives_way, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_events_in_flight, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_too_many_events, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_flush, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_own_update, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_activate, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_random, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
