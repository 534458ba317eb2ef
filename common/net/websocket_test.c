/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "common/net/websocket.h"

static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};

/* Feeds bytes `step` at a time and writes what comes out as text: "[1 Hel" begins a text message,
 * "]" ends it, "(9 x)" is a control frame, "!1002" the end. */
static void story(bool server, uint64_t limit, struct slice in, size_t step, struct buf *out)
{
	struct ws_parser *p = calloc(1, sizeof(*p));
	assert_non_null(p);
	p->server = server;
	p->message_bytes = limit;
	buf_clear(out);
	buf_str(out, "");
	for (int r = 0; in.len && r >= 0;) {
		struct slice part = slice_of(in.data, MIN(step, in.len));
		struct ws_piece piece;
		in = slice_skip(in, part.len);
		while ((r = ws_next(p, &part, &piece)) > 0) {
			if (piece.opcode & 8)
				buf_printf(out, "(%d %.*s)", piece.opcode, SLICE_FMT(piece.data));
			else
				buf_printf(out, "%s%.*s%s",
				           !piece.first              ? ""
				           : piece.opcode == WS_TEXT ? "[1 "
				                                     : "[2 ",
				           SLICE_FMT(piece.data), piece.last ? "]" : "");
		}
		if (r < 0)
			buf_printf(out, "!%d", -r);
		else
			assert_int_equal(part.len, 0);
	}
	free(p);
}

#define BYTES(s) slice_of("" s, sizeof(s) - 1)

static const struct {
	bool server;
	struct slice in;
	const char *out;
} cases[] = {
    /* RFC 6455, 5.7 */
    {false, {(const uint8_t *)"\x81\x05Hello", 7}, "[1 Hello]"},
    {true, {(const uint8_t *)"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11}, "[1 Hello]"},
    {false, {(const uint8_t *)"\x01\x03Hel\x80\x02lo", 9}, "[1 Hello]"},
    {false, {(const uint8_t *)"\x89\x05Hello", 7}, "(9 Hello)"},
    /* a ping between fragments; an empty fragment; an empty message */
    {false, {(const uint8_t *)"\x02\x01x\x89\x00\x00\x00\x80\x01y", 11}, "[2 x(9 )y]"},
    {false, {(const uint8_t *)"\x82\x00", 2}, "[2 ]"},
    {false, {(const uint8_t *)"\x02\x00\x80\x00", 4}, "[2 ]"},
    {false, {(const uint8_t *)"\x88\x02\x03\xe8", 4}, "(8 \x03\xe8)"},
    /* faults */
    {true, {(const uint8_t *)"\x81\x05Hello", 7}, "!1002"},
    {false, {(const uint8_t *)"\x81\x85\x37\xfa\x21\x3d", 6}, "!1002"},
    {false, {(const uint8_t *)"\xc1\x00", 2}, "!1002"},
    {false, {(const uint8_t *)"\x83\x00", 2}, "!1002"},
    {false, {(const uint8_t *)"\x8b\x00", 2}, "!1002"},
    {false, {(const uint8_t *)"\x80\x00", 2}, "!1002"},
    {false, {(const uint8_t *)"\x01\x01x\x81\x01y", 6}, "[1 x!1002"},
    {false, {(const uint8_t *)"\x09\x00", 2}, "!1002"},
    {false, {(const uint8_t *)"\x89\x7e\x00\x7e", 4}, "!1002"},
    {false, {(const uint8_t *)"\x82\x7e\x00\x7d", 4}, "!1002"},
    {false, {(const uint8_t *)"\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff", 10}, "!1002"},
    {false, {(const uint8_t *)"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", 10}, "!1002"},
    /* more than the 10 bytes that are allowed */
    {false, {(const uint8_t *)"\x82\x0b", 2}, "!1009"},
    {false, {(const uint8_t *)"\x02\x01x\x80\x0a", 5}, "[2 x!1009"},
};

static void test_frames(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf out = BUF_INIT;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t step = 1; step <= cases[i].in.len; step++) {
			story(cases[i].server, 10, cases[i].in, step, &out);
			/* Pieces depend on how the bytes came; their sum does not. */
			assert_string_equal((char *)out.data, cases[i].out);
		}
	}
}

static void test_written_is_read(void **state)
{
	(void)state;
	static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536, 100000};
	_cleanup_buf_ struct buf plain = BUF_INIT, wire = BUF_INIT, got = BUF_INIT;
	struct ws_parser *p = calloc(1, sizeof(*p));
	struct ws_piece piece;
	assert_non_null(p);
	for (int i = 0; i < 100000; i++)
		buf_byte(&plain, (uint8_t)(i * 7));
	for (size_t i = 0; i < 2 * ARRAY_LEN(sizes); i++) {
		struct slice data = slice_of(plain.data, sizes[i / 2]);
		memset(p, 0, sizeof(*p));
		p->server = i % 2;
		buf_clear(&wire);
		buf_clear(&got);
		ws_frame(&wire, WS_BINARY, true, data, p->server ? key : NULL);
		struct slice in = buf_view(&wire);
		bool last = false;
		while (ws_next(p, &in, &piece) > 0) {
			buf_slice(&got, piece.data);
			last = piece.last;
		}
		assert_true(last);
		assert_true(slice_eq(buf_view(&got), data));
	}
	free(p);
}

static void test_close(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf b = BUF_INIT;
	ws_close_frame(&b, WS_CLOSE_NORMAL, "bye", NULL);
	assert_true(slice_eq(buf_view(&b), BYTES("\x88\x05\x03\xe8"
	                                         "bye")));
	buf_clear(&b);
	ws_close_frame(&b, WS_CLOSE_NO_STATUS, "", NULL);
	assert_true(slice_eq(buf_view(&b), BYTES("\x88\x00")));
	assert_int_equal(ws_close_code(BYTES("\x03\xe8"
	                                     "bye")),
	                 1000);
	assert_int_equal(ws_close_code(SLICE_EMPTY), WS_CLOSE_NO_STATUS);
	assert_int_equal(ws_close_code(BYTES("\x03")), 0);
	assert_int_equal(ws_close_code(BYTES("\x03\xed")), 0); /* 1005 is never sent */
	assert_int_equal(ws_close_code(BYTES("\x0f\xa0")), 4000);
}

static void test_handshake(void **state)
{
	(void)state;
	char accept[WS_ACCEPT_BYTES];
	ws_accept(slice_str("dGhlIHNhbXBsZSBub25jZQ=="), accept);
	assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	assert_true(ws_key_valid(slice_str("dGhlIHNhbXBsZSBub25jZQ==")));
	assert_false(ws_key_valid(slice_str("dGhlIHNhbXBsZSBub25jZQ=")));
	assert_false(ws_key_valid(slice_str("dGhlIHNhbXBsZSBub25!ZQ==")));
	assert_false(ws_key_valid(slice_str("dGhlIHNhbXBsZSBub25jZQAA")));
	assert_true(ws_has_token(slice_str("keep-alive, Upgrade"), "upgrade"));
	assert_false(ws_has_token(slice_str("upgrades,up"), "upgrade"));
	assert_false(ws_has_token(SLICE_EMPTY, "upgrade"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_frames),
	    cmocka_unit_test(test_written_is_read),
	    cmocka_unit_test(test_close),
	    cmocka_unit_test(test_handshake),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
