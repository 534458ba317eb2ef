/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "kubelet/server/auth.h"
#include "kubelet/server/query.h"

static struct arena arena;

static void test_questions(void **state)
{
	(void)state;
	static const struct {
		const char *method, *path, *verb, *first, *second;
	} cases[] = {
	    {"GET", "/pods", "get", "pods", "proxy"},
	    {"GET", "/pods/", "get", "pods", "proxy"},
	    {"GET", "/podsx", "get", "proxy", NULL},
	    {"GET", "/runningpods/", "get", "pods", "proxy"},
	    {"GET", "/healthz/ping", "get", "healthz", "proxy"},
	    {"GET", "/configz", "get", "configz", "proxy"},
	    {"GET", "/stats/summary", "get", "stats", NULL},
	    {"GET", "/metrics/cadvisor", "get", "metrics", NULL},
	    {"GET", "/logs/x", "get", "log", NULL},
	    {"POST", "/checkpoint/a/b/c", "create", "checkpoint", NULL},
	    {"POST", "/exec/a/b/c", "create", "proxy", NULL},
	    {"GET", "/containerLogs/a/b/c", "get", "proxy", NULL},
	    {"HEAD", "/", "get", "proxy", NULL},
	    {"DELETE", "/x", "delete", "proxy", NULL},
	    {"PUT", "/x", "update", "proxy", NULL},
	    {"PATCH", "/x", "patch", "proxy", NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct auth_question q = auth_question_of(cases[i].method, cases[i].path);
		assert_string_equal(q.verb, cases[i].verb);
		assert_int_equal(q.n, cases[i].second ? 2 : 1);
		assert_string_equal(q.subresources[0], cases[i].first);
		if (cases[i].second)
			assert_string_equal(q.subresources[1], cases[i].second);
	}
}

static void test_query(void **state)
{
	(void)state;
	struct query q = query_parse(
	    slice_str("command=ls&command=a+b%26&input=1&output=true&bad=%zz&nul=%00&=x&tty"),
	    &arena);
	char **commands;
	assert_int_equal(query_all(&q, "command", &arena, &commands), 2);
	assert_string_equal(commands[0], "ls");
	assert_string_equal(commands[1], "a b&");
	assert_true(query_is_on(&q, "input"));
	assert_false(query_is_on(&q, "output"));
	assert_null(query_get(&q, "bad"));
	assert_null(query_get(&q, "nul"));
	assert_string_equal(query_get(&q, "tty"), "");
	q = query_parse(SLICE_EMPTY, &arena);
	assert_int_equal(q.n, 0);
}

static int tear_down(void **state)
{
	(void)state;
	arena_deinit(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_questions),
	    cmocka_unit_test(test_query),
	};
	return cmocka_run_group_tests(tests, NULL, tear_down);
}
