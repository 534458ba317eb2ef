/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints, their Service and the slices that are there as tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "controller-manager/base/script.h"
#include "controller-manager/endpointslice-mirroring/plan/plan.h"
#include "proto/schema_messages.h"

static void write_all(struct buf *out, const char *what, DiscoveryV1__EndpointSlice **list,
                      size_t n)
{
	for (size_t i = 0; i < n; i++)
		script_write(out, what, &discovery_v1__endpoint_slice_schema, &list[i]->base);
}

static void one_case(struct script_case *c, struct buf *out)
{
	DiscoveryV1__EndpointSlice **slices;
	struct mirror_plan plan;
	struct mirror_input in = {.endpoints = script_one(c, &core_v1__endpoints_schema),
	                          .service = script_one(c, &core_v1__service_schema)};
	in.n_slices = script_all(c, &discovery_v1__endpoint_slice_schema, &slices);
	in.slices = slices;
	mirror_plan(&in, &c->a, &plan);
	write_all(out, "create", plan.create, plan.n_create);
	write_all(out, "update", plan.update, plan.n_update);
	for (size_t i = 0; i < plan.n_remove; i++)
		buf_printf(out, "remove %s\n", plan.remove[i]->metadata->name);
	/* What was made is right in the next turn. */
	in.slices = plan.create;
	in.n_slices = plan.n_create;
	if (!plan.n_create || plan.n_update)
		return;
	mirror_plan(&in, &c->a, &plan);
	assert_int_equal(plan.n_create + plan.n_update + plan.n_remove, 0);
}

static void test_script(void **state)
{
	assert_int_equal(script_run(*state, one_case), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_prestate(test_script, (void *)(uintptr_t) "testdata/mirror.txt"),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
