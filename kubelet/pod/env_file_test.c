/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "kubelet/pod/env_file.h"

static void test_values(void **state)
{
	(void)state;
	static const struct {
		const char *text, *key, *value, *error;
	} rows[] = {
	    {"A='1'\nB='two words'\n", "A", "1", NULL},
	    {"A='1'\nB='two words'", "B", "two words", NULL},
	    {"# A='0'\n\n  A='1' # one\n", "A", "1", NULL},
	    {"A='1\n2'\nB='3'\n", "A", "1\n2", NULL},
	    {"A='1\n2'\nB='3'\n", "B", "3", NULL},
	    {"A='1'\nA='2'\n", "A", "2", NULL},
	    {"A=''\n", "A", "", NULL},
	    {"A='1'\n", "a", NULL, NULL},
	    {"", "A", NULL, NULL},
	    {"A=1\n", "A", NULL,
	     "invalid environment variable format at line 1: the value is not in single quotes"},
	    {"A='1\n2'\nB\n", "A", NULL,
	     "invalid environment variable format at line 3: there is no \"=\""},
	    {"A='1\n", "A", NULL,
	     "invalid environment variable format at line 1: a single quote is missing"},
	    {"A='1'x\n", "A", NULL,
	     "invalid environment variable format at line 1: there is text after the value"},
	    {"A=", "A", NULL,
	     "invalid environment variable format at line 1: the value is not in single quotes"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		_cleanup_arena_ struct arena a = {0};
		struct err err = ERR_INIT;
		const char *got = env_file_value(slice_str(rows[i].text), rows[i].key, &a, &err);
		assert_int_equal(!got, !rows[i].value);
		if (got)
			assert_string_equal(got, rows[i].value);
		assert_int_equal(err.code != ERR_OK, rows[i].error != NULL);
		if (rows[i].error)
			assert_string_equal(err.text, rows[i].error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_values)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
