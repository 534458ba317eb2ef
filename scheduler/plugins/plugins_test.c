/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the cases of testdata: a cluster, a pod, and what scheduling it must give.
 *
 *     name: what it is about
 *     config: {...}          KubeSchedulerConfiguration, if not the defaults
 *     nodes: [...]  pods: [...]  namespaces: [...]  owners: [...]  budgets: [...]
 *     pod: {...}
 *     fits: [n1, n2]         nodes that all filters let pass
 *     message: "0/3 ..."     when none does
 *     rejectors: [Plugin]    who refused
 *     scores: {Plugin: {n1: 100}}
 *     on: [n1]               nodes that may be chosen
 *     nominated: n1  victims: [p1]
 *     hints: [{node|oldNode|pod|oldPod: {...}, kinds: N, wakes: true}] */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "scheduler/plugins/world_test.h"

static const char *folder;

static const struct plugin_use *use_named(const struct framework *f, const char *name)
{
	for (size_t i = 0; i < f->points[POINT_SCORE].n; i++)
		if (!strcmp(f->points[POINT_SCORE].at[i].plugin->name, name))
			return &f->points[POINT_SCORE].at[i];
	fail_msg("no score plugin %s", name);
	return NULL;
}

static struct node_info *node_named(struct world *w, const char *name)
{
	struct node_info *n = cluster_find(w->cluster, name);
	if (!n)
		fail_msg("no node %s", name);
	return n;
}

static bool lists(const struct jvalue *list, const char *text)
{
	for (uint32_t i = 0; i < list->n; i++)
		if (!strcmp(list->items[i]->str, text))
			return true;
	return false;
}

/* The nodes that fit, by what each filter says of each node. */
static void check_fits(struct world *w, const struct jvalue *want)
{
	size_t n;
	struct node_info *const *nodes = cluster_nodes(w->cluster, &n);
	for (size_t i = 0; i < n; i++) {
		bool fits = w->cycle.statuses[i].code == STATUS_SUCCESS;
		if (fits != lists(want, nodes[i]->name))
			fail_msg("node %s %s", nodes[i]->name, fits ? "fits" : "does not fit");
	}
}

static void check_scores(struct world *w, const struct jvalue *want)
{
	for (uint32_t p = 0; p < want->n; p++) {
		const struct plugin_use *u = use_named(world_framework(w), want->members[p].key);
		const struct jvalue *each = want->members[p].value;
		const struct plugin_call *call = cycle_call(&w->cycle, u);
		struct node_info *nodes[32];
		int64_t scores[32] = {0};
		for (uint32_t i = 0; i < each->n; i++)
			nodes[i] = node_named(w, each->members[i].key);
		if (!u->plugin->pre_score ||
		    u->plugin->pre_score(call, nodes, each->n) == STATUS_SUCCESS) {
			for (uint32_t i = 0; i < each->n; i++)
				scores[i] = u->plugin->score(call, nodes[i]);
			if (u->plugin->normalize)
				u->plugin->normalize(call, nodes, scores, each->n);
		}
		for (uint32_t i = 0; i < each->n; i++)
			if (scores[i] != each->members[i].value->i)
				fail_msg("%s gives %s %lld, want %lld", u->plugin->name,
				         nodes[i]->name, (long long)scores[i],
				         (long long)each->members[i].value->i);
	}
}

static void check_rejectors(struct world *w, uint64_t got, const struct jvalue *want)
{
	const struct framework *f = world_framework(w);
	for (size_t i = 0; i < f->uses.n; i++)
		if ((got >> i & 1) != lists(want, f->uses.at[i].plugin->name))
			fail_msg("%s %s", f->uses.at[i].plugin->name,
			         got >> i & 1 ? "refused" : "did not refuse");
}

static void check_preemption(const struct cycle_result *r, const struct jvalue *doc)
{
	const struct jvalue *victims = jvalue_get(doc, "victims");
	const char *nominated = jvalue_get_str(doc, "nominated", NULL);
	if (nominated) {
		assert_true(r->post.set_nominated);
		assert_string_equal(r->post.nominated_node, nominated);
	}
	if (!victims)
		return;
	assert_int_equal(r->post.preemption.n_victims, victims->n);
	for (uint32_t i = 0; i < victims->n; i++)
		assert_string_equal(r->post.preemption.victims[i]->name, victims->items[i]->str);
}

