/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept up from change to change equals what is calculated from scratch: after random
 * changes to a cluster, each kind of pod gets the same refusals and the same scores on each node of
 * the cluster that lived through them and of one that was filled just now. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "scheduler/plugins/world_test.h"

enum { NODES = 12, PODS = 60, STEPS = 1500, KINDS = 9 };

/* The state of the world in plain words: what each object is, NULL when it is not there. */
struct plain {
	const char *nodes[NODES], *pods[PODS], *namespaces[3];
};

static struct arena arena;
static struct rng rng;
static uint64_t seed = 1; /* another one: the first argument */

static struct jvalue *parse(const char *text)
{
	struct jvalue *v = NULL;
	assert_int_equal(yaml_parse(slice_str(text), &arena, NULL, &v, NULL), 0);
	return v;
}

static unsigned any(unsigned n)
{
	return (unsigned)rng_below(&rng, n);
}

static const char *random_node(unsigned i)
{
	static const char *const zones[] = {"a", "b", "c"};
	return arena_printf(
	    &arena,
	    "{name: n%u, cpu: '%u', labels: {zone: %s, host: n%u, kubernetes.io/hostname: n%u, "
	    "topology.kubernetes.io/zone: %s%s}, taints: [%s], images: [%s]}",
	    i, 1 + any(4), zones[any(3)], i, i, zones[any(3)], any(3) ? "" : ", disk: ssd",
	    any(5) ? "" : "{key: k, effect: NoSchedule}",
	    any(2) ? "" : "{names: [app], sizeBytes: 500000000}");
}

static const char *const kinds[KINDS] = {
    "",
    "nodeSelector: {disk: ssd}",
    "topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, "
    "labelSelector: {matchLabels: {app: x}}}]",
    "topologySpreadConstraints: [{maxSkew: 2, topologyKey: host, whenUnsatisfiable: "
    "ScheduleAnyway, labelSelector: {matchLabels: {app: x}}}]",
    "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, "
    "labelSelector: {matchLabels: {app: x}}}]}}",
    "affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: "
    "host, labelSelector: {matchLabels: {app: z}}}]}}",
    "affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: "
    "zone, namespaceSelector: {matchLabels: {team: a}}, labelSelector: {matchLabels: {app: "
    "z}}}]}}",
    "affinity: {podAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 7, "
    "podAffinityTerm: {topologyKey: zone, labelSelector: {matchLabels: {app: x}}}}]}, "
    "podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 3, "
    "podAffinityTerm: {topologyKey: host, labelSelector: {matchLabels: {app: z}}}}]}}",
    "containers: [{name: c, image: app, ports: [{containerPort: 80, hostPort: 80}], resources: "
    "{requests: {cpu: 100m, example.com/x: '1'}}}]",
};

static const char *random_pod(const char *name, const char *node, unsigned kind)
{
	return arena_printf(
	    &arena, "{name: %s, ns: ns%u, %s%s%s cpu: %um, labels: {app: %s}, spec: {%s}}", name,
	    any(3), *node ? "node: " : "", node, *node ? "," : "", any(5) * 100,
	    any(2)   ? "x"
	    : any(2) ? "z"
	             : "w",
	    kinds[kind]);
}

/* Each change tells the queue, when there is one. */
static struct queue *told;

static struct event last; /* for messages: its kinds and node's name */
static char last_name[64];

static void tell(const struct event *e)
{
	last.kinds = e->kinds;
	snprintf(last_name, sizeof(last_name), "%s",
	         e->node        ? e->node->name_text
	         : event_pod(e) ? event_pod(e)->key
	                        : "");
	if (told)
		queue_event(told, e, 10);
}

static void set_node(struct world *w, const char *text)
{
	struct node_spec *n = world_node(w, parse(text)), *old;
	struct event e = {.kinds = cluster_set_node(w->cluster, n, &old), .node = n};
	e.old_node = old;
	tell(&e);
	node_spec_unref(old);
}

