/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "common/net/spdy.h"
#include "common/net/spdy_dictionary.h"

/* What the frames in `in` say, one a line. */
static int story(struct slice in, size_t step, struct buf *out)
{
	struct spdy_reader r = {0};
	struct spdy_frame f;
	int code = 0;
	buf_clear(out);
	buf_str(out, "");
	while (in.len && code >= 0) {
		struct slice part = slice_of(in.data, MIN(step, in.len));
		in = slice_skip(in, part.len);
		while ((code = spdy_next(&r, &part, &f, NULL)) > 0) {
			if (f.type == SPDY_DATA) {
				buf_printf(out, "%.*s%s", SLICE_FMT(f.data), f.fin ? "$" : "");
				continue;
			}
			buf_printf(out, "<%d stream %u%s %u", f.type, f.stream_id,
			           f.fin ? " fin" : "", f.number);
			for (size_t i = 0; i < f.n_headers; i++)
				buf_printf(out, " %.*s=%.*s", SLICE_FMT(f.headers[i].name),
				           SLICE_FMT(f.headers[i].value));
			buf_str(out, ">");
		}
	}
	spdy_reader_deinit(&r);
	return code;
}

static void test_dictionary(void **state)
{
	(void)state;
	assert_int_equal(SPDY_DICTIONARY_BYTES, 1423);
	assert_int_equal(adler32(adler32(0, NULL, 0), spdy_dictionary, SPDY_DICTIONARY_BYTES),
	                 0xe3c6a7c2);
}

static void test_written_is_read(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf wire = BUF_INIT, out = BUF_INIT;
	struct spdy_writer w = {0};
	const struct spdy_header type[] = {{SLICE_LIT("streamtype"), SLICE_LIT("stdin")}};
	const struct spdy_header two[] = {{SLICE_LIT("port"), SLICE_LIT("80")},
	                                  {SLICE_LIT("requestid"), SLICE_LIT("0")}};
	spdy_write_headers(&w, &wire, SPDY_SYN_STREAM, 1, false, type, 1);
	spdy_write_headers(&w, &wire, SPDY_SYN_REPLY, 1, false, NULL, 0);
	spdy_write_headers(&w, &wire, SPDY_SYN_STREAM, 3, true, two, 2);
	spdy_write_data(&wire, 1, SLICE_LIT("hello"), false);
	spdy_write_number(&wire, SPDY_PING, 0, 7);
	spdy_write_data(&wire, 1, SLICE_EMPTY, true);
	spdy_write_number(&wire, SPDY_RST_STREAM, 3, SPDY_RST_CANCEL);
	spdy_write_number(&wire, SPDY_WINDOW_UPDATE, 1, 1000);
	spdy_write_number(&wire, SPDY_GOAWAY, 3, 0);
	spdy_writer_deinit(&w);
	for (size_t step = 1; step < wire.len + 1; step++) {
		assert_int_equal(story(buf_view(&wire), step, &out), 0);
		assert_string_equal((char *)out.data,
		                    "<1 stream 1 0 streamtype=stdin><2 stream 1 0>"
		                    "<1 stream 3 fin 0 port=80 requestid=0>hello<6 stream 0 7>$"
		                    "<3 stream 3 5><9 stream 1 1000><7 stream 3 0>");
	}
}

#define HEAD(type, len) "\x80\x03\x00" type "\x00\x00\x00" len
static const struct {
	struct slice in;
	int code;
} faults[] = {
    {{(const uint8_t *)"\x80\x02\x00\x06\x00\x00\x00\x04xxxx", 12}, -ERR_CORRUPT}, /* SPDY/2 */
    {{(const uint8_t *)"\x00\x00\x00\x00\x00\x00\x00\x00", 8}, -ERR_CORRUPT},      /* stream 0 */
    {{(const uint8_t *)"\x80\x03\x00\x06\x00\x01\x00\x00", 8}, -ERR_LIMIT},
    {{(const uint8_t *)HEAD("\x06", "\x02") "xx", 10}, -ERR_CORRUPT},
    {{(const uint8_t *)HEAD("\x03", "\x04") "xxxx", 12}, -ERR_CORRUPT},
    {{(const uint8_t *)HEAD("\x02", "\x08") "\0\0\0\1junk", 16}, -ERR_CORRUPT},
    {{(const uint8_t *)HEAD("\x02", "\x04") "\0\0\0\1", 12}, -ERR_CORRUPT}, /* no block */
    {{(const uint8_t *)HEAD("\x0a", "\x02") "xx", 10}, 0},                  /* unknown */
};

static void test_faults(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf out = BUF_INIT;
	for (size_t i = 0; i < ARRAY_LEN(faults); i++)
		for (size_t step = 1; step <= faults[i].in.len; step++)
			assert_int_equal(story(faults[i].in, step, &out), faults[i].code);
}

/* A block that grows out of all proportion when it is inflated is refused. */
static void test_bomb(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf wire = BUF_INIT, out = BUF_INIT, zeros = BUF_INIT;
	struct spdy_writer w = {0};
	buf_reserve(&zeros, 4 << 20);
	memset(zeros.data, 0, 4 << 20);
	zeros.len = 4 << 20;
	const struct spdy_header big[] = {{SLICE_LIT("x"), buf_view(&zeros)}};
	spdy_write_headers(&w, &wire, SPDY_SYN_STREAM, 1, false, big, 1);
	spdy_writer_deinit(&w);
	assert_true(wire.len < SPDY_CONTROL_BYTES_MAX);
	assert_int_equal(story(buf_view(&wire), wire.len, &out), -ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_dictionary),
	    cmocka_unit_test(test_written_is_read),
	    cmocka_unit_test(test_faults),
	    cmocka_unit_test(test_bomb),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
