/* SPDX-License-Identifier: Apache-2.0 */
/* What the cluster keeps: assumed pods, nominations, the order of nodes, interned texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "scheduler/plugins/world_test.h"

static struct world w;

static int setup(void **state)
{
	(void)state;
	world_init(&w, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_deinit(&w);
	return 0;
}

static struct jvalue *doc(const char *text)
{
	struct jvalue *v = NULL;
	assert_int_equal(yaml_parse(slice_str(text), &w.arena, NULL, &v, NULL), 0);
	return v;
}

static unsigned set_node(const char *text)
{
	return cluster_set_node(w.cluster, world_node(&w, doc(text)), NULL);
}

static int64_t used(const char *node)
{
	return cluster_find(w.cluster, node)->requested.milli_cpu;
}

static void test_assumed_pods(void **state)
{
	(void)state;
	set_node("{name: n1}");
	struct pod_info *p = world_pod(&w, doc("{name: p, cpu: 500m}"));
	struct pod_info *bound = world_pod(&w, doc("{name: p, cpu: 500m, node: n1}"));
	cluster_assume(w.cluster, p, "n1");
	assert_int_equal(used("n1"), 500);
	assert_true(cluster_forget(w.cluster, p->key));
	assert_int_equal(used("n1"), 0);
	assert_false(cluster_forget(w.cluster, p->key));

	/* What was confirmed is not forgotten and does not expire. */
	cluster_assume(w.cluster, p, "n1");
	cluster_bound(w.cluster, p->key, 1000);
	assert_int_equal(cluster_deadline(w.cluster), 1000);
	cluster_set_pod(w.cluster, bound);
	assert_int_equal(cluster_deadline(w.cluster), UINT64_MAX);
	assert_false(cluster_forget(w.cluster, p->key));
	assert_null(cluster_expire(w.cluster, 2000, &w.arena));
	assert_int_equal(used("n1"), 500);

	/* What is never confirmed expires. */
	cluster_assume(w.cluster, p, "n1");
	cluster_bound(w.cluster, p->key, 3000);
	assert_null(cluster_expire(w.cluster, 2999, &w.arena));
	assert_string_equal(cluster_expire(w.cluster, 3000, &w.arena), "default/p");
	assert_int_equal(used("n1"), 0);
	pod_info_unref(p);
	pod_info_unref(bound);
}

static void test_pods_before_their_node(void **state)
{
	(void)state;
	struct pod_info *p = world_pod(&w, doc("{name: p, cpu: 500m, node: n1}"));
	cluster_set_pod(w.cluster, p);
	assert_int_equal(cluster_n_nodes(w.cluster), 0);
	assert_null(cluster_find(w.cluster, "n1"));
	assert_int_equal(set_node("{name: n1}"), EVENT_NODE_ADD);
	assert_int_equal(used("n1"), 500);
	node_spec_unref(cluster_remove_node(w.cluster, "n1"));
	assert_null(cluster_remove_node(w.cluster, "n1"));
	set_node("{name: n1}");
	assert_int_equal(used("n1"), 500);
	pod_info_unref(cluster_remove_pod(w.cluster, p->key));
	assert_int_equal(used("n1"), 0);
	pod_info_unref(p);
}

static void test_changes_of_nodes(void **state)
{
	(void)state;
	assert_int_equal(set_node("{name: n1}"), EVENT_NODE_ADD);
	assert_int_equal(set_node("{name: n1}"), 0);
	assert_int_equal(set_node("{name: n1, cpu: '8'}"), EVENT_NODE_ALLOCATABLE);
	assert_int_equal(set_node("{name: n1, cpu: '8', labels: {a: b}}"), EVENT_NODE_LABEL);
	assert_int_equal(set_node("{name: n1, labels: {a: b}, spec: {unschedulable: true}}"),
	                 EVENT_NODE_TAINT | EVENT_NODE_ALLOCATABLE);
	assert_int_equal(
	    set_node("{name: n1, labels: {a: c}, taints: [{key: k, effect: NoSchedule}]}"),
	    EVENT_NODE_TAINT | EVENT_NODE_LABEL);
	assert_int_equal(cluster_n_nodes(w.cluster), 1);
}

static void assert_order(const char *want)
{
	size_t n;
	struct node_info *const *nodes = cluster_nodes(w.cluster, &n);
	const char *got = "";
	for (size_t i = 0; i < n; i++) {
		got = arena_printf(&w.arena, "%s%s%s", got, i ? " " : "", nodes[i]->name);
		assert_int_equal(nodes[i]->order, i);
	}
	assert_string_equal(got, want);
}

