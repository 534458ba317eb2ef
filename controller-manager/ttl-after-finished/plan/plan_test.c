/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "controller-manager/base/script.h"
#include "controller-manager/ttl-after-finished/plan/plan.h"
#include "proto/schema_messages.h"

static void one_case(struct script_case *c, struct buf *out)
{
	int64_t at;
	if (ttl_expiry(script_one(c, &batch_v1__job_schema), &at))
		buf_printf(out, "at %lld\n", (long long)at);
	else
		buf_str(out, "stays\n");
}

static void test_script(void **state)
{
	assert_int_equal(script_run(*state, one_case), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_prestate(test_script, (void *)(uintptr_t) "testdata/ttl.txt"),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
