/* SPDX-License-Identifier: Apache-2.0 */
/* A Secret and an account as tables; the CA is "CA", the token "TOKEN". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "controller-manager/base/script.h"
#include "controller-manager/serviceaccount-token/plan/plan.h"
#include "proto/schema_messages.h"

static void one_case(struct script_case *c, struct buf *out)
{
	const CoreV1__Secret *secret = script_one(c, &core_v1__secret_schema);
	const CoreV1__ServiceAccount *account = script_one(c, &core_v1__service_account_schema);
	if (!token_secret_account(secret) || !token_secret_is_of(secret, account)) {
		buf_str(out, token_secret_account(secret) ? "another's\n" : "nobody's\n");
		return;
	}
	CoreV1__Secret *filled =
	    token_secret_fill(secret, account, SLICE_LIT("CA"), SLICE_LIT("TOKEN"), &c->a);
	if (!filled) {
		buf_str(out, "right\n");
		return;
	}
	script_write(out, "write", &core_v1__secret_schema, &filled->base);
	if (token_secret_lacks_token(secret))
		buf_printf(out, "%s\n", token_secret_claims(secret, account, &c->a));
	assert_null(token_secret_fill(filled, account, SLICE_LIT("CA"), SLICE_EMPTY, &c->a));
}

static void test_script(void **state)
{
	assert_int_equal(script_run(*state, one_case), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_prestate(test_script, (void *)(uintptr_t) "testdata/secrets.txt"),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
