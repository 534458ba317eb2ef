/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "scheduler/core/cycle.h"
#include "scheduler/core/queue.h"
#include "scheduler/plugins/plugins.h"

static struct arena arena;
static struct cluster *cluster;
static struct rng rng;
static size_t start;

static int setup(void **state)
{
	(void)state;
	arena_init(&arena);
	cluster = cluster_new();
	rng_init(&rng, 1);
	start = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	cluster_free(cluster);
	arena_deinit(&arena);
	return 0;
}

#define MAKE(type, INIT)                            \
	__extension__({                             \
		type *p_ = arena_new(&arena, type); \
		*p_ = (type)INIT;                   \
		p_;                                 \
	})

static MetaV1__ObjectMeta *make_meta(const char *name)
{
	MetaV1__ObjectMeta *m = MAKE(MetaV1__ObjectMeta, META_V1__OBJECT_META__INIT);
	m->name = arena_strdup(&arena, name);
	m->uid = arena_printf(&arena, "uid-%s", name);
	return m;
}

static Quantity__Quantity *make_quantity(const char *text)
{
	Quantity__Quantity *q = MAKE(Quantity__Quantity, QUANTITY__QUANTITY__INIT);
	q->string = arena_strdup(&arena, text);
	return q;
}

static CoreV1__Node *make_node(const char *name, const char *cpu, const char *memory,
                               const char *pods)
{
	CoreV1__Node *n = MAKE(CoreV1__Node, CORE_V1__NODE__INIT);
	n->metadata = make_meta(name);
	n->spec = MAKE(CoreV1__NodeSpec, CORE_V1__NODE_SPEC__INIT);
	n->status = MAKE(CoreV1__NodeStatus, CORE_V1__NODE_STATUS__INIT);
	const char *names[] = {"cpu", "memory", "pods"}, *values[] = {cpu, memory, pods};
	n->status->n_allocatable = 3;
	n->status->allocatable = arena_array(&arena, CoreV1__NodeStatus__AllocatableEntry *, 3);
	for (int i = 0; i < 3; i++) {
		n->status->allocatable[i] = MAKE(CoreV1__NodeStatus__AllocatableEntry,
		                                 CORE_V1__NODE_STATUS__ALLOCATABLE_ENTRY__INIT);
		n->status->allocatable[i]->key = arena_strdup(&arena, names[i]);
		n->status->allocatable[i]->value = make_quantity(values[i]);
	}
	return n;
}

static void add_taint(CoreV1__Node *n, const char *key, const char *effect)
{
	CoreV1__Taint *t = MAKE(CoreV1__Taint, CORE_V1__TAINT__INIT);
	t->key = arena_strdup(&arena, key);
	t->effect = arena_strdup(&arena, effect);
	n->spec->taints = arena_grow(&arena, n->spec->taints, n->spec->n_taints * sizeof(t),
	                             (n->spec->n_taints + 1) * sizeof(t));
	n->spec->taints[n->spec->n_taints++] = t;
}

static CoreV1__Container *make_container(const char *cpu)
{
	CoreV1__Container *c = MAKE(CoreV1__Container, CORE_V1__CONTAINER__INIT);
	if (!cpu)
		return c;
	c->resources = MAKE(CoreV1__ResourceRequirements, CORE_V1__RESOURCE_REQUIREMENTS__INIT);
	c->resources->n_requests = 1;
	c->resources->requests =
	    arena_array(&arena, CoreV1__ResourceRequirements__RequestsEntry *, 1);
	c->resources->requests[0] = MAKE(CoreV1__ResourceRequirements__RequestsEntry,
	                                 CORE_V1__RESOURCE_REQUIREMENTS__REQUESTS_ENTRY__INIT);
	c->resources->requests[0]->key = arena_strdup(&arena, "cpu");
	c->resources->requests[0]->value = make_quantity(cpu);
	return c;
}

static CoreV1__Pod *make_pod(const char *name, const char *cpu)
{
	CoreV1__Pod *p = MAKE(CoreV1__Pod, CORE_V1__POD__INIT);
	p->metadata = make_meta(name);
	p->spec = MAKE(CoreV1__PodSpec, CORE_V1__POD_SPEC__INIT);
	p->spec->n_containers = 1;
	p->spec->containers = arena_array(&arena, CoreV1__Container *, 1);
	p->spec->containers[0] = make_container(cpu);
	return p;
}

static struct cycle_result schedule(CoreV1__Pod *pod)
{
	struct cycle_result r;
	cycle_schedule(cluster, plugins_default, pod, pod->metadata->name, &start, &rng, &arena,
	               &r);
	return r;
}

static void test_no_nodes(void **state)
{
	(void)state;
	struct cycle_result r = schedule(make_pod("p", "1"));
	assert_null(r.node);
	assert_string_equal(r.message, "no nodes available to schedule pods");
	assert_true(r.help & QUEUE_NODE_ADD);
}

