/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include "common/base/buf.h"
#include "common/base/rng.h"
#include "raftstore/bbolt/reader.h"
#include "raftstore/bbolt/writer.h"

static int to_buf(void *arg, struct slice bytes)
{
	buf_slice(arg, bytes);
	return 0;
}

/* The pair of this number: keys ascend, some values take several pages. */
static void pair(unsigned i, size_t value_bytes, char key[16], struct buf *value)
{
	snprintf(key, 16, "key%08u", i);
	buf_clear(value);
	buf_reserve(value, value_bytes);
	memset(value->data, (int)(i % 251), value_bytes);
	value->len = value_bytes;
}

static size_t value_bytes(unsigned i, size_t each)
{
	return i % 97 == 5 ? 3 * each + 9000 : each;
}

static void build(struct buf *out, unsigned n, size_t each)
{
	struct bbolt_writer w;
	_cleanup_buf_ struct buf value = BUF_INIT;
	static uint8_t meta[2 * BBOLT_PAGE_BYTES];
	buf_clear(out);
	buf_add(out, meta, sizeof(meta));
	assert_int_equal(bbolt_writer_init(&w, (struct bbolt_sink){to_buf, out}), 0);
	assert_int_equal(bbolt_bucket_begin(&w, SLICE_LIT("empty")), 0);
	assert_int_equal(bbolt_bucket_end(&w), 0);
	assert_int_equal(bbolt_bucket_begin(&w, SLICE_LIT("full")), 0);
	for (unsigned i = 0; i < n; i++) {
		char key[16];
		pair(i, value_bytes(i, each), key, &value);
		assert_int_equal(bbolt_bucket_put(&w, slice_str(key), buf_view(&value)), 0);
	}
	assert_int_equal(bbolt_bucket_end(&w), 0);
	assert_int_equal(bbolt_writer_finish(&w, meta), 0);
	memcpy(out->data, meta, sizeof(meta));
	bbolt_writer_deinit(&w);
}

struct expect {
	unsigned next;
	size_t each;
	struct buf value;
};

static int on_pair(void *arg, struct slice key, struct slice value)
{
	struct expect *x = arg;
	char text[16];
	pair(x->next, value_bytes(x->next, x->each), text, &x->value);
	assert_true(slice_eq_str(key, text));
	assert_true(slice_eq(value, buf_view(&x->value)));
	x->next++;
	return 0;
}

static void test_round_trip(void **state)
{
	static const struct {
		unsigned n;
		size_t each;
	} sizes[] = {{0, 0}, {1, 0}, {1, 100000}, {50, 10}, {200, 200}, {20000, 3}, {3000, 2000}};
	_cleanup_buf_ struct buf file = BUF_INIT;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		build(&file, sizes[i].n, sizes[i].each);
		struct bbolt db;
		struct bbolt_bucket b;
		assert_int_equal(bbolt_open(&db, buf_view(&file), NULL), 0);
		assert_int_equal(db.pages * db.page_bytes, file.len);
		assert_int_equal(bbolt_find(&db, "missing", &b), -ERR_NOT_FOUND);
		struct expect x = {.each = sizes[i].each};
		assert_int_equal(bbolt_find(&db, "empty", &b), 0);
		assert_int_equal(bbolt_each(&b, on_pair, &x), 0);
		assert_int_equal(x.next, 0);
		assert_int_equal(bbolt_find(&db, "full", &b), 0);
		assert_int_equal(bbolt_each(&b, on_pair, &x), 0);
		assert_int_equal(x.next, sizes[i].n);
		buf_deinit(&x.value);
	}
}

/* Every page but the meta pages and the free list is reached exactly once, and no branch has less
 * than two children: bbolt would trip over it when it deletes. */
static void visit(const struct bbolt *db, uint64_t id, uint8_t *seen)
{
	const uint8_t *p = db->bytes.data + id * db->page_bytes;
	for (uint32_t i = 0; i <= bbolt_get32(p + 12); i++)
		assert_int_equal(seen[id + i]++, 0);
	if (bbolt_get16(p + 8) != BBOLT_BRANCH)
		return;
	unsigned n = bbolt_get16(p + 10);
	assert_true(n >= 2);
	for (unsigned i = 0; i < n; i++)
		visit(db, bbolt_get64(p + BBOLT_PAGE_HEAD_BYTES + 16 * i + 8), seen);
}

