/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/endpoints/list_options.h"
#include "common/codec/base64.h"

#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

static struct arena A;

static struct request request(void)
{
	struct request r = {.arena = &A};

	r.options.resource_version = r.options.resource_version_match = "";
	r.options.continue_token = "";
	return r;
}

static const char *token_of(const char *json)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	base64url_encode(slice_str(json), &b);
	return arena_strndup(&A, b.data, b.len);
}

static void test_tokens(void **state)
{
	struct slice start;
	int64_t rv;
	char *t = continue_encode(&A, 123, SLICE_LIT("ns/c1"));

	assert_null(continue_decode(&A, t, &rv, &start));
	assert_int_equal(rv, 123);
	assert_true(slice_eq(start, slice_of("ns/c1", 6)));
	assert_null(continue_decode(&A, continue_encode_from(&A, -1, start), &rv, &start));
	assert_int_equal(rv, -1);
	assert_true(slice_eq(start, slice_of("ns/c1", 6)));
	/* One that upstream made. */
	assert_null(continue_decode(
	    &A, token_of("{\"v\":\"meta.k8s.io/v1\",\"rv\":-1,\"start\":\"a\\u0000\"}"), &rv,
	    &start));
	assert_int_equal(rv, -1);
	assert_true(slice_eq(start, slice_of("a", 2)));
}

static void test_bad_tokens(void **state)
{
	static const char *const bad[] = {
	    "{\"v\":\"meta.k8s.io/v1\",\"rv\":0,\"start\":\"a\"}",
	    "{\"v\":\"meta.k8s.io/v1\",\"rv\":5,\"start\":\"\"}",
	    "{\"v\":\"meta.k8s.io/v1\",\"rv\":5,\"start\":\"../secrets\"}",
	    "{\"v\":\"meta.k8s.io/v1\",\"rv\":5,\"start\":\"a/../../b\"}",
	    "{\"v\":\"meta.k8s.io/v1\",\"rv\":5}",
	    "{\"v\":\"v2\",\"rv\":5,\"start\":\"a\"}",
	    "[]",
	    "",
	};
	struct slice start;
	int64_t rv;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *why = continue_decode(&A, token_of(bad[i]), &rv, &start);

		if (!why || strncmp(why, "invalid continue token: ", 24) != 0)
			fail_msg("%s: %s", bad[i], why ? why : "accepted");
	}
	assert_non_null(continue_decode(&A, "!!", &rv, &start));
}

static void test_plans(void **state)
{
	static const struct {
		const char *rv, *match;
		int64_t limit;
		enum list_mode mode;
		int64_t want_limit;
	} cases[] = {
	    {"", "", 0, LIST_FRESH, 0},
	    {"", "", 5, LIST_FRESH, 5},
	    {"", "", -1, LIST_FRESH, 0},
	    {"0", "", 5, LIST_ANY, 0},
	    {"0", "NotOlderThan", 0, LIST_ANY, 0},
	    {"7", "", 0, LIST_NOT_OLDER, 0},
	    {"7", "", 5, LIST_EXACT, 5},
	    {"7", "NotOlderThan", 5, LIST_NOT_OLDER, 5},
	    {"7", "Exact", 0, LIST_EXACT, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct request r = request();
		struct list_plan p;

		r.options.resource_version = cases[i].rv;
		r.options.resource_version_match = cases[i].match;
		r.options.limit = cases[i].limit;
		assert_null(list_plan_of(&r, &p));
		assert_int_equal(p.mode, cases[i].mode);
		assert_int_equal(p.limit, cases[i].want_limit);
		assert_int_equal(p.revision, strtoll(cases[i].rv, NULL, 10));
	}
}

static void test_refusals(void **state)
{
	struct request r = request();
	const struct status *s;
	struct list_plan p;

	r.options.resource_version = "abc";
	s = list_plan_of(&r, &p);
	assert_int_equal(s->code, 400);
	r.options.resource_version = "99999999999999999999";
	assert_int_equal(list_plan_of(&r, &p)->code, 400);
	r.options.resource_version = "5";
	r.options.continue_token = continue_encode(&A, 5, SLICE_LIT("a"));
	s = list_plan_of(&r, &p);
	assert_string_equal(s->message,
	                    "specifying resource version is not allowed when using continue");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_tokens),
	    cmocka_unit_test(test_bad_tokens),
	    cmocka_unit_test(test_plans),
	    cmocka_unit_test(test_refusals),
	};
	int r;

	arena_init(&A);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	arena_deinit(&A);
	return r;
}