static void test_messages(void **state)
{
	(void)state;
	CoreV1__Node *tainted = make_node("n3", "8", "8Gi", "110");
	add_taint(tainted, "node-role.kubernetes.io/control-plane", "NoSchedule");
	CoreV1__Node *cordoned = make_node("n4", "8", "8Gi", "110");
	cordoned->spec->unschedulable = true;
	cluster_set_node(cluster, make_node("n1", "1", "8Gi", "110"));
	cluster_set_node(cluster, make_node("n2", "1", "8Gi", "110"));
	cluster_set_node(cluster, tainted);
	cluster_set_node(cluster, cordoned);
	struct cycle_result r = schedule(make_pod("p", "2"));
	assert_null(r.node);
	assert_string_equal(r.message,
	                    "0/4 nodes are available: 1 node(s) had untolerated taint(s), "
	                    "1 node(s) were unschedulable, 2 Insufficient cpu.");
	assert_true(r.help & QUEUE_POD_DELETE);
	assert_true(r.help & QUEUE_NODE_TAINT);
}

static void test_fills_and_frees(void **state)
{
	(void)state;
	cluster_set_node(cluster, make_node("n1", "1", "8Gi", "110"));
	CoreV1__Pod *a = make_pod("a", "600m"), *b = make_pod("b", "600m");
	assert_string_equal(schedule(a).node->name, "n1");
	cluster_assume(cluster, "a", a, "n1");
	assert_string_equal(schedule(b).message, "0/1 nodes are available: 1 Insufficient cpu.");
	cluster_forget(cluster, "a");
	assert_non_null(schedule(b).node);
	/* A confirmed pod is not forgotten; an ended one does not count. */
	a->spec->node_name = (char *)"n1";
	cluster_set_pod(cluster, "a", a);
	cluster_forget(cluster, "a");
	assert_null(schedule(b).node);
	a->status = MAKE(CoreV1__PodStatus, CORE_V1__POD_STATUS__INIT);
	a->status->phase = (char *)"Succeeded";
	cluster_set_pod(cluster, "a", a);
	assert_non_null(schedule(b).node);
	cluster_set_node(cluster, make_node("n1", "1", "8Gi", "0"));
	assert_string_equal(schedule(b).message, "0/1 nodes are available: 1 Too many pods.");
}

static void test_spreads(void **state)
{
	(void)state;
	char name[16];
	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		cluster_set_node(cluster, make_node(name, "4", "8Gi", "110"));
	}
	for (int i = 0; i < 16; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		CoreV1__Pod *p = make_pod(name, "500m");
		cluster_assume(cluster, name, p, schedule(p).node->name);
	}
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(cluster_node(cluster, i)->n_pods, 4);
}

static void test_selectors_and_names(void **state)
{
	(void)state;
	CoreV1__Node *n1 = make_node("n1", "4", "8Gi", "110"),
	             *n2 = make_node("n2", "4", "8Gi", "110");
	n2->metadata->n_labels = 1;
	n2->metadata->labels = arena_array(&arena, MetaV1__ObjectMeta__LabelsEntry *, 1);
	n2->metadata->labels[0] =
	    MAKE(MetaV1__ObjectMeta__LabelsEntry, META_V1__OBJECT_META__LABELS_ENTRY__INIT);
	n2->metadata->labels[0]->key = (char *)"disk";
	n2->metadata->labels[0]->value = (char *)"ssd";
	assert_true(cluster_set_node(cluster, n1) & QUEUE_NODE_ADD);
	cluster_set_node(cluster, n2);
	assert_int_equal(cluster_set_node(cluster, n2), 0);
	CoreV1__Pod *p = make_pod("p", NULL);
	p->spec->n_node_selector = 1;
	p->spec->node_selector = arena_array(&arena, CoreV1__PodSpec__NodeSelectorEntry *, 1);
	p->spec->node_selector[0] =
	    MAKE(CoreV1__PodSpec__NodeSelectorEntry, CORE_V1__POD_SPEC__NODE_SELECTOR_ENTRY__INIT);
	p->spec->node_selector[0]->key = (char *)"disk";
	p->spec->node_selector[0]->value = (char *)"ssd";
	for (int i = 0; i < 8; i++)
		assert_string_equal(schedule(p).node->name, "n2");
	p->spec->node_selector[0]->value = (char *)"tape";
	assert_string_equal(
	    schedule(p).message,
	    "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.");
	p->spec->n_node_selector = 0;
	p->spec->node_name = (char *)"n9";
	assert_string_equal(
	    schedule(p).message,
	    "0/2 nodes are available: 2 node(s) didn't match the requested node name.");
	cluster_remove_node(cluster, "n1");
	assert_int_equal(cluster_n_nodes(cluster), 1);
}

/* Init containers count by their peak beside sidecars, not by their sum. */
static void test_requests(void **state)
{
	(void)state;
	CoreV1__Pod *p = make_pod("p", "300m");
	p->spec->n_init_containers = 3;
	p->spec->init_containers = arena_array(&arena, CoreV1__Container *, 3);
	p->spec->init_containers[0] = make_container("1");
	p->spec->init_containers[1] = make_container("200m");
	p->spec->init_containers[1]->restart_policy = (char *)"Always";
	p->spec->init_containers[2] = make_container("900m");
	struct resources r;
	resources_of_pod(p->spec, &r);
	assert_int_equal(r.milli_cpu, 1100);
	assert_int_equal(r.pods, 1);
	resources_deinit(&r);
	p->spec->n_init_containers = 2;
	p->spec->init_containers[0] = make_container("100m");
	resources_of_pod(p->spec, &r);
	assert_int_equal(r.milli_cpu, 500);
	resources_deinit(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_no_nodes, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_messages, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fills_and_frees, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_spreads, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_selectors_and_names, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
