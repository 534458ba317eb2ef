/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "apiserver/proxy/page.h"

enum { LINKS = 20000, GZIP_WINDOW = 15 + 16 };

static void rewrite(void *arg, struct slice url, struct buf *out)
{
	buf_str(out, "/p");
	buf_slice(out, url);
}

static void pack(struct slice plain, struct buf *out)
{
	z_stream z = {0};
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY), Z_OK);
	buf_reserve(out, deflateBound(&z, plain.len));
	z.next_in = (Bytef *)(uintptr_t)plain.data;
	z.avail_in = (uInt)plain.len;
	z.next_out = out->data + out->len;
	z.avail_out = (uInt)(out->cap - out->len);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out->len += z.total_out;
	deflateEnd(&z);
}

/* The page as it comes out when it comes in by steps; -1: it is broken. */
static int through(struct slice in, bool gzip, size_t step, struct buf *out, size_t *ret_largest)
{
	struct page p = {.links = {.rewrite = rewrite}, .gzip = gzip};
	int more = 0;
	while (in.len && more >= 0) {
		size_t n = MIN(step, in.len);
		page_add(&p, slice_of(in.data, n), out);
		in = slice_skip(in, n);
		do {
			size_t before = out->len;
			more = page_next(&p, out);
			*ret_largest = MAX(*ret_largest, out->len - before);
		} while (more > 0);
	}
	page_end(&p, out);
	return more;
}

static void test_pages(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf plain = BUF_INIT, want = BUF_INIT, packed = BUF_INIT;
	static const size_t steps[] = {1, 100, 5000, 1 << 20};
	for (int i = 0; i < LINKS; i++) {
		buf_printf(&plain, "<a href=/%d>x</a>\n", i % 10);
		buf_printf(&want, "<a href=/p/%d>x</a>\n", i % 10);
	}
	/* Two members one after the other are one page. */
	pack(slice_of(plain.data, plain.len / 2), &packed);
	pack(slice_skip(buf_view(&plain), plain.len / 2), &packed);
	assert_true(packed.len < plain.len / 20);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		_cleanup_buf_ struct buf a = BUF_INIT, b = BUF_INIT;
		size_t largest = 0;
		assert_int_equal(through(buf_view(&packed), true, steps[i], &a, &largest), 0);
		assert_true(slice_eq(buf_view(&a), buf_view(&want)));
		/* However well it was packed, it comes out in small pieces. */
		assert_true(largest < 64 << 10);
		assert_int_equal(through(buf_view(&plain), false, steps[i], &b, &largest), 0);
		assert_true(slice_eq(buf_view(&b), buf_view(&want)));
	}
}

static void test_broken(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf out = BUF_INIT;
	size_t largest = 0;
	assert_int_equal(through(SLICE_LIT("this is not gzip"), true, 3, &out, &largest), -1);
	assert_int_equal(out.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pages),
	    cmocka_unit_test(test_broken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
