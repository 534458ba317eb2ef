/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/node-lifecycle/plan/plan.h"
#include "controller-manager/node-lifecycle/plan/zones.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "proto/pb_decode.h"
#include "proto/schema_messages.h"

struct world {
	struct arena a;
	CoreV1__Node *node;
	struct node_plan plan;
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	w->node = (CoreV1__Node *)pb_new(&core_v1__node_schema, &w->a);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	arena_deinit(&w->a);
	free(w);
	return 0;
}

static void add_condition(struct world *w, const char *type, const char *status)
{
	CoreV1__NodeStatus *s = w->node->status;
	CoreV1__NodeCondition *c =
	    (CoreV1__NodeCondition *)pb_new(&core_v1__node_condition_schema, &w->a);
	c->type = arena_strdup(&w->a, type);
	c->status = arena_strdup(&w->a, status);
	s->conditions = arena_grow(&w->a, s->conditions, s->n_conditions * sizeof(c),
	                           (s->n_conditions + 1) * sizeof(c));
	s->conditions[s->n_conditions++] = c;
}

static void add_taint(struct world *w, const char *key, const char *effect)
{
	CoreV1__NodeSpec *s = w->node->spec;
	CoreV1__Taint *t = (CoreV1__Taint *)pb_new(&core_v1__taint_schema, &w->a);
	t->key = arena_strdup(&w->a, key);
	t->effect = arena_strdup(&w->a, effect);
	s->taints =
	    arena_grow(&w->a, s->taints, s->n_taints * sizeof(t), (s->n_taints + 1) * sizeof(t));
	s->taints[s->n_taints++] = t;
}

/* The planned taints as "key:Effect ...". */
static const char *taints(struct world *w, bool silent)
{
	struct node_input in = {.node = w->node, .silent = silent, .now_s = 77};
	const char *text = "";
	node_plan(&in, &w->a, &w->plan);
	for (size_t i = 0; i < w->plan.spec->n_taints; i++)
		text = arena_printf(&w->a, "%s%s%s:%s", text, i ? " " : "",
		                    w->plan.spec->taints[i]->key, w->plan.spec->taints[i]->effect);
	return text;
}

#define K "node.kubernetes.io/"

static void test_ready(void **state)
{
	struct world *w = *state;
	add_taint(w, "mine", "NoSchedule");
	add_taint(w, K "not-ready", "NoSchedule");
	assert_string_equal(taints(w, false), "mine:NoSchedule " K "not-ready:NoSchedule");
	assert_false(w->plan.taints_differ);
	assert_false(w->plan.ready);
	add_condition(w, "Ready", "True");
	assert_string_equal(taints(w, false), "mine:NoSchedule");
	assert_true(w->plan.taints_differ);
	assert_false(w->plan.status_differs);
	assert_true(w->plan.ready);
}

static void test_not_ready(void **state)
{
	struct world *w = *state;
	add_condition(w, "Ready", "False");
	add_condition(w, "DiskPressure", "True");
	w->node->spec->unschedulable = 1;
	assert_string_equal(taints(w, false),
	                    K "disk-pressure:NoSchedule " K "unschedulable:NoSchedule " K
	                      "not-ready:NoSchedule " K "not-ready:NoExecute");
	assert_int_equal(w->plan.spec->taints[3]->time_added->seconds, 77);
}

static void test_silent(void **state)
{
	struct world *w = *state;
	add_condition(w, "Ready", "True");
	assert_string_equal(taints(w, true), K "unreachable:NoSchedule " K "unreachable:NoExecute");
	assert_true(w->plan.status_differs);
	assert_false(w->plan.ready);
	assert_int_equal(w->plan.status->n_conditions, 4);
	assert_string_equal(w->plan.status->conditions[0]->reason, "NodeStatusUnknown");
	assert_string_equal(w->plan.status->conditions[1]->reason, "NodeStatusNeverUpdated");
	assert_string_equal(w->node->status->conditions[0]->status, "True"); /* a copy changed */
	w->node->status = w->plan.status;
	w->node->spec = w->plan.spec;
	(void)taints(w, true);
	assert_false(w->plan.status_differs);
	assert_false(w->plan.taints_differ);
}

/* What each kind of eviction makes of a node that is not ready. */
static void test_eviction(void **state)
{
	struct world *w = *state;
	struct node_input in = {.node = w->node, .eviction = NODE_EVICT_LATER};
	add_condition(w, "Ready", "False");
	node_plan(&in, &w->a, &w->plan);
	assert_true(w->plan.deferred);
	assert_int_equal(w->plan.spec->n_taints, 1);
	assert_string_equal(w->plan.spec->taints[0]->effect, "NoSchedule");
	in.eviction = NODE_EVICT;
	node_plan(&in, &w->a, &w->plan);
	assert_false(w->plan.deferred);
	assert_int_equal(w->plan.spec->n_taints, 2);
	/* One that was given up stays so, and changes its reason without waiting. */
	add_taint(w, "node.kubernetes.io/unreachable", "NoExecute");
	in.eviction = NODE_EVICT_LATER;
	node_plan(&in, &w->a, &w->plan);
	assert_false(w->plan.deferred);
	assert_string_equal(w->plan.spec->taints[1]->key, "node.kubernetes.io/not-ready");
	assert_string_equal(w->plan.spec->taints[1]->effect, "NoExecute");
	assert_int_equal(w->plan.spec->n_taints, 2);
	in.eviction = NODE_EVICT_NEVER;
	node_plan(&in, &w->a, &w->plan);
	assert_true(w->plan.deferred);
	assert_int_equal(w->plan.spec->n_taints, 1);
}

static void test_zones(void **state)
{
	static const struct zone_rates rates = {0.1, 0.01, 0.55, 50};
	static const struct {
		struct zone_count zones[3];
		double want[3];
		bool disrupted;
	} cases[] = {
	    {{{5, 0}, {3, 2}, {1, 0}}, {0.1, 0.1, 0.1}, false},
	    {{{1, 2}, {5, 0}, {5, 0}}, {0.1, 0.1, 0.1}, false},    /* few nodes */
	    {{{4, 6}, {5, 0}, {5, 0}}, {0, 0.1, 0.1}, false},      /* unhealthy and small */
	    {{{40, 60}, {5, 0}, {5, 0}}, {0.01, 0.1, 0.1}, false}, /* and large */
	    {{{0, 6}, {5, 0}, {0, 1}}, {0.1, 0.1, 0.1}, false},    /* zones that are lost */
	    {{{0, 6}, {0, 1}, {0, 100}}, {0, 0, 0}, true},         /* all are */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		double got[3];
		assert_int_equal(zones_plan(cases[i].zones, 3, &rates, got), cases[i].disrupted);
		for (size_t k = 0; k < 3; k++)
			assert_true(got[k] == cases[i].want[k]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_eviction, set_up, tear_down),
	    cmocka_unit_test(test_zones),
	    cmocka_unit_test_setup_teardown(test_ready, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_not_ready, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_silent, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