static void remove_node(struct world *w, const char *name)
{
	struct node_spec *old = cluster_remove_node(w->cluster, name);
	if (old)
		tell(&(struct event){.kinds = EVENT_NODE_DELETE, .old_node = old});
	node_spec_unref(old);
}

static void set_pod(struct world *w, const char *text, bool assume)
{
	struct pod_info *p = world_pod(w, parse(text));
	if (assume)
		cluster_assume(w->cluster, p, p->node_name);
	else
		cluster_set_pod(w->cluster, p);
	tell(&(struct event){.kinds = EVENT_POD_ADD, .pod = p});
	pod_info_unref(p);
}

static void remove_pod(struct world *w, const char *key)
{
	struct pod_info *old = cluster_remove_pod(w->cluster, key);
	if (old)
		tell(&(struct event){.kinds = EVENT_POD_DELETE, .old_pod = old});
	pod_info_unref(old);
}

static void set_namespace(struct world *w, const char *text)
{
	const CoreV1__Pod *named = world_pod_object(&arena, parse(text));
	if (cluster_set_namespace(w->cluster, named->metadata->name, named->metadata))
		tell(&(struct event){.kinds = EVENT_NAMESPACE});
}

/* The pod gets another label. */
static const char *relabel(struct world *w, const char *text)
{
	char *now = arena_strdup(&arena, text), *value = strstr(now, "labels: {app: ") + 14;
	*value = *value == 'x' ? 'z' : 'x';
	struct pod_info *p = world_pod(w, parse(now));
	struct pod_info *old = pod_info_ref(cluster_pod(w->cluster, p->key)->pod);
	cluster_set_pod(w->cluster, p);
	tell(&(struct event){.kinds = pod_info_changes(old, p), .old_pod = old, .pod = p});
	pod_info_unref(old);
	pod_info_unref(p);
	return now;
}

static void change(struct world *w, struct plain *now)
{
	unsigned i = any(NODES), k = any(PODS);
	char name[16], key[32];
	switch (any(8)) {
	case 0:
		snprintf(name, sizeof(name), "n%u", i);
		if (now->nodes[i] && any(2)) {
			remove_node(w, name);
			now->nodes[i] = NULL;
			return;
		}
		now->nodes[i] = random_node(i);
		set_node(w, now->nodes[i]);
		return;
	case 1:
		i = any(3);
		now->namespaces[i] =
		    arena_printf(&arena, "{name: ns%u, labels: {team: %s}}", i, any(2) ? "a" : "b");
		set_namespace(w, now->namespaces[i]);
		return;
	case 2:
	case 3:
		if (!now->pods[k])
			return;
		for (unsigned n = 0; n < 3; n++) {
			snprintf(key, sizeof(key), "ns%u/p%u", n, k);
			remove_pod(w, key);
		}
		now->pods[k] = NULL;
		return;
	default:
		if (now->pods[k]) {
			now->pods[k] = relabel(w, now->pods[k]);
			return;
		}
		snprintf(name, sizeof(name), "p%u", k);
		snprintf(key, sizeof(key), "n%u", i);
		now->pods[k] = random_pod(name, key, any(KINDS));
		set_pod(w, now->pods[k], any(2));
	}
}