static void test_pages(void **state)
{
	_cleanup_buf_ struct buf file = BUF_INIT;
	for (unsigned n = 0; n < 30000; n = n * 5 / 4 + 1) {
		build(&file, n, 1);
		struct bbolt db;
		struct bbolt_bucket b;
		assert_int_equal(bbolt_open(&db, buf_view(&file), NULL), 0);
		_cleanup_(free_p) uint8_t *seen = calloc(1, db.pages);
		visit(&db, db.root, seen);
		assert_int_equal(bbolt_find(&db, "empty", &b), 0);
		visit(&db, b.root, seen);
		assert_int_equal(bbolt_find(&db, "full", &b), 0);
		visit(&db, b.root, seen);
		for (uint64_t i = 3; i < db.pages; i++)
			assert_int_equal(seen[i], 1);
	}
}

static void test_order(void **state)
{
	struct bbolt_writer w;
	_cleanup_buf_ struct buf out = BUF_INIT, large = BUF_INIT;
	assert_int_equal(bbolt_writer_init(&w, (struct bbolt_sink){to_buf, &out}), 0);
	assert_int_equal(bbolt_bucket_begin(&w, SLICE_LIT("b")), 0);
	assert_int_equal(bbolt_bucket_put(&w, SLICE_LIT("k"), SLICE_EMPTY), 0);
	assert_int_equal(bbolt_bucket_put(&w, SLICE_LIT("k"), SLICE_EMPTY), -ERR_INVALID);
	assert_int_equal(bbolt_bucket_put(&w, SLICE_LIT("j"), SLICE_EMPTY), -ERR_INVALID);
	buf_reserve(&large, BBOLT_KEY_MAX_BYTES + 1);
	memset(large.data, 'z', BBOLT_KEY_MAX_BYTES + 1);
	large.len = BBOLT_KEY_MAX_BYTES + 1;
	assert_int_equal(bbolt_bucket_put(&w, buf_view(&large), SLICE_EMPTY), -ERR_LIMIT);
	assert_int_equal(bbolt_bucket_end(&w), 0);
	assert_int_equal(bbolt_bucket_begin(&w, SLICE_LIT("a")), 0);
	assert_int_equal(bbolt_bucket_end(&w), -ERR_INVALID);
	bbolt_writer_deinit(&w);
}

static int on_any_pair(void *arg, struct slice key, struct slice value)
{
	size_t *sum = arg;
	for (size_t i = 0; i < key.len; i++)
		*sum += key.data[i];
	for (size_t i = 0; i < value.len; i++)
		*sum += value.data[i];
	return 0;
}

static int on_any_bucket(void *arg, struct slice name, const struct bbolt_bucket *b)
{
	int r = bbolt_each(b, on_any_pair, arg);
	return r == -ERR_CORRUPT ? 0 : r;
}

/* Flipped and cut bytes are found or harmless; the sanitizers would see a read outside. */
static void test_damage(void **state)
{
	_cleanup_buf_ struct buf file = BUF_INIT;
	build(&file, 2000, 3);
	struct rng rng;
	rng_init(&rng, 7);
	unsigned refused = 0;
	for (unsigned i = 0; i < 3000; i++) {
		size_t len = i % 3 ? file.len : rng_below(&rng, (uint32_t)file.len);
		uint8_t *copy = malloc(len + 1);
		memcpy(copy, file.data, len);
		for (unsigned k = 0; len && k < 1 + i % 4; k++) {
			/* Most of the flips hit a head or an element. */
			size_t page = rng_below(&rng, (uint32_t)(len / BBOLT_PAGE_BYTES + 1));
			size_t at = page * BBOLT_PAGE_BYTES + rng_below(&rng, i % 2 ? 96 : 4096);
			if (at < len)
				copy[at] ^= (uint8_t)(1u << rng_below(&rng, 8));
		}
		struct bbolt db;
		size_t sum = 0;
		int r = bbolt_open(&db, slice_of(copy, len), NULL);
		if (!r)
			r = bbolt_each_bucket(&db, on_any_bucket, &sum);
		assert_true(r == 0 || r == -ERR_CORRUPT);
		refused += r != 0;
		free(copy);
	}
	assert_true(refused > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_pages),
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_damage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
