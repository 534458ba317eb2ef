/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "common/base/rng.h"
#include "scheduler/core/queue.h"

static struct queue *q;

static int setup(void **state)
{
	(void)state;
	q = queue_new(&QUEUE_CONFIG_DEFAULT);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	queue_free(q);
	return 0;
}

static void assert_pop(const char *want, uint64_t now_ms)
{
	const char *got = queue_pop(q, now_ms);
	if (!want)
		assert_null(got);
	else
		assert_string_equal(got, want);
}

static void test_order(void **state)
{
	(void)state;
	queue_add(q, "old", 0, false, 10);
	queue_add(q, "new", 0, false, 20);
	queue_add(q, "high", 100, false, 30);
	queue_add(q, "gated", 1000, true, 30);
	assert_pop("high", 40);
	assert_pop("old", 40);
	assert_pop("new", 40);
	assert_pop(NULL, 40);
	queue_add(q, "gated", 1000, false, 50);
	assert_pop("gated", 50);
	assert_int_equal(queue_counts(q).in_flight, 4);
}

static void test_backoff(void **state)
{
	(void)state;
	queue_add(q, "p", 0, false, 0);
	uint64_t now = 0, waits[] = {1000, 2000, 4000, 8000, 10000, 10000};
	for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
		assert_pop("p", now);
		queue_failed(q, "p", 0, true, now);
		assert_int_equal(queue_deadline(q), now + waits[i]);
		assert_pop(NULL, now + waits[i] - 1);
		now += waits[i];
	}
}

static void test_events(void **state)
{
	(void)state;
	queue_add(q, "p", 0, false, 0);
	assert_pop("p", 0);
	queue_failed(q, "p", QUEUE_NODE_ADD, false, 0);
	queue_event(q, QUEUE_POD_DELETE, 5000);
	assert_pop(NULL, 5000);
	queue_event(q, QUEUE_NODE_ADD, 5000); /* the back-off is over */
	assert_pop("p", 5000);
	queue_failed(q, "p", QUEUE_NODE_ADD, false, 5000);
	queue_event(q, QUEUE_NODE_ADD, 5500);
	assert_pop(NULL, 5500);
	assert_pop("p", 7000);

	/* What happens while it is tried is not lost. */
	queue_event(q, QUEUE_NODE_ADD, 7100);
	queue_failed(q, "p", QUEUE_NODE_ADD, false, 7200);
	assert_int_equal(queue_counts(q).backoff, 1);

	/* Nobody waits for ever. */
	assert_pop("p", 20000);
	queue_failed(q, "p", 0, false, 20000);
	assert_pop(NULL, 20000 + 299999);
	assert_pop("p", 20000 + 300000);
	queue_done(q, "p");
	assert_int_equal(queue_deadline(q), UINT64_MAX);
}

static void test_update_in_flight(void **state)
{
	(void)state;
	queue_add(q, "p", 0, false, 0);
	assert_pop("p", 0);
	queue_add(q, "p", 7, false, 100);
	queue_failed(q, "p", 0, false, 200);
	assert_pop("p", 1200);
	queue_remove(q, "p");
	queue_failed(q, "p", 0, false, 1300); /* it has gone: nothing to do */
	assert_pop(NULL, 999999);
}

/* Whatever happens, each pod is in exactly one place, and pops come in order of priority. */
static void test_random(void **state)
{
	(void)state;
	struct rng rng;
	rng_init(&rng, 11);
	uint64_t now = 0;
	char flight[64][16];
	size_t n_flight = 0;
	for (int step = 0; step < 20000; step++) {
		char key[16];
		now += rng_below(&rng, 400);
		snprintf(key, sizeof(key), "p%u", (unsigned)rng_below(&rng, 60));
		switch (rng_below(&rng, 6)) {
		case 0:
			queue_add(q, key, (int32_t)rng_below(&rng, 5), rng_below(&rng, 8) == 0,
			          now);
			break;
		case 1:
			queue_event(q, 1u << rng_below(&rng, 6), now);
			break;
		case 2:
			if (rng_below(&rng, 3) == 0)
				queue_remove(q, key);
			break;
		case 3:
			if (n_flight) {
				n_flight--;
				if (rng_below(&rng, 2))
					queue_failed(q, flight[n_flight],
					             (unsigned)rng_below(&rng, 64),
					             rng_below(&rng, 4) == 0, now);
				else
					queue_done(q, flight[n_flight]);
			}
			break;
		default:
			if (n_flight < 64) {
				const char *got = queue_pop(q, now);
				if (got)
					snprintf(flight[n_flight++], 16, "%s", got);
			}
		}
		struct queue_counts c = queue_counts(q);
		assert_true(c.active + c.backoff + c.unschedulable + c.gated + c.in_flight <= 60);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_order, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_backoff, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_events, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_update_in_flight, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_random, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