/* What each node says of a pod: code and normalized scores, by the node's name. */
static void describe(struct world *w, const struct pod_info *p, struct buf *out)
{
	const struct framework *f = world_framework(w);
	size_t n;
	struct node_info *const *nodes = cluster_nodes(w->cluster, &n);
	w->start = 0;
	struct cycle_result r = world_schedule(w, p);
	buf_printf(out, "%d %s\n", r.code, r.code == STATUS_SUCCESS ? "" : r.message);
	struct node_info *sorted[NODES];
	size_t n_sorted = 0;
	char name[16];
	for (unsigned i = 0; i < NODES; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		struct node_info *node = cluster_find(w->cluster, name);
		if (!node)
			continue;
		buf_printf(out, "%s=%d ", name, w->cycle.statuses[node->order].code);
		sorted[n_sorted++] = node;
	}
	assert_int_equal(n, n_sorted);
	(void)nodes;
	for (size_t u = 0; u < f->points[POINT_SCORE].n; u++) {
		const struct plugin_use *use = &f->points[POINT_SCORE].at[u];
		const struct plugin_call *call = cycle_call(&w->cycle, use);
		int64_t scores[NODES];
		if (!n || (use->plugin->pre_score &&
		           use->plugin->pre_score(call, sorted, n) != STATUS_SUCCESS))
			continue;
		for (size_t i = 0; i < n; i++)
			scores[i] = use->plugin->score(call, sorted[i]);
		if (use->plugin->normalize)
			use->plugin->normalize(call, sorted, scores, n);
		buf_printf(out, "\n%s", use->plugin->name);
		for (size_t i = 0; i < n; i++)
			buf_printf(out, " %lld", (long long)scores[i]);
	}
	buf_str(out, "\n");
}

static void compare(struct world *lived, const struct plain *now, int step)
{
	struct world fresh;
	world_init(&fresh, NULL);
	for (unsigned i = 0; i < 3; i++)
		if (now->namespaces[i])
			set_namespace(&fresh, now->namespaces[i]);
	for (unsigned i = 0; i < NODES; i++)
		if (now->nodes[i])
			set_node(&fresh, now->nodes[i]);
	for (unsigned k = 0; k < PODS; k++)
		if (now->pods[k])
			set_pod(&fresh, now->pods[k], false);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		const struct jvalue *v = parse(random_pod("new", "", kind));
		struct pod_info *p = world_pod(lived, v), *q = world_pod(&fresh, v);
		_cleanup_buf_ struct buf a = BUF_INIT;
		_cleanup_buf_ struct buf b = BUF_INIT;
		describe(lived, p, &a);
		describe(&fresh, q, &b);
		if (!slice_eq(buf_view(&a), buf_view(&b)))
			fail_msg("step %d, kind %u\nkept up:\n%.*sfrom scratch:\n%.*s", step, kind,
			         SLICE_FMT(buf_view(&a)), SLICE_FMT(buf_view(&b)));
		pod_info_unref(p);
		pod_info_unref(q);
	}
	world_deinit(&fresh);
}

static void test_kept_up(void **state)
{
	(void)state;
	struct world lived;
	struct plain now = {0};
	rng_init(&rng, seed);
	world_init(&lived, NULL);
	for (int step = 1; step <= STEPS; step++) {
		change(&lived, &now);
		if (step % 10 == 0)
			compare(&lived, &now, step);
	}
	/* Nothing is left of what has gone. */
	for (unsigned k = 0; k < PODS; k++)
		for (unsigned n = 0; n < 3; n++)
			pod_info_unref(cluster_remove_pod(lived.cluster,
			                                  arena_printf(&arena, "ns%u/p%u", n, k)));
	for (unsigned i = 0; i < NODES; i++)
		node_spec_unref(cluster_remove_node(lived.cluster, arena_printf(&arena, "n%u", i)));
	size_t n;
	(void)cluster_having(lived.cluster, &n);
	assert_int_equal(n, 0);
	assert_int_equal(cluster_n_pods(lived.cluster), 0);
	assert_int_equal(cluster_n_nodes(lived.cluster), 0);
	world_deinit(&lived);
	arena_deinit(&arena);
}

/* Preemption tries victims out in place: afterwards nothing has changed. */
static void test_preemption_leaves_no_trace(void **state)
{
	(void)state;
	struct world w;
	struct plain now = {0};
	rng_init(&rng, seed);
	world_init(&w, NULL);
	for (int step = 0; step < 300; step++)
		change(&w, &now);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct jvalue *v = parse(random_pod("new", "", kind));
		jvalue_set(&arena, v, "priority", jvalue_int(&arena, 100));
		jvalue_set(&arena, v, "cpu", jvalue_str(&arena, "900m"));
		struct pod_info *p = world_pod(&w, v);
		_cleanup_buf_ struct buf a = BUF_INIT;
		_cleanup_buf_ struct buf b = BUF_INIT;
		rng_init(&w.rng, 1);
		describe(&w, p, &a);
		rng_init(&w.rng, 1);
		describe(&w, p, &b);
		assert_true(slice_eq(buf_view(&a), buf_view(&b)));
		pod_info_unref(p);
	}
	world_deinit(&w);
	arena_deinit(&arena);
}

