/* SPDX-License-Identifier: Apache-2.0 */
/* A quota and the objects of its namespace as tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "controller-manager/base/script.h"
#include "controller-manager/resourcequota/plan/plan.h"
#include "proto/resource_table.h"
#include "proto/schema_messages.h"

static void one_case(struct script_case *c, struct buf *out)
{
	const CoreV1__ResourceQuota *q = script_one(c, &core_v1__resource_quota_schema);
	struct quota_object *objects = arena_array(&c->a, struct quota_object, c->n);
	const struct resource_info **resources;
	size_t n = 0, n_resources = quota_resources(q, &c->a, &resources);
	for (size_t i = 0; i < c->n; i++) {
		const struct schema_message *s = c->objects[i].schema;
		objects[n] = (struct quota_object){resource_by_kind(s->group, "v1", s->kind),
		                                   c->objects[i].msg};
		/* The shell brings those of the resources that were asked for. */
		for (size_t k = 0; k < n_resources; k++)
			if (resources[k] == objects[n].res) {
				n++;
				break;
			}
	}
	buf_str(out, "of");
	for (size_t i = 0; i < n_resources; i++)
		buf_printf(out, " %s", resources[i]->resource);
	CoreV1__ResourceQuotaStatus *s = quota_plan(q, objects, n, &c->a);
	if (s)
		script_write(out, "\nstatus", &core_v1__resource_quota_status_schema, &s->base);
	else
		buf_str(out, "\nright\n");
}

static void test_script(void **state)
{
	assert_int_equal(script_run(*state, one_case), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_prestate(test_script, (void *)(uintptr_t) "testdata/quota.txt"),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
