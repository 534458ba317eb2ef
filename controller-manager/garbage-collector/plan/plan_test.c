/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/garbage-collector/plan/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct world {
	struct arena a;
	struct gc_graph g;
	char woken[200];
	const char *absent; /* the one uid that the apiserver does not know */
};

static void on_wake(const char *uid, void *arg)
{
	struct world *w = arg;
	size_t n = strlen(w->woken);
	snprintf(w->woken + n, sizeof(w->woken) - n, "%s ", uid);
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	w->g.wake = on_wake;
	w->g.arg = w;
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	gc_graph_deinit(&w->g);
	arena_deinit(&w->a);
	free(w);
	return 0;
}

enum { DELETING = 1, FOREGROUND = 2, ORPHAN = 4 };

/* owners: letters of uids; an upper-case one blocks its (lower-case) owner. */
static void put(struct world *w, const char *uid, const char *owners, int flags)
{
	size_t n = strlen(owners);
	struct gc_node *x = arena_zalloc(&w->a, sizeof(*x) + n * sizeof(*x->owners));
	x->uid = uid;
	x->ns = "default";
	x->name = uid;
	x->deleting = flags & DELETING;
	x->foreground = flags & FOREGROUND;
	x->orphan = flags & ORPHAN;
	x->n_owners = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		x->owners[i] = (struct gc_owner){arena_printf(&w->a, "%c", owners[i] | 32), "v1",
		                                 "Pod", "x", owners[i] < 'a'};
	*w->woken = 0;
	gc_graph_put(&w->g, x);
}

static void del(struct world *w, const char *uid)
{
	*w->woken = 0;
	gc_graph_del(&w->g, uid);
}

static enum gc_verdict verdict(const char *uid, void *arg)
{
	const struct world *w = arg;
	return w->absent && !strcmp(uid, w->absent) ? GC_ABSENT : GC_UNKNOWN;
}

static struct gc_plan plan(struct world *w, const char *uid)
{
	struct gc_plan p;
	gc_plan(&w->g, gc_graph_get(&w->g, uid), verdict, w, &w->a, &p);
	return p;
}

static void test_background(void **state)
{
	struct world *w = *state;
	put(w, "b", "a", 0);
	assert_string_equal(w->woken, "b ");
	assert_int_equal(plan(w, "b").action, GC_ASK);
	put(w, "a", "", 0);
	assert_int_equal(plan(w, "b").action, GC_NOTHING);
	assert_int_equal(plan(w, "a").action, GC_NOTHING);
	del(w, "a");
	assert_string_equal(w->woken, "b ");
	w->absent = "a";
	struct gc_plan p = plan(w, "b");
	assert_int_equal(p.action, GC_DELETE);
	assert_string_equal(p.policy, "Background");
	put(w, "b", "a", DELETING);
	assert_int_equal(plan(w, "b").action, GC_NOTHING);
}

static void test_two_owners(void **state)
{
	struct world *w = *state;
	put(w, "b", "", 0);
	put(w, "c", "ab", 0);
	w->absent = "a";
	struct gc_plan p = plan(w, "c");
	assert_int_equal(p.action, GC_DROP_OWNERS);
	assert_int_equal(p.n_owners, 1);
	assert_string_equal(p.owners[0]->uid, "a");
}

static void test_foreground(void **state)
{
	struct world *w = *state;
	put(w, "a", "", 0);
	put(w, "b", "A", 0);
	put(w, "c", "a", 0);
	put(w, "a", "", DELETING | FOREGROUND);
	assert_non_null(strstr(w->woken, "a "));
	assert_non_null(strstr(w->woken, "b "));
	assert_non_null(strstr(w->woken, "c "));
	assert_int_equal(plan(w, "a").action, GC_NOTHING); /* b blocks it */
	assert_int_equal(plan(w, "b").action, GC_DELETE);
	assert_int_equal(plan(w, "c").action, GC_DELETE);
	del(w, "b");
	assert_string_equal(w->woken, "a ");
	assert_int_equal(plan(w, "a").action, GC_DROP_FOREGROUND); /* c does not */
}

static void test_foreground_goes_on(void **state)
{
	struct world *w = *state;
	put(w, "a", "", DELETING | FOREGROUND);
	put(w, "b", "A", 0);
	put(w, "c", "B", 0);
	struct gc_plan p = plan(w, "b");
	assert_int_equal(p.action, GC_DELETE);
	assert_string_equal(p.policy, "Foreground");
	/* A circle does not wait for itself. */
	put(w, "c", "B", DELETING | FOREGROUND);
	assert_int_equal(plan(w, "b").action, GC_UNBLOCK);
}

static void test_orphan(void **state)
{
	struct world *w = *state;
	put(w, "a", "", DELETING | ORPHAN);
	put(w, "b", "a", 0);
	assert_int_equal(plan(w, "a").action, GC_RELEASE);
	assert_int_equal(plan(w, "b").action, GC_NOTHING);
	put(w, "b", "", 0);
	assert_string_equal(w->woken, "a ");
	assert_int_equal(plan(w, "a").action, GC_DROP_ORPHAN);
}

static void test_sweep(void **state)
{
	struct world *w = *state;
	put(w, "a", "", 0);
	put(w, "b", "a", 0);
	*w->woken = 0;
	gc_graph_sweep(&w->g, 0, 1);
	assert_null(gc_graph_get(&w->g, "a"));
	assert_null(gc_graph_get(&w->g, "b"));
	assert_null(gc_graph_dependents(&w->g, "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_background, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_two_owners, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_foreground, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_foreground_goes_on, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_orphan, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_sweep, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
