/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "apiserver/proxy/target.h"
#include "apiserver/request/request_info.h"

static struct arena arena;

static void test_parse(void **state)
{
	(void)state;
	static const struct {
		const char *id, *scheme, *name, *port;
	} good[] = {
	    {"web", "", "web", ""},           {"web:8080", "", "web", "8080"},
	    {"web:", "", "web", ""},          {"https:web:admin", "https", "web", "admin"},
	    {"http:web:", "http", "web", ""}, {":web:80", "", "web", "80"},
	};
	static const char *const bad[] = {"", ":80", "ftp:web:21", "a:b:c:d", "http::80"};
	struct proxy_target t;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(proxy_target_parse(good[i].id, &arena, &t));
		assert_string_equal(t.scheme, good[i].scheme);
		assert_string_equal(t.name, good[i].name);
		assert_string_equal(t.port, good[i].port);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(proxy_target_parse(bad[i], &arena, &t));
}

static void test_path(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
	    {"/api/v1/namespaces/n/pods/p/proxy", ""},
	    {"/api/v1/namespaces/n/pods/p/proxy/", "/"},
	    {"/api/v1/namespaces/n/pods/p/proxy/a/b", "/a/b"},
	    {"/api/v1/namespaces/n/pods/p/proxy/a/b/", "/a/b/"},
	    {"/api/v1/namespaces/n/services/p/proxy//a//./b", "/a/b"},
	    {"/api/v1/namespaces/n/pods/p/proxy/a/../../../b", "/b"},
	    {"/api/v1/namespaces/n/pods/p/proxy/a/..", "/"},
	    {"/api/v1/nodes/x/proxy/pods", "/pods"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct request req = {.arena = &arena, .method = "GET", .path = cases[i][0]};
		request_info_parse(&req);
		assert_string_equal(req.subresource, "proxy");
		assert_string_equal(proxy_target_path(&req), cases[i][1]);
	}
	assert_string_equal(proxy_target_encode("/a b/\xc3\xa9?#%[x]&=:@", &arena),
	                    "/a%20b/%C3%A9%3F%23%25%5Bx%5D&=:@");
}

static void test_addresses(void **state)
{
	(void)state;
	static const char *const good[] = {"10.0.0.1", "192.168.1.1", "8.8.8.8", "fd00::1",
	                                   "2001:db8::1"};
	static const char *const bad[] = {
	    "",      "127.0.0.1", "0.0.0.0", "224.0.0.1", "169.254.169.254",  "255.255.255.255",
	    "::1",   "::",        "fe80::1", "ff02::1",   "::ffff:127.0.0.1", "localhost",
	    "10.0.0"};
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(proxy_target_allowed(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(proxy_target_allowed(bad[i]));
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
	    cmocka_unit_test(test_parse),
	    cmocka_unit_test(test_path),
	    cmocka_unit_test(test_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, tear_down);
}
