/* SPDX-License-Identifier: Apache-2.0 */
/* Profiles and the extension points after the choice of a node. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "scheduler/plugins/world_test.h"

static struct arena arena;
static struct cluster *cluster;
static struct profile_config config;
static struct err err;

static int setup(void **state)
{
	(void)state;
	cluster = cluster_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	cluster_free(cluster);
	arena_deinit(&arena);
	return 0;
}

/* Plugins that take part after a node was chosen and say what they are told to. */

static enum status_code say_permit;
static char told[256];

static void tell(const char *what)
{
	snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s ", what);
}

static enum status_code reserve_one(const struct plugin_call *c, const struct node_info *n,
                                    struct reasons *why)
{
	tell("reserve1");
	return STATUS_SUCCESS;
}

static void unreserve_one(const struct plugin_call *c, const struct node_info *n)
{
	tell("unreserve1");
}

static enum status_code reserve_two(const struct plugin_call *c, const struct node_info *n,
                                    struct reasons *why)
{
	tell("reserve2");
	return *(const int64_t *)c->args ? STATUS_UNSCHEDULABLE : STATUS_SUCCESS;
}

static int parse_two(const struct jvalue *args, struct symbols *s, struct arena *a,
                     const void **ret, struct err *e)
{
	int64_t *fail = arena_new(a, int64_t);
	*fail = jvalue_get_bool(args, "fail", false);
	*ret = fail;
	return 0;
}

static enum status_code permit(const struct plugin_call *c, const struct node_info *n,
                               uint32_t *timeout_ms, struct reasons *why)
{
	*timeout_ms = 700;
	return say_permit;
}

static enum status_code pre_bind(const struct plugin_call *c, const struct node_info *n,
                                 struct reasons *why)
{
	tell("prebind");
	return STATUS_SUCCESS;
}

static enum status_code bind_not(const struct plugin_call *c, const struct node_info *n,
                                 enum bind_action *ret)
{
	tell("skip");
	return STATUS_SKIP;
}

static void post_bind(const struct plugin_call *c, const struct node_info *n)
{
	tell("postbind");
}

static const struct plugin one = {.name = "One",
                                  .reserve = reserve_one,
                                  .unreserve = unreserve_one,
                                  .permit = permit,
                                  .bind = bind_not,
                                  .post_bind = post_bind},
                           two = {.name = "Two",
                                  .parse_args = parse_two,
                                  .reserve = reserve_two,
                                  .pre_bind = pre_bind};

static const struct plugin *registry[32];

static const struct framework *build(const char *yaml)
{
	size_t n = 0;
	registry[n++] = &one;
	for (; plugins_registry[n - 1]; n++)
		registry[n] = plugins_registry[n - 1];
	registry[n++] = &two;
	registry[n] = NULL;
	struct jvalue *doc = NULL;
	const char *text = arena_printf(
	    &arena,
	    "{apiVersion: kubescheduler.config.k8s.io/v1, kind: KubeSchedulerConfiguration, %s}",
	    yaml);
	err = ERR_INIT;
	assert_int_equal(yaml_parse(slice_str(text), &arena, NULL, &doc, &err), 0);
	if (profile_config_build(doc, registry, cluster_symbols(cluster), &arena, &config, &err))
		return NULL;
	return config.profiles;
}

static const char *names(const struct framework *f, enum extension_point point)
{
	const char *text = "";
	for (size_t i = 0; i < f->points[point].n; i++)
		text = arena_printf(&arena, "%s%s:%d ", text, f->points[point].at[i].plugin->name,
		                    (int)f->points[point].at[i].weight);
	return text;
}

static void test_profiles(void **state)
{
	(void)state;
	const struct framework *f = build("profiles: []");
	assert_string_equal(f->scheduler_name, "default-scheduler");
	assert_string_equal(names(f, POINT_SCORE),
	                    "TaintToleration:3 NodeAffinity:2 NodeResourcesFit:1 "
	                    "PodTopologySpread:2 InterPodAffinity:2 "
	                    "NodeResourcesBalancedAllocation:1 ImageLocality:1 ");
	assert_string_equal(names(f, POINT_QUEUE_SORT), "PrioritySort:1 ");
	f = build(
	    "percentageOfNodesToScore: 30, podMaxBackoffSeconds: 60, profiles: [{schedulerName: a, "
	    "plugins: {multiPoint: {disabled: [{name: ImageLocality}, {name: One}, {name: "
	    "Two}]}, "
	    "score: {disabled: [{name: NodeAffinity}, {name: TaintToleration}], enabled: [{name: "
	    "NodeResourcesFit, weight: 9}]}, preFilter: {disabled: [{name: '*'}]}}}, "
	    "{schedulerName: b, percentageOfNodesToScore: 50}]");
	assert_string_equal(names(f, POINT_SCORE),
	                    "NodeResourcesFit:9 PodTopologySpread:2 InterPodAffinity:2 "
	                    "NodeResourcesBalancedAllocation:1 ");
	assert_string_equal(names(f, POINT_PRE_FILTER), "");
	assert_string_equal(names(f, POINT_RESERVE), "");
	assert_int_equal(f->percentage_of_nodes, 30);
	assert_int_equal(config.max_backoff_ms, 60000);
	assert_string_equal(profile_of(&config, "b")->scheduler_name, "b");
	assert_int_equal(profile_of(&config, "b")->percentage_of_nodes, 50);
	assert_null(profile_of(&config, "c"));
}

