/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/rng.h"
#include "common/base/vec.h"

static void test_err(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	assert_int_equal(err_set(&e, ERR_NOT_FOUND, "pods \"%s\" not found", "a"), -ERR_NOT_FOUND);
	assert_string_equal(e.text, "pods \"a\" not found");
	assert_int_equal(err_prefix(&e, "get"), -ERR_NOT_FOUND);
	assert_string_equal(e.text, "get: pods \"a\" not found");
	assert_int_equal(err_http_status(-ERR_CONFLICT), 409);
	assert_string_equal(err_reason(ERR_INVALID), "Invalid");
	assert_int_equal(err_grpc_status(ERR_NOT_FOUND), 5);
	assert_int_equal(err_set(NULL, ERR_IO, "x"), -ERR_IO);
}

static void test_arena(void **state)
{
	(void)state;
	_cleanup_arena_ struct arena a;
	arena_init(&a);
	char *s = arena_printf(&a, "%d-%s", 7, "x");
	assert_string_equal(s, "7-x");
	uint8_t *big = arena_alloc(&a, 1 << 20);
	memset(big, 1, 1 << 20);
	int *v = arena_array(&a, int, 4);
	int *w = arena_grow(&a, v, 4 * sizeof(int), 1000 * sizeof(int));
	assert_int_equal(w[3], 0);
	arena_limit(&a, a.used_bytes + 64);
	assert_non_null(arena_try_alloc(&a, 64));
	assert_null(arena_try_alloc(&a, 64));
	arena_reset(&a);
	assert_int_equal(a.used_bytes, 0);
}

static void test_map(void **state)
{
	(void)state;
	struct map m;
	map_init(&m, 3);
	for (uintptr_t round = 0; round < 3; round++) {
		for (uintptr_t i = 1; i <= 1000; i++) {
			char k[32];
			snprintf(k, sizeof(k), "key-%zu", (size_t)i);
			assert_null(map_put_str(&m, k, (void *)i));
		}
		assert_int_equal(m.n, 1000);
		assert_ptr_equal(map_get_str(&m, "key-77"), (void *)77);
		size_t seen = 0;
		MAP_FOREACH(&m, it)
		{
			seen++;
			void *value = it->value;
			assert_ptr_equal(map_del(&m, slice_of(it->key, it->key_len)), value);
			break;
		}
		assert_int_equal(seen, 1);
		for (uintptr_t i = 1; i <= 1000; i++) {
			char k[32];
			snprintf(k, sizeof(k), "key-%zu", (size_t)i);
			map_del_str(&m, k);
		}
		assert_int_equal(m.n, 0);
		assert_null(map_get_str(&m, "key-77"));
	}
	map_deinit(&m);
}

static void test_vec_list_buf(void **state)
{
	(void)state;
	VEC(int) v = {0};
	for (int i = 0; i < 100; i++)
		*vec_push(&v) = i;
	vec_remove(&v, 10);
	assert_int_equal(v.at[10], 11);
	assert_int_equal(v.n, 99);
	vec_deinit(&v);

	struct list head, a, b;
	list_init(&head);
	list_add_tail(&head, &a);
	list_add_head(&head, &b);
	assert_ptr_equal(head.next, &b);
	list_del(&b);
	list_del(&b);
	assert_ptr_equal(head.next, &a);
	list_del(&a);
	assert_true(list_empty(&head));

	_cleanup_buf_ struct buf buf = BUF_INIT;
	buf_printf(&buf, "%s", "abc");
	buf_byte(&buf, 'd');
	assert_string_equal((char *)buf.data, "abcd");
	struct blob *bl = blob_dup(buf_view(&buf));
	assert_ptr_equal(blob_ref(bl), bl);
	blob_unref(bl);
	assert_true(slice_eq_str(blob_view(bl), "abcd"));
	blob_unref(bl);
}

static void test_rng(void **state)
{
	(void)state;
	struct rng a, b;
	rng_init(&a, 42);
	rng_init(&b, 42);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(rng_next(&a), rng_next(&b));
		assert_true(rng_below(&a, 7) < 7);
		rng_below(&b, 7);
	}
	char uuid[37], name[6];
	rng_uuid(uuid);
	assert_int_equal(strlen(uuid), 36);
	assert_int_equal(uuid[14], '4');
	rng_name_suffix(name, 5);
	assert_int_equal(strlen(name), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_err),		 cmocka_unit_test(test_arena),
	    cmocka_unit_test(test_map),		 cmocka_unit_test(test_vec_list_buf),
	    cmocka_unit_test(test_rng),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
