/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "apiserver/proxy/html_links.h"

static void rewrite(void *arg, struct slice url, struct buf *out)
{
	buf_str(out, arg);
	buf_slice(out, url);
}

static void check(const char *in, const char *expected)
{
	/* Whatever the pieces in which the page comes. */
	for (size_t step = 1; step <= strlen(in); step++) {
		_cleanup_buf_ struct buf out = BUF_INIT;
		struct html_links h = {.rewrite = rewrite, .arg = (void *)(uintptr_t) "@"};
		struct slice rest = slice_str(in);
		while (rest.len) {
			size_t n = MIN(step, rest.len);
			html_links_feed(&h, slice_of(rest.data, n), &out);
			rest = slice_skip(rest, n);
		}
		html_links_end(&h, &out);
		buf_byte(&out, 0);
		assert_string_equal((char *)out.data, expected);
	}
}

static void test_links(void **state)
{
	(void)state;
	check("<a href=\"/x\">test</a>", "<a href=\"@/x\">test</a>");
	check("<A class=b HREF='/x' id=c>", "<A class=b HREF='@/x' id=c>");
	check("<a href=/x>t</a><img src = /y alt=\"a > b\"/>",
	      "<a href=@/x>t</a><img src = @/y alt=\"a > b\"/>");
	check("<img src=\"/a\" longdesc=\"/b\">", "<img src=\"@/a\" longdesc=\"@/b\">");
	check("<form action=\"/f\" method=post><input formaction='/g'>",
	      "<form action=\"@/f\" method=post><input formaction='@/g'>");
	check("<script src=\"/s.js\"></script>", "<script src=\"@/s.js\"></script>");
}

static void test_the_rest_stays(void **state)
{
	(void)state;
	static const char *const pages[] = {
	    "",
	    "no tag, 1 < 2 > 0",
	    "<p href=\"/x\">",
	    "<a data-href=\"/x\" href=\"\" href>",
	    "<!-- <a href=\"/x\"> -- > --->",
	    "<script>if (a < b) document.write('<a href=\"/x\">')</script >",
	    "<style></styl><a href=/x></style>",
	    "<title><a href=/x></title>",
	    "<!DOCTYPE html>",
	    "</a href=\"/x\">",
	    "<a href=\"/x",
	    "<",
	};
	for (size_t i = 0; i < ARRAY_LEN(pages); i++)
		check(pages[i], pages[i]);
	check("<!-- -- --><a href=/x>", "<!-- -- --><a href=@/x>");
	check("<script></script><a href=/x>", "<script></script><a href=@/x>");
	check("<script><</script><a href=/x>", "<script><</script><a href=@/x>");
}

static void test_long_tags(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf in = BUF_INIT, out = BUF_INIT;
	struct html_links h = {.rewrite = rewrite, .arg = (void *)(uintptr_t) "@"};
	buf_str(&in, "<a href=\"/x\" title=\"");
	for (int i = 0; i < HTML_TAG_BYTES_MAX; i++)
		buf_byte(&in, 'x');
	buf_str(&in, "\"><b>");
	html_links_feed(&h, buf_view(&in), &out);
	assert_true(h.tag.cap <= 2 * HTML_TAG_BYTES_MAX);
	html_links_end(&h, &out);
	assert_true(slice_eq(buf_view(&in), buf_view(&out)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_links),
	    cmocka_unit_test(test_the_rest_stays),
	    cmocka_unit_test(test_long_tags),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
