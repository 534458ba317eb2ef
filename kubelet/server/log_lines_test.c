/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "kubelet/server/log_lines.h"

static const char file[] = "2026-01-02T03:04:05.000000001Z stdout F one\n"
                           "2026-01-02T03:04:06.5Z stderr P tw\n"
                           "2026-01-02T03:04:06.6Z stderr F o\n"
                           "not a line\n"
                           "2026-01-02T03:04:07Z stdout F \n"
                           "2026-01-02T03:04:08Z stdout F three three\n"
                           "2026-01-02T03:04:09Z stdout F unfinis";

static const size_t unfinished = sizeof("2026-01-02T03:04:09Z stdout F unfinis") - 1;

static void check(const char *query, const char *expected)
{
	struct log_options o;
	struct err err = ERR_INIT;
	_cleanup_buf_ struct buf out = BUF_INIT;
	assert_int_equal(log_options_parse(query, 1767323050, &o, &err), 0);
	int64_t left = o.limit_bytes;
	size_t used = log_lines_write(&o, slice_str(file), &left, &out);
	if (left)
		assert_int_equal(used, sizeof(file) - 1 - unfinished);
	buf_byte(&out, 0);
	assert_string_equal((char *)out.data, expected);
}

static void test_lines(void **state)
{
	(void)state;
	check("", "one\ntwo\n\nthree three\n");
	check("limitBytes=5", "one\nt");
	check("limitBytes=4&timestamps=false", "one\n");
	check("sinceTime=2026-01-02T03:04:07Z", "\nthree three\n");
	check("sinceTime=2026-01-02T03%3A04%3A08Z&timestamps=true",
	      "2026-01-02T03:04:08Z three three\n");
	/* 1767323050 is 03:04:10. */
	check("sinceSeconds=2", "three three\n");
}

static void test_pieces(void **state)
{
	(void)state;
	/* Whatever the pieces in which the file is read, the client sees the same. */
	struct log_options o;
	assert_int_equal(log_options_parse("", 0, &o, NULL), 0);
	for (size_t step = 1; step < sizeof(file); step++) {
		_cleanup_buf_ struct buf in = BUF_INIT;
		_cleanup_buf_ struct buf out = BUF_INIT;
		int64_t left = -1;
		for (size_t at = 0; at < sizeof(file) - 1; at += step) {
			size_t n = sizeof(file) - 1 - at;
			buf_add(&in, file + at, n < step ? n : step);
			size_t used = log_lines_write(&o, buf_view(&in), &left, &out);
			memmove(in.data, in.data + used, in.len - used);
			in.len -= used;
		}
		buf_byte(&out, 0);
		assert_string_equal((char *)out.data, "one\ntwo\n\nthree three\n");
		assert_int_equal(in.len, unfinished);
	}
}

static void test_options(void **state)
{
	(void)state;
	struct log_options o;
	struct err err = ERR_INIT;
	assert_int_equal(log_options_parse("follow=true&previous=1&tailLines=0&x=%zz", 0, &o, &err),
	                 0);
	assert_true(o.follow && o.previous && !o.timestamps && !o.has_since);
	assert_int_equal(o.tail_lines, 0);
	assert_int_equal(o.limit_bytes, -1);
	assert_int_not_equal(log_options_parse("tailLines=-1", 0, &o, &err), 0);
	assert_string_equal(err.text, "tailLines: Invalid value: \"-1\"");
	assert_int_not_equal(log_options_parse("limitBytes=0", 0, &o, &err), 0);
	assert_int_not_equal(log_options_parse("sinceSeconds=x", 0, &o, &err), 0);
	assert_int_not_equal(log_options_parse("sinceTime=yesterday", 0, &o, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_pieces),
	    cmocka_unit_test(test_options),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