static void test_one_of_each_zone_in_turn(void **state)
{
	(void)state;
	set_node("{name: a1, labels: {topology.kubernetes.io/zone: a}}");
	set_node("{name: a2, labels: {topology.kubernetes.io/zone: a}}");
	set_node("{name: a3, labels: {topology.kubernetes.io/zone: a}}");
	set_node("{name: b1, labels: {topology.kubernetes.io/zone: b}}");
	set_node("{name: c1}");
	set_node("{name: b2, labels: {topology.kubernetes.io/zone: b}}");
	assert_order("a1 b1 c1 a2 b2 a3");
	node_spec_unref(cluster_remove_node(w.cluster, "b1"));
	assert_order("a1 c1 b2 a2 a3");
	set_node("{name: c1, labels: {topology.kubernetes.io/zone: a}}");
	assert_order("a1 b2 a2 a3 c1");
	set_node("{name: b2, labels: {topology.kubernetes.io/zone: b, "
	         "topology.kubernetes.io/region: r}}");
	assert_order("a1 b2 a2 a3 c1");
}

static void test_nominations(void **state)
{
	(void)state;
	set_node("{name: n1}");
	set_node("{name: n2}");
	struct pod_info *p = world_pod(&w, doc("{name: p}"));
	assert_false(cluster_has_nominations(w.cluster));
	cluster_nominate(w.cluster, p, "n1");
	assert_string_equal(cluster_nomination(w.cluster, p->key), "n1");
	cluster_nominate(w.cluster, p, "n2");
	assert_int_equal(cluster_find(w.cluster, "n1")->nominated.n, 0);
	assert_int_equal(cluster_find(w.cluster, "n2")->nominated.n, 1);
	assert_true(cluster_unnominate(w.cluster, p->key));
	assert_false(cluster_unnominate(w.cluster, p->key));
	assert_null(cluster_nomination(w.cluster, p->key));
	pod_info_unref(p);
}

/* Texts that nobody uses any more are gone. */
static void test_no_symbol_is_left(void **state)
{
	(void)state;
	struct symbols *s = cluster_symbols(w.cluster);
	size_t before = symbols_count(s);
	for (int i = 0; i < 50; i++) {
		set_node(arena_printf(&w.arena,
		                      "{name: n%d, labels: {l%d: v%d}, taints: [{key: t%d, effect: "
		                      "NoSchedule}], images: [{names: [i%d]}], allocatable: "
		                      "{example.com/r%d: '1'}}",
		                      i, i, i, i, i, i));
		struct pod_info *p = world_pod(
		    &w,
		    doc(arena_printf(
		        &w.arena,
		        "{name: p%d, node: n%d, labels: {k%d: v%d}, spec: {containers: [{name: c, "
		        "image: j%d, resources: {requests: {example.com/r%d: '1'}}}], affinity: "
		        "{podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
		        "[{topologyKey: l%d, namespaces: [m%d], labelSelector: {matchLabels: {q%d: "
		        "z}}}]}}}}",
		        i, i, i, i, i, i, i, i, i)));
		cluster_set_pod(w.cluster, p);
		pod_info_unref(p);
	}
	assert_true(symbols_count(s) > before + 400);
	for (int i = 0; i < 50; i++) {
		pod_info_unref(
		    cluster_remove_pod(w.cluster, arena_printf(&w.arena, "default/p%d", i)));
		node_spec_unref(cluster_remove_node(w.cluster, arena_printf(&w.arena, "n%d", i)));
	}
	assert_int_equal(symbols_count(s), before);
}

static void test_symbols(void **state)
{
	(void)state;
	int64_t n;
	struct symbols *s = symbols_new();
	uint32_t a = symbols_get(s, "a"), num = symbols_get(s, "-12"), big;
	assert_int_equal(symbols_get(s, "a"), a);
	assert_int_equal(symbols_find(s, "b"), 0);
	assert_string_equal(symbols_text(s, a), "a");
	assert_true(symbols_number(s, num, &n));
	assert_int_equal(n, -12);
	assert_false(symbols_number(s, a, &n));
	big = symbols_get(s, "9223372036854775807");
	assert_true(symbols_number(s, big, &n));
	assert_int_equal(n, INT64_MAX);
	assert_false(symbols_number(s, symbols_get(s, "9223372036854775808"), &n));
	symbols_unref(s, a);
	assert_int_equal(symbols_find(s, "a"), a);
	symbols_unref(s, a);
	assert_int_equal(symbols_find(s, "a"), 0);
	assert_int_equal(symbols_get(s, "new"), a); /* numbers are used again */
	symbols_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_assumed_pods, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pods_before_their_node, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_changes_of_nodes, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_one_of_each_zone_in_turn, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_nominations, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_no_symbol_is_left, setup, teardown),
	    cmocka_unit_test(test_symbols),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
