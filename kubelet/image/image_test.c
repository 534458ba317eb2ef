/* SPDX-License-Identifier: Apache-2.0 */
/* Names of images and whose credentials are for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "kubelet/image/keyring.h"
#include "kubelet/image/name.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define BAD_FORMAT "invalid reference format"

static void test_names(void **state)
{
	(void)state;
	static const struct {
		const char *name, *complete, *repository; /* complete NULL: the error's end */
		bool latest;
	} rows[] = {
	    {"busybox", "busybox:latest", "docker.io/library/busybox", true},
	    {"busybox:1.36", "busybox:1.36", "docker.io/library/busybox", false},
	    {"team/app", "team/app:latest", "docker.io/team/app", true},
	    {"localhost/app:latest", "localhost/app:latest", "localhost/app", true},
	    {"127.0.0.1:5000/a/b:2", "127.0.0.1:5000/a/b:2", "127.0.0.1:5000/a/b", false},
	    {"registry.example/a__b/c.d-e---f", "registry.example/a__b/c.d-e---f:latest",
	     "registry.example/a__b/c.d-e---f", true},
	    {"index.docker.io/x", "index.docker.io/x:latest", "docker.io/library/x", true},
	    {"r.example:1/x:t@" DIGEST, "r.example:1/x:t@" DIGEST, "r.example:1/x", false},
	    {"UPPER/x:1", "UPPER/x:1", "UPPER/x", false},
	    {"Busybox", NULL, ": repository name (library/Busybox) must be lowercase", false},
	    {"a.example/Team/x:1", NULL, ": repository name (Team/x) must be lowercase", false},
	    {"", NULL, BAD_FORMAT, false},
	    {"a b", NULL, BAD_FORMAT, false},
	    {"a//b", NULL, BAD_FORMAT, false},
	    {"a/", NULL, BAD_FORMAT, false},
	    {"a:", NULL, BAD_FORMAT, false},
	    {"a:.x", NULL, BAD_FORMAT, false},
	    {"a..b", NULL, BAD_FORMAT, false},
	    {"a___b", NULL, BAD_FORMAT, false},
	    {"a@sha256:short", NULL, BAD_FORMAT, false},
	    {"host.example:port/a", NULL, BAD_FORMAT, false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		_cleanup_arena_ struct arena a = {0};
		struct err err = ERR_INIT;
		const char *complete = image_name_complete(rows[i].name, &a, &err);
		if (!rows[i].complete) {
			assert_null(complete);
			size_t n = strlen(err.text), m = strlen(rows[i].repository);
			assert_true(n > m);
			assert_string_equal(err.text + n - m, rows[i].repository);
			continue;
		}
		assert_non_null(complete);
		assert_string_equal(complete, rows[i].complete);
		assert_string_equal(image_repository(rows[i].name, &a), rows[i].repository);
		assert_int_equal(image_name_is_latest(rows[i].name), rows[i].latest);
	}
}

static void test_keyring(void **state)
{
	(void)state;
	static const char json[] =
	    "{\"auths\":{"
	    "\"127.0.0.1:5000\":{\"username\":\"u1\",\"password\":\"p1\"},"
	    "\"https://127.0.0.1:5000/v1/\":{\"auth\":\"dTI6cDI6eA==\"},"
	    "\"127.0.0.1:5000/team\":{\"username\":\"u3\",\"password\":\"p3\"},"
	    "\"*.example.com\":{\"username\":\"u4\"},"
	    "\"https://index.docker.io/v1/\":{\"username\":\"u5\"}}}";
	static const struct {
		const char *image, *users;
	} rows[] = {
	    {"127.0.0.1:5000/x:1", "u1 u2"},
	    {"127.0.0.1:5000/team/x", "u3 u1 u2"},
	    {"127.0.0.1:5001/x", ""},
	    {"a.example.com/x", "u4"},
	    {"a.b.example.com/x", ""},
	    {"a.example.com:80/x", ""},
	    {"busybox", "u5"},
	    {"localhost/busybox", ""},
	};
	_cleanup_arena_ struct arena a = {0};
	struct keyring k = {0};
	struct err err = ERR_INIT;
	assert_int_equal(keyring_add(&k, slice_str(json), false, &a, &err), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		size_t n;
		const struct registry_auth **list =
		    keyring_lookup(&k, image_repository(rows[i].image, &a), &a, &n);
		const char *users = "";
		for (size_t j = 0; j < n; j++)
			users = arena_printf(&a, "%s%s%s", users, j ? " " : "", list[j]->username);
		assert_string_equal(users, rows[i].users);
	}
	assert_string_equal(k.at[1].password, "p2:x");

	struct keyring old = {0};
	assert_int_equal(
	    keyring_add(&old, slice_str("{\"r.example\":{\"username\":\"u\"}}"), true, &a, &err),
	    0);
	assert_int_equal(old.n, 1);
}

static void test_bad_credentials(void **state)
{
	(void)state;
	static const char *const bad[] = {"{", "[]x", "{\"auths\":{\"r\":{\"auth\":\"!!\"}}}",
	                                  "{\"auths\":{\"r\":{\"auth\":\"bm9jb2xvbg==\"}}}"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		_cleanup_arena_ struct arena a = {0};
		struct keyring k = {0};
		struct err err = ERR_INIT;
		assert_int_not_equal(keyring_add(&k, slice_str(bad[i]), false, &a, &err), 0);
	}
	_cleanup_arena_ struct arena a = {0};
	struct keyring k = {0};
	struct err err = ERR_INIT;
	assert_int_equal(keyring_add(&k, slice_str("{\"auths\":[1]}"), false, &a, &err), 0);
	assert_int_equal(k.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_keyring),
	    cmocka_unit_test(test_bad_credentials),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
