/* SPDX-License-Identifier: Apache-2.0 */
/* A budget and pods as tables; a pod's generateName is "owner/replicas" of its controller: "/" when
 * nobody controls it, without a number when its replicas are not known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "controller-manager/base/script.h"
#include "controller-manager/disruption/plan/plan.h"
#include "proto/schema_messages.h"

static void one_case(struct script_case *c, struct buf *out)
{
	CoreV1__Pod **pods;
	struct disruption_plan plan;
	struct disruption_input in = {.pdb =
	                                  script_one(c, &policy_v1__pod_disruption_budget_schema),
	                              .now_s = script_int(c, "now", 1000)};
	in.n_pods = script_all(c, &core_v1__pod_schema, &pods);
	struct disruption_owner *owners = arena_array(&c->a, struct disruption_owner, in.n_pods);
	for (size_t i = 0; i < in.n_pods; i++) {
		char *name = pods[i]->metadata->generate_name, *slash = strchr(name, '/');
		owners[i].uid =
		    slash == name ? NULL : arena_strndup(&c->a, name, (size_t)(slash - name));
		owners[i].known = slash[1] != 0;
		owners[i].replicas = strtoll(slash + 1, NULL, 10);
	}
	in.pods = pods;
	in.owners = owners;
	disruption_plan(&in, &c->a, &plan);
	if (plan.differs)
		script_write(out, "status", &policy_v1__pod_disruption_budget_status_schema,
		             &plan.status->base);
	for (size_t i = 0; i < plan.n_events; i++)
		buf_printf(out, "event %s %s\n", plan.events[i].reason, plan.events[i].message);
	if (plan.recheck_s)
		buf_printf(out, "recheck %lld\n", (long long)plan.recheck_s);
}

static void test_script(void **state)
{
	assert_int_equal(script_run(*state, one_case), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_prestate(test_script, (void *)(uintptr_t) "testdata/disruption.txt"),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
