/* SPDX-License-Identifier: Apache-2.0 */
/* A StatefulSet and pods as tables; its revisions are "cur" and "upd" (parameter same: both "upd").
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "controller-manager/base/script.h"
#include "controller-manager/statefulset/plan/plan.h"
#include "proto/pb_decode.h"
#include "proto/schema_messages.h"

static void one_case(struct script_case *c, struct buf *out)
{
	CoreV1__Pod **pods;
	struct statefulset_plan plan;
	struct statefulset_input in = {.set = script_one(c, &apps_v1__stateful_set_schema),
	                               .current = script_int(c, "same", 0) ? "upd" : "cur",
	                               .update = "upd",
	                               .now_s = script_int(c, "now", 1000)};
	in.n_pods = script_all(c, &core_v1__pod_schema, &pods);
	in.pods = pods;
	statefulset_plan(&in, &c->a, &plan);
	for (size_t i = 0; i < plan.n_create; i++)
		buf_printf(out, "create %d by %s\n", plan.create[i].ordinal,
		           plan.create[i].update ? in.update : in.current);
	for (size_t i = 0; i < plan.n_remove; i++)
		buf_printf(out, "remove %s%s%s%s\n", plan.remove[i].pod->metadata->name,
		           plan.remove[i].condemned ? " condemned" : "",
		           plan.remove[i].reason ? " " : "",
		           plan.remove[i].reason ? plan.remove[i].reason : "");
	for (size_t i = 0; i < plan.n_fix; i++)
		buf_printf(out, "fix %s\n", plan.fix[i]->metadata->name);
	if (plan.recheck_s)
		buf_printf(out, "recheck %lld\n", (long long)plan.recheck_s);
	if (plan.status_differs)
		script_write(out, "status", &apps_v1__stateful_set_status_schema,
		             &plan.status.base);
}

static void test_script(void **state)
{
	assert_int_equal(script_run(*state, one_case), 0);
}

static void shape_case(struct script_case *c, struct buf *out)
{
	const AppsV1__StatefulSet *set = script_one(c, &apps_v1__stateful_set_schema);
	CoreV1__Pod *pod = (CoreV1__Pod *)pb_new(&core_v1__pod_schema, &c->a);
	CoreV1__PersistentVolumeClaim **claims;
	pod->spec = set->spec->template_->spec;
	statefulset_shape_pod(set, 3, "rev", pod, &c->a);
	script_write(out, "pod", &core_v1__pod_schema, &pod->base);
	assert_int_equal(statefulset_ordinal(set, pod), 3);
	assert_false(statefulset_set_identity(set, 3, pod, &c->a));
	size_t n = statefulset_claims(set, 3, &c->a, &claims);
	for (size_t i = 0; i < n; i++)
		script_write(out, "claim", &core_v1__persistent_volume_claim_schema,
		             &claims[i]->base);
}

static void test_shape(void **state)
{
	assert_int_equal(script_run(*state, shape_case), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_prestate(test_script, (void *)(uintptr_t) "testdata/statefulset.txt"),
	    cmocka_unit_test_prestate(test_shape, (void *)(uintptr_t) "testdata/identity.txt"),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
