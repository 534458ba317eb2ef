/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "common/client/event_correlator.h"

#define MINUTE (INT64_C(60) * 1000000000)

static struct event_verdict tell(struct event_correlator *c, const char *object, const char *reason,
                                 const char *message, int64_t now_ns)
{
	char alike[64], exact[64];
	struct event_verdict v;
	snprintf(alike, sizeof(alike), "%s|%s", object, reason);
	snprintf(exact, sizeof(exact), "%s|%s|x", object, reason);
	event_correlate(c, &(struct event_identity){object, alike, exact, message}, now_ns, &v);
	return v;
}

static int set_up(void **state)
{
	static struct event_correlator c;
	event_correlator_init(&c, 0);
	*state = &c;
	return 0;
}

static int tear_down(void **state)
{
	event_correlator_deinit(*state);
	return 0;
}

static void test_equal_events_are_counted(void **state)
{
	struct event_verdict a = tell(*state, "p", "R", "m", 1);
	assert_int_equal(a.known->count, 1);
	assert_int_equal(a.known->first_ns, 1);
	struct event_known *known = a.known;
	for (int i = 2; i <= 20; i++) {
		a = tell(*state, "p", "R", "m", i);
		assert_false(a.combined || a.skip);
		assert_ptr_equal(a.known, known);
		assert_int_equal(known->count, i);
	}
	assert_int_equal(known->first_ns, 1);
	assert_ptr_not_equal(tell(*state, "p", "R", "n", 30).known, known);
	assert_ptr_not_equal(tell(*state, "p", "S", "m", 30).known, known);
	assert_ptr_not_equal(tell(*state, "q", "R", "m", 30).known, known);
}

static void test_similar_events_are_combined(void **state)
{
	char message[16];
	for (int i = 1; i <= 15; i++) {
		snprintf(message, sizeof(message), "%d", i);
		struct event_verdict v = tell(*state, "p", "R", message, i);
		assert_int_equal(v.combined, i >= 10);
		assert_int_equal(v.known->count, i >= 10 ? i - 9 : 1);
	}
	/* Another reason is another group; one of the nine is still itself. */
	assert_false(tell(*state, "p", "S", "1", 20).combined);
	struct event_verdict v = tell(*state, "p", "R", "1", 20);
	assert_false(v.combined);
	assert_int_equal(v.known->count, 2);
	/* It ends ten minutes after the last one, not after the first one. */
	assert_true(tell(*state, "p", "R", "x", 9 * MINUTE).combined);
	assert_true(tell(*state, "p", "R", "y", 18 * MINUTE).combined);
	assert_false(tell(*state, "p", "R", "z", 29 * MINUTE).combined);
}

static void test_a_flood_is_cut(void **state)
{
	int told = 0;
	for (int i = 0; i < 10000; i++)
		told += !tell(*state, "p", "R", "m", 1000 + i).skip;
	assert_int_equal(told, 25);
	assert_false(tell(*state, "q", "R", "m", 20000).skip);
	/* What is skipped is counted; after five minutes one is told again. */
	assert_true(tell(*state, "p", "R", "m", 4 * MINUTE).skip);
	struct event_verdict v = tell(*state, "p", "R", "m", 6 * MINUTE);
	assert_false(v.skip);
	assert_int_equal(v.known->count, 10002);
	assert_true(tell(*state, "p", "R", "m", 6 * MINUTE).skip);
	/* And never more than a burst is saved up. */
	told = 0;
	for (int i = 0; i < 100; i++)
		told += !tell(*state, "p", "R", "m", 10000 * MINUTE).skip;
	assert_int_equal(told, 25);
}

static void test_memory_is_bounded(void **state)
{
	struct event_correlator *c = *state;
	char object[16];
	for (int i = 0; i < 3 * EVENT_LRU_MAX; i++) {
		snprintf(object, sizeof(object), "p%d", i);
		tell(c, object, "R", "m", i);
		tell(c, "kept", "R", "m", i);
	}
	assert_int_equal(c->known.entries.n, EVENT_LRU_MAX);
	assert_int_equal(c->groups.entries.n, EVENT_LRU_MAX);
	assert_int_equal(c->buckets.entries.n, EVENT_LRU_MAX);
	/* What is in use stays, what was not used for longest is gone. */
	assert_int_equal(event_find(c, "kept|R|x|m")->count, 3 * EVENT_LRU_MAX);
	assert_null(event_find(c, "p1|R|x|m"));
	assert_non_null(event_find(c, "p12287|R|x|m"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_equal_events_are_counted, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_similar_events_are_combined, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_a_flood_is_cut, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_memory_is_bounded, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
