/* SPDX-License-Identifier: Apache-2.0 */
/* Flipped bits: whatever is damaged in a database file, the check ends, and when it finds nothing
 * then every pair is what was written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/base/map.h"
#include "common/base/rng.h"
#include "raftstore/store/store.h"

enum { KEYS = 400, ROUNDS = 1500, PAGE_BYTES = 4096 };

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	return remove(path);
}

/* Keys and values of all lengths, some keys long. */
static void change(struct kv_txn *kv, struct rng *rng)
{
	_cleanup_buf_ struct buf key = BUF_INIT, value = BUF_INIT;
	enum kv_table table = (enum kv_table)rng_below(rng, KV_TABLES);
	uint64_t k = rng_below(rng, KEYS);
	buf_printf(&key, "k%llu", (unsigned long long)k);
	for (uint64_t i = 0; k % 40 == 7 && i < 200; i++)
		buf_str(&key, "long");
	if (rng_below(rng, 4) == 0) {
		int r = kv_del(kv, table, buf_view(&key));
		assert_true(r == 0 || r == -ERR_NOT_FOUND);
		return;
	}
	uint64_t n = rng_below(rng, 10) ? rng_below(rng, 100) : rng_below(rng, 20000);
	for (uint64_t i = 0; i < n; i++)
		buf_byte(&value, (uint8_t)(k + i));
	assert_int_equal(kv_put(kv, table, buf_view(&key), buf_view(&value)), 0);
}

static void build(const char *dir, struct rng *rng)
{
	struct store *s;
	struct err err = ERR_INIT;
	struct store_options o = {.dir = dir, .map_bytes = 1 << 28, .no_sync = true};
	assert_int_equal(store_open(&o, &s, &err), 0);
	for (uint64_t round = 1; round <= 20; round++) {
		struct kv_txn *kv;
		assert_int_equal(store_begin(s, true, &kv), 0);
		for (int i = 0; i < 100; i++)
			change(kv, rng);
		assert_int_equal(store_commit(kv, &err), 0);
		if (round == 18)
			continue;
		assert_int_equal(store_checkpoint_begin(s, (struct store_mark){round, 2}), 0);
		assert_int_equal(store_checkpoint_finish(s, &err), 0);
	}
	store_close(s);
}

struct seen {
	uint64_t hash, pairs;
	bool looked;
};

/* Independent of the order. */
static int look(void *arg, struct kv_txn *kv)
{
	struct seen *s = arg;
	s->looked = true;
	for (int t = 0; t < KV_TABLES; t++) {
		_cleanup_kv_cursor_ struct kv_cursor c;
		assert_int_equal(kv_cursor_open(kv, (enum kv_table)t, &c), 0);
		int r = kv_cursor_seek(&c, SLICE_EMPTY);
		for (; !r; r = kv_cursor_next(&c)) {
			struct slice again;
			assert_int_equal(kv_get(kv, c.table, c.key, &again), 0);
			assert_true(slice_eq(again, c.value));
			uint64_t h = hash_bytes(c.key.data, c.key.len, (uint64_t)t);
			s->hash += hash_bytes(c.value.data, c.value.len, h);
			s->pairs++;
		}
		assert_int_equal(r, -ERR_NOT_FOUND);
	}
	return 0;
}

static void on_problem(void *arg, const char *text)
{
}

static bool check(const char *dir, struct seen *ret)
{
	struct err err = ERR_INIT;
	struct seen s = {0};
	struct store_check c = {.problem = on_problem, .arg = &s};
	int r = store_check(dir, &c, look, &err);
	*ret = s;
	return !r && !c.problems;
}

static void test_flips(void **state)
{
	char dir[] = "/tmp/store-checkXXXXXX", path[64];
	struct rng rng;
	struct seen whole, damaged;
	rng_init(&rng, 5);
	assert_non_null(mkdtemp(dir));
	build(dir, &rng);
	assert_true(check(dir, &whole));
	assert_true(whole.looked && whole.pairs > KEYS);
	snprintf(path, sizeof(path), "%s/db-0000000000000001.mdb", dir);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	off_t size = lseek(fd, 0, SEEK_END);
	unsigned found = 0;
	for (int i = 0; i < ROUNDS; i++) {
		/* Half of them hit the head of a page and what leads to its nodes. */
		off_t at = (off_t)rng_below(&rng, (uint64_t)size / PAGE_BYTES) * PAGE_BYTES;
		at += (off_t)rng_below(&rng, i % 2 ? 64 : PAGE_BYTES);
		uint8_t old, new;
		assert_int_equal(pread(fd, &old, 1, at), 1);
		new = old ^ (uint8_t)(1u << rng_below(&rng, 8));
		assert_int_equal(pwrite(fd, &new, 1, at), 1);
		if (check(dir, &damaged)) {
			assert_int_equal(damaged.pairs, whole.pairs);
			assert_true(damaged.hash == whole.hash);
		} else {
			found++;
		}
		assert_int_equal(pwrite(fd, &old, 1, at), 1);
	}
	close(fd);
	assert_true(found > ROUNDS / 10);
	assert_true(check(dir, &damaged));
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_flips)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