/* A change that lets a waiting pod fit wakes it: no hint says no where it matters. */
static void test_hints_miss_nothing(void **state)
{
	(void)state;
	struct world w;
	struct plain now = {0};
	rng_init(&rng, seed);
	world_init(&w, NULL);
	struct queue_config config = QUEUE_CONFIG_DEFAULT;
	config.cluster = w.cluster;
	size_t n_woken = 0, n_rested = 0;
	for (int step = 0; step < 4000; step++) {
		change(&w, &now);
		struct jvalue *v = parse(random_pod("new", "", any(KINDS)));
		jvalue_set(&arena, v, "cpu", jvalue_str(&arena, any(2) ? "100m" : "2500m"));
		struct pod_info *p = world_pod(&w, v);
		struct cycle_result r = world_schedule(&w, p);
		if (r.code == STATUS_UNSCHEDULABLE) {
			struct queue *q = told = queue_new(&config);
			queue_add(q, p, world_framework(&w), 1);
			(void)queue_pop(q, 1);
			queue_failed(q, p->key, r.rejectors, r.wake, false, 1);
			const char *why = arena_strdup(&arena, r.message);
			for (int i = 0; i < 6 && queue_counts(q).unschedulable; i++) {
				change(&w, &now);
				if (queue_counts(q).unschedulable &&
				    world_schedule(&w, p).code == STATUS_SUCCESS)
					fail_msg("step %d: kinds %x of %s did not wake a pod that "
					         "had: %s",
					         step, last.kinds, last_name, why);
			}
			n_woken += !queue_counts(q).unschedulable;
			n_rested += queue_counts(q).unschedulable;
			queue_free(q);
			told = NULL;
		}
		pod_info_unref(p);
	}
	assert_true(n_woken > 50 && n_rested > 50);
	world_deinit(&w);
	arena_deinit(&arena);
}

/* Fills a cluster; the nodes that were chosen, in order. */
static void fill(uint64_t choices, struct buf *out)
{
	struct world w;
	world_init(&w, NULL);
	rng_init(&rng, 3);
	rng_init(&w.rng, choices);
	for (unsigned i = 0; i < NODES; i++)
		set_node(&w, arena_printf(&arena, "{name: n%u, labels: {zone: z%u}}", i, i % 3));
	for (unsigned k = 0; k < PODS; k++) {
		struct pod_info *p =
		    world_pod(&w, parse(random_pod(arena_printf(&arena, "p%u", k), "", k % 3)));
		struct cycle_result r = world_schedule(&w, p);
		buf_printf(out, "%s ", r.node ? r.node->name : r.message);
		if (r.node)
			cluster_assume(w.cluster, p, r.node->name);
		pod_info_unref(p);
	}
	world_deinit(&w);
}

static void test_equal_seeds_decide_equally(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf a = BUF_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_buf_ struct buf c = BUF_INIT;
	fill(1, &a);
	fill(1, &b);
	fill(2, &c);
	assert_true(slice_eq(buf_view(&a), buf_view(&b)));
	assert_false(slice_eq(buf_view(&a), buf_view(&c)));
	arena_deinit(&arena);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		seed = strtoull(argv[1], NULL, 10);
	print_message("seed %llu\n", (unsigned long long)seed);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_kept_up),
	    cmocka_unit_test(test_preemption_leaves_no_trace),
	    cmocka_unit_test(test_hints_miss_nothing),
	    cmocka_unit_test(test_equal_seeds_decide_equally),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