static unsigned kinds_of(const struct jvalue *list)
{
	static const struct {
		const char *name;
		unsigned kind;
	} names[] = {
	    {"nodeAdd", EVENT_NODE_ADD},    {"nodeDelete", EVENT_NODE_DELETE},
	    {"podAdd", EVENT_POD_ADD},      {"podDelete", EVENT_POD_DELETE},
	    {"namespace", EVENT_NAMESPACE},
	};
	for (size_t i = 0; list && i < ARRAY_LEN(names); i++)
		if (!strcmp(list->str, names[i].name))
			return names[i].kind;
	return 0;
}

/* Lets the pod fail, sends the event, and looks whether the pod left its place. */
static void check_hint(struct world *w, const struct pod_info *p, const struct cycle_result *r,
                       const struct jvalue *hint)
{
	struct queue_config config = QUEUE_CONFIG_DEFAULT;
	config.cluster = w->cluster;
	struct queue *q = queue_new(&config);
	const struct jvalue *v;
	struct event e = {.kinds = kinds_of(jvalue_get(hint, "event"))};
	struct pod_info *old_pod = NULL, *pod = NULL;
	struct node_spec *old_node = NULL, *node = NULL;
	if ((v = jvalue_get(hint, "oldPod")))
		e.old_pod = old_pod = world_pod(w, v);
	if ((v = jvalue_get(hint, "pod")))
		e.pod = pod = world_pod(w, v);
	if ((v = jvalue_get(hint, "oldNode")))
		e.old_node = old_node = world_node(w, v);
	if ((v = jvalue_get(hint, "node")))
		e.node = node = world_node(w, v);
	if (!e.kinds && node)
		e.kinds = node_spec_changes(old_node, node);
	else if (!e.kinds)
		e.kinds = pod_info_changes(old_pod, pod);
	queue_add(q, p, world_framework(w), 1);
	assert_non_null(queue_pop(q, 1));
	queue_failed(q, p->key, r->rejectors, r->wake, false, 1);
	assert_int_equal(queue_counts(q).unschedulable, 1);
	if (pod && !strcmp(pod->key, p->key))
		queue_add(q, pod, world_framework(w), 2);
	else
		queue_event(q, &e, 2);
	bool woke = !queue_counts(q).unschedulable;
	if (woke != jvalue_get_bool(hint, "wakes", false))
		fail_msg("%s: %s", jvalue_get_str(hint, "name", "hint"),
		         woke ? "wakes" : "does not wake");
	queue_free(q);
	pod_info_unref(old_pod);
	pod_info_unref(pod);
	node_spec_unref(old_node);
	node_spec_unref(node);
}

static void check_one(const struct jvalue *doc)
{
	struct world w;
	world_init(&w, jvalue_get(doc, "config"));
	world_fill(&w, doc);
	struct pod_info *p = world_pod(&w, jvalue_get(doc, "pod"));
	struct cycle_result r = world_schedule(&w, p);
	const struct jvalue *v;
	if ((v = jvalue_get(doc, "message")))
		assert_string_equal(r.message, v->str);
	if ((v = jvalue_get(doc, "fits")))
		check_fits(&w, v);
	if ((v = jvalue_get(doc, "rejectors")))
		check_rejectors(&w, r.rejectors, v);
	if ((v = jvalue_get(doc, "on")))
		assert_true(r.node && lists(v, r.node->name));
	check_preemption(&r, doc);
	v = jvalue_get(doc, "hints");
	for (uint32_t i = 0; v && i < v->n; i++)
		check_hint(&w, p, &r, jvalue_at(v, i));
	if ((v = jvalue_get(doc, "scores"))) {
		cycle_begin(&w.cycle, world_framework(&w), w.cluster, p, &w.rng, NULL);
		check_scores(&w, v);
	}
	pod_info_unref(p);
	world_deinit(&w);
}

static void test_file(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	const struct jvalue *docs =
	    world_documents(arena_printf(&a, "%s/%s.yaml", folder, (const char *)*state), &a);
	assert_true(docs->n > 0);
	for (uint32_t i = 0; i < docs->n; i++) {
		print_message("  %s\n", jvalue_get_str(docs->items[i], "name", "?"));
		check_one(docs->items[i]);
	}
}

#define FILE_TEST(name)                                   \
	{                                                 \
		name, test_file, NULL, NULL, (void *)name \
	}

int main(int argc, char **argv)
{
	folder = argc > 1 ? argv[1] : "testdata";
	const struct CMUnitTest tests[] = {
	    FILE_TEST("messages"), FILE_TEST("nodes"),      FILE_TEST("resources"),
	    FILE_TEST("ports"),    FILE_TEST("images"),     FILE_TEST("spread"),
	    FILE_TEST("affinity"), FILE_TEST("preemption"), FILE_TEST("hints"),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
