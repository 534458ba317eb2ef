/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/replicaset/plan/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "proto/pb_decode.h"
#include "proto/schema_messages.h"

enum { NOW_S = 100000, PODS_MAX = 8 };

struct world {
	struct arena a;
	AppsV1__ReplicaSet *rs;
	CoreV1__Pod *pods[PODS_MAX];
	struct replicaset_input in;
	struct replicaset_plan plan;
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	w->rs = (AppsV1__ReplicaSet *)pb_new(&apps_v1__replica_set_schema, &w->a);
	w->rs->spec->template_ =
	    (CoreV1__PodTemplateSpec *)pb_new(&core_v1__pod_template_spec_schema, &w->a);
	w->rs->spec->has_replicas = 1;
	w->in = (struct replicaset_input){.rs = w->rs, .pods = w->pods, .now_s = NOW_S};
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

static MetaV1__Time *ago(struct world *w, int64_t seconds)
{
	MetaV1__Time *t = arena_new(&w->a, MetaV1__Time);
	*t = (MetaV1__Time)META_V1__TIME__INIT;
	t->seconds = NOW_S - seconds;
	return t;
}

struct pod_spec {
	const char *name, *node, *phase;
	bool ready;
	int64_t ready_s, age_s; /* for how long */
	int32_t restarts;
	const char *cost;
};

static CoreV1__Pod *add(struct world *w, const struct pod_spec *p)
{
	CoreV1__Pod *pod = (CoreV1__Pod *)pb_new(&core_v1__pod_schema, &w->a);
	pod->metadata->name = arena_strdup(&w->a, p->name);
	pod->metadata->creation_timestamp = ago(w, p->age_s);
	pod->spec->node_name = arena_strdup(&w->a, p->node);
	pod->status->phase = arena_strdup(&w->a, p->phase);
	CoreV1__PodCondition *c =
	    (CoreV1__PodCondition *)pb_new(&core_v1__pod_condition_schema, &w->a);
	c->type = arena_strdup(&w->a, "Ready");
	c->status = arena_strdup(&w->a, p->ready ? "True" : "False");
	c->last_transition_time = ago(w, p->ready_s);
	pod->status->n_conditions = 1;
	pod->status->conditions = arena_memdup(&w->a, &c, sizeof(c));
	CoreV1__ContainerStatus *s =
	    (CoreV1__ContainerStatus *)pb_new(&core_v1__container_status_schema, &w->a);
	s->restart_count = p->restarts;
	pod->status->n_container_statuses = 1;
	pod->status->container_statuses = arena_memdup(&w->a, &s, sizeof(s));
	if (p->cost) {
		MetaV1__ObjectMeta__AnnotationsEntry *e =
		    arena_new(&w->a, MetaV1__ObjectMeta__AnnotationsEntry);
		*e = (MetaV1__ObjectMeta__AnnotationsEntry)
		    META_V1__OBJECT_META__ANNOTATIONS_ENTRY__INIT;
		e->key = arena_strdup(&w->a, "controller.kubernetes.io/pod-deletion-cost");
		e->value = arena_strdup(&w->a, p->cost);
		pod->metadata->n_annotations = 1;
		pod->metadata->annotations = arena_memdup(&w->a, &e, sizeof(e));
	}
	return w->pods[w->in.n_pods++] = pod;
}

static void plan(struct world *w, int32_t replicas)
{
	w->rs->spec->replicas = replicas;
	replicaset_plan(&w->in, &w->a, &w->plan);
}

/* Of each pair the first one goes. */
static void test_victims(void **state)
{
	static const struct pod_spec pairs[][2] = {
	    {{"a", "", "Pending"}, {"b", "n", "Pending"}},
	    {{"a", "n", "Pending"}, {"b", "n", "Running"}},
	    {{"a", "n", "Running", false}, {"b", "n", "Running", true, 10}},
	    {{"a", "n", "Running", true, 5000, 6000, 0, "-5"}, {"b", "n", "Running", true, 10, 20}},
	    {{"a", "n", "Running", true, 10}, {"b", "n", "Running", true, 5000}},
	    {{"a", "n", "Running", true, 10, 20, 3}, {"b", "n", "Running", true, 10, 20, 1}},
	    {{"a", "n", "Running", true, 10, 20}, {"b", "n", "Running", true, 10, 5000}},
	    {{"a", "n", "Running", true, 10, 20}, {"b", "n", "Running", true, 10, 20}},
	};
	struct world *w = *state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		for (int swap = 0; swap < 2; swap++) {
			w->in.n_pods = 0;
			add(w, &pairs[i][swap]);
			add(w, &pairs[i][!swap]);
			plan(w, 1);
			assert_int_equal(w->plan.n_remove, 1);
			assert_string_equal(w->plan.remove[0]->metadata->name, "a");
		}
}

static void test_crowded_nodes_first(void **state)
{
	struct world *w = *state;
	add(w, &(struct pod_spec){"a", "n1", "Running", true, 10});
	add(w, &(struct pod_spec){"b", "n2", "Running", true, 5000});
	add(w, &(struct pod_spec){"c", "n2", "Running", true, 5000});
	plan(w, 2);
	assert_int_equal(w->plan.n_remove, 1);
	assert_string_equal(w->plan.remove[0]->metadata->name, "b");
}

static void test_counts(void **state)
{
	struct world *w = *state;
	w->rs->spec->min_ready_seconds = 30;
	add(w, &(struct pod_spec){"old", "n", "Running", true, 100});
	add(w, &(struct pod_spec){"new", "n", "Running", true, 10});
	add(w, &(struct pod_spec){"sick", "n", "Running", false});
	add(w, &(struct pod_spec){"over", "n", "Succeeded", false});
	add(w, &(struct pod_spec){"going", "n", "Running", true, 100})
	    ->metadata->deletion_timestamp = ago(w, 1);
	plan(w, 5);
	assert_int_equal(w->plan.create, 2);
	assert_int_equal(w->plan.status.replicas, 3);
	assert_int_equal(w->plan.status.ready_replicas, 2);
	assert_int_equal(w->plan.status.available_replicas, 1);
	assert_int_equal(w->plan.status.terminating_replicas, 1);
	assert_int_equal(w->plan.recheck_s, NOW_S + 20);
	assert_true(w->plan.status_differs);
}

static void test_holds_still(void **state)
{
	struct world *w = *state;
	w->in.expecting = true;
	plan(w, 3);
	assert_int_equal(w->plan.create, 0);
	w->in.expecting = false;
	plan(w, 100000);
	assert_int_equal(w->plan.create, REPLICASET_BURST);
	w->rs->metadata->deletion_timestamp = ago(w, 1);
	plan(w, 3);
	assert_int_equal(w->plan.create, 0);
}

static void test_failure(void **state)
{
	struct world *w = *state;
	w->in.failure = "exceeded quota";
	plan(w, 1);
	assert_true(w->plan.status_differs);
	assert_int_equal(w->plan.status.n_conditions, 1);
	assert_string_equal(w->plan.status.conditions[0]->reason, "FailedCreate");
	assert_string_equal(w->plan.status.conditions[0]->message, "exceeded quota");
	AppsV1__ReplicaSetStatus written = w->plan.status;
	w->rs->status = &written;
	plan(w, 1);
	assert_false(w->plan.status_differs);
	w->in.failure = NULL;
	plan(w, 1);
	assert_true(w->plan.status_differs);
	assert_int_equal(w->plan.status.n_conditions, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_victims, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_crowded_nodes_first, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_counts, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_holds_still, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_failure, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
