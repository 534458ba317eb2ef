/* SPDX-License-Identifier: Apache-2.0 */
/* A DaemonSet, nodes and pods as tables; the current template has the hash "new". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "controller-manager/base/script.h"
#include "controller-manager/daemonset/plan/plan.h"
#include "proto/json_encode.h"
#include "proto/pb_decode.h"
#include "proto/schema_messages.h"

static bool may_replace(const char *node, void *arg)
{
	return strcmp(node, arg) != 0;
}

static void one_case(struct script_case *c, struct buf *out)
{
	CoreV1__Node **nodes;
	CoreV1__Pod **pods;
	struct daemonset_plan plan;
	struct daemonset_input in = {.ds = script_one(c, &apps_v1__daemon_set_schema),
	                             .hash = "new",
	                             .now_s = script_int(c, "now", 1000),
	                             .expecting = script_int(c, "expecting", 0) != 0,
	                             .may_replace = may_replace,
	                             .arg = (void *)(uintptr_t)script_str(c, "backoff")};
	in.n_nodes = script_all(c, &core_v1__node_schema, &nodes);
	in.nodes = nodes;
	in.n_pods = script_all(c, &core_v1__pod_schema, &pods);
	in.pods = pods;
	daemonset_plan(&in, &c->a, &plan);
	for (size_t i = 0; i < plan.n_create; i++)
		buf_printf(out, "create on %s\n", plan.create[i]);
	for (size_t i = 0; i < plan.n_remove; i++)
		buf_printf(out, "remove %s\n", plan.remove[i]->metadata->name);
	for (size_t i = 0; i < plan.n_events; i++)
		buf_printf(out, "event %s %s\n", plan.events[i].reason, plan.events[i].message);
	if (plan.recheck_s)
		buf_printf(out, "recheck %lld\n", (long long)plan.recheck_s);
	if (plan.status_differs)
		script_write(out, "status", &apps_v1__daemon_set_status_schema, &plan.status.base);
}

static void test_script(void **state)
{
	assert_int_equal(script_run(*state, one_case), 0);
}

static void test_shape(void **state)
{
	struct arena a = {0};
	AppsV1__DaemonSet *ds = (AppsV1__DaemonSet *)pb_new(&apps_v1__daemon_set_schema, &a);
	CoreV1__Pod *pod = (CoreV1__Pod *)pb_new(&core_v1__pod_schema, &a);
	CoreV1__PodSpec *template = pod->spec;
	daemonset_shape_pod(ds, "n1", "h", pod, &a);
	assert_string_equal(daemonset_pod_node(pod), "n1");
	assert_int_equal(pod->spec->n_tolerations, 6);
	assert_int_equal(template->n_tolerations, 0);
	daemonset_shape_pod(ds, "n1", "h", pod, &a);
	assert_int_equal(pod->spec->n_tolerations, 6);
	pod->spec->host_network = 1;
	daemonset_shape_pod(ds, "n1", "h", pod, &a);
	assert_int_equal(pod->spec->n_tolerations, 7);
	arena_deinit(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_shape),
	    cmocka_unit_test_prestate(test_script, (void *)(uintptr_t) "testdata/daemonset.txt"),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
