/* SPDX-License-Identifier: Apache-2.0 */
/* Services, pods and the Endpoints that are there as tables. Parameter: max. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "controller-manager/base/script.h"
#include "controller-manager/endpoints/plan/plan.h"
#include "proto/schema_messages.h"

static void one_case(struct script_case *c, struct buf *out)
{
	CoreV1__Pod **pods;
	struct endpoints_input in = {.service = script_one(c, &core_v1__service_schema),
	                             .current = script_one(c, &core_v1__endpoints_schema),
	                             .max = (size_t)script_int(c, "max", 0)};
	in.n_pods = script_all(c, &core_v1__pod_schema, &pods);
	in.pods = pods;
	CoreV1__Endpoints *e = endpoints_plan(&in, &c->a);
	if (!e) {
		buf_str(out, "right\n");
		return;
	}
	script_write(out, "metadata", &meta_v1__object_meta_schema, &e->metadata->base);
	for (size_t i = 0; i < e->n_subsets; i++)
		script_write(out, "subset", &core_v1__endpoint_subset_schema, &e->subsets[i]->base);
	/* What was written is right in the next turn. */
	in.current = e;
	assert_null(endpoints_plan(&in, &c->a));
}

static void test_script(void **state)
{
	assert_int_equal(script_run(*state, one_case), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_prestate(test_script, (void *)(uintptr_t) "testdata/endpoints.txt"),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