static void assert_refused(const char *yaml, const char *want)
{
	assert_null(build(yaml));
	if (!strstr(err.text, want))
		fail_msg("got %s", err.text);
}

static void test_bad_configurations(void **state)
{
	(void)state;
	assert_refused("profile: []", "unknown field \"profile\"");
	assert_refused("percentageOfNodesToScore: 101", "not in valid range [0-100]");
	assert_refused("podInitialBackoffSeconds: 0", "must be greater than 0");
	assert_refused("podInitialBackoffSeconds: 20", "podMaxBackoffSeconds");
	assert_refused("profiles: [{}, {}]", "Duplicate value: \"default-scheduler\"");
	assert_refused("profiles: [{plugins: {score: {enabled: [{name: Nope}]}}}]",
	               "plugin \"Nope\" does not exist");
	assert_refused("profiles: [{plugins: {score: {enabled: [{name: NodeName}]}}}]",
	               "does not extend score");
	assert_refused("profiles: [{plugins: {bind: {disabled: [{name: '*'}]}}}]",
	               "at least one bind plugin");
	assert_refused("profiles: [{plugins: {queueSort: {disabled: [{name: '*'}]}}}]",
	               "one queue sort plugin required");
	assert_refused(
	    "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: "
	    "{type: Best}}}]}]",
	    "scoringStrategy.type");
	assert_refused("profiles: [{pluginConfig: [{name: InterPodAffinity, args: "
	               "{hardPodAffinityWeight: 101}}]}]",
	               "hardPodAffinityWeight");
	assert_refused("profiles: [{pluginConfig: [{name: NodeResourcesFit, args: "
	               "{ignoredResources: [1]}}]}]",
	               "must be lists of strings");
}

static void test_adaptive_share(void **state)
{
	(void)state;
	static const struct {
		size_t nodes, want;
		int64_t percent;
	} cases[] = {{10, 10, 0},      {99, 99, 0},    {100, 100, 0},
	             {1000, 420, 0},   {5000, 500, 0}, {6000, 300, 0},
	             {5000, 2500, 50}, {1000, 100, 1}, {1000, 1000, 100}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct framework f = {.percentage_of_nodes = cases[i].percent};
		assert_int_equal(cycle_feasible_wanted(&f, cases[i].nodes), cases[i].want);
	}
}

/* A cycle on a cluster of one node, ready for the steps of binding. */
static void begin(struct cycle *c, const struct framework *f, struct node_info **ret)
{
	struct world w = {.cluster = cluster, .arena = arena};
	struct jvalue *v = NULL;
	struct rng rng;
	size_t start = 0;
	struct cycle_result r;
	assert_int_equal(yaml_parse(slice_str("{name: n1}"), &arena, NULL, &v, NULL), 0);
	cluster_set_node(cluster, world_node(&w, v), NULL);
	struct pod_info *p = world_pod(&w, v);
	rng_init(&rng, 1);
	cycle_begin(c, f, cluster, p, &rng, NULL);
	cycle_schedule(c, &start, &r);
	pod_info_unref(p);
	assert_int_equal(r.code, STATUS_SUCCESS);
	*ret = r.node;
	told[0] = 0;
}

static void test_binding(void **state)
{
	(void)state;
	struct cycle c = {0};
	struct node_info *n;
	const struct plugin_use *by = NULL;
	uint32_t timeout;
	enum bind_action action = BIND_NONE;
	const struct framework *f = build("profiles: []");
	begin(&c, f, &n);
	assert_int_equal(cycle_reserve(&c, n, &by), STATUS_SUCCESS);
	say_permit = STATUS_WAIT;
	assert_int_equal(cycle_permit(&c, n, &timeout, &by), STATUS_WAIT);
	assert_int_equal(timeout, 700);
	assert_string_equal(by->plugin->name, "One");
	say_permit = STATUS_SUCCESS;
	assert_int_equal(cycle_permit(&c, n, &timeout, &by), STATUS_SUCCESS);
	assert_int_equal(cycle_pre_bind(&c, n, &by), STATUS_SUCCESS);
	assert_int_equal(cycle_bind(&c, n, &action), STATUS_SUCCESS);
	assert_int_equal(action, BIND_BINDING);
	cycle_post_bind(&c, n);
	assert_string_equal(told, "reserve1 reserve2 prebind skip postbind ");
	cycle_deinit(&c);
}

static void test_reserve_fails(void **state)
{
	(void)state;
	struct cycle c = {0};
	struct node_info *n;
	const struct plugin_use *by = NULL;
	const struct framework *f =
	    build("profiles: [{pluginConfig: [{name: Two, args: {fail: true}}]}]");
	begin(&c, f, &n);
	assert_int_equal(cycle_reserve(&c, n, &by), STATUS_UNSCHEDULABLE);
	assert_string_equal(by->plugin->name, "Two");
	assert_string_equal(told, "reserve1 reserve2 unreserve1 ");
	cycle_deinit(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_profiles, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bad_configurations, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_adaptive_share, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_binding, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_reserve_fails, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
