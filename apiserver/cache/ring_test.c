/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/cache/ring.h"

#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

static const struct cache_ring_limits limits = {
    .events_min = 4, .events_max = 16, .bytes_max = 1 << 20};

static struct cache_object *object(const char *key, int64_t rev, size_t bytes)
{
	struct blob *b = blob_new(bytes);
	struct cache_object *o;

	memset(b->data, 'x', bytes);
	o = cache_object_new(
	    &(struct cache_object_spec){.key = slice_str(key), .mod_revision = rev}, b);
	blob_unref(b);
	return o;
}

static uint64_t append(struct cache_ring *r, int64_t rev, int64_t now_ms, size_t prev_bytes)
{
	struct cache_object *o = object("k", rev, 10), *prev = object("k", rev - 1, prev_bytes);
	struct cache_event *e = cache_event_new(CACHE_MODIFIED, rev, o, prev, 1);
	uint64_t seq = cache_ring_append(r, e, now_ms);

	cache_object_unref(o);
	cache_object_unref(prev);
	cache_event_unref(e);
	return seq;
}

static void test_seek(void **state)
{
	struct cache_ring r;
	uint64_t seq;

	cache_ring_init(&r, &limits, 100);
	assert_false(cache_ring_seek(&r, 99, &seq));
	assert_true(cache_ring_seek(&r, 100, &seq));
	assert_int_equal(seq, 0);
	for (int64_t rev = 110; rev <= 130; rev += 10)
		append(&r, rev, 0, 10);
	append(&r, 130, 0, 10);
	assert_true(cache_ring_seek(&r, 105, &seq) && seq == 0);
	assert_true(cache_ring_seek(&r, 110, &seq) && seq == 1);
	assert_true(cache_ring_seek(&r, 129, &seq) && seq == 2);
	assert_true(cache_ring_seek(&r, 130, &seq) && seq == 4);
	assert_true(cache_ring_seek(&r, 500, &seq) && seq == 4);
	assert_null(cache_ring_get(&r, 4));
	cache_ring_reset(&r, 600);
	assert_false(cache_ring_seek(&r, 599, &seq));
	assert_true(cache_ring_seek(&r, 600, &seq) && seq == 5);
	cache_ring_deinit(&r);
}

/* Young events make it grow; old ones make way. Positions stay what they were. */
static void test_growth(void **state)
{
	struct cache_ring r;
	uint64_t seq;

	cache_ring_init(&r, &limits, 0);
	for (int64_t i = 1; i <= 20; i++)
		assert_int_equal(append(&r, i, i, 10), (uint64_t)i - 1);
	assert_int_equal(r.cap, 16);
	assert_int_equal(r.next - r.first, 16);
	assert_int_equal(r.floor_revision, 4);
	assert_int_equal(cache_ring_get(&r, r.first)->revision, 5);
	assert_false(cache_ring_seek(&r, 3, &seq));
	assert_true(cache_ring_seek(&r, 4, &seq) && seq == 4);
	cache_ring_deinit(&r);

	cache_ring_init(&r, &limits, 0);
	for (int64_t i = 1; i <= 20; i++)
		append(&r, i, i * 100000, 10);
	assert_int_equal(r.cap, 4);
	assert_int_equal(r.floor_revision, 16);
	cache_ring_deinit(&r);
}

static void test_bytes(void **state)
{
	struct cache_ring r;
	struct cache_ring_limits small = limits;

	small.bytes_max = 10000;
	cache_ring_init(&r, &small, 0);
	for (int64_t i = 1; i <= 8; i++)
		append(&r, i, i, 3000);
	assert_int_equal(r.next - r.first, 3);
	assert_true(r.bytes <= 10000);
	append(&r, 9, 9, 20000); /* heavier than the ring: it stands alone */
	assert_int_equal(r.next - r.first, 1);
	append(&r, 10, 10, 10);
	assert_int_equal(r.next - r.first, 1);
	cache_ring_deinit(&r);
}

static void test_frames(void **state)
{
	struct cache_object *o = object("k", 5, 10);
	struct cache_event *e = cache_event_new(CACHE_ADDED, 5, o, NULL, 2);
	struct blob *json = blob_dup(SLICE_LIT("json")), *pb = blob_dup(SLICE_LIT("pb"));

	assert_null(cache_event_frame(e, 1));
	cache_event_frame_add(e, 1, json);
	cache_event_frame_add(e, 2, pb);
	assert_ptr_equal(cache_event_frame(e, 1), json);
	assert_ptr_equal(cache_event_frame(e, 2), pb);
	assert_null(cache_event_frame(e, 3));
	cache_event_pass(e);
	assert_ptr_equal(cache_event_frame(e, 1), json);
	cache_event_pass(e);
	assert_null(cache_event_frame(e, 1));
	assert_int_equal(json->refs, 1);
	blob_unref(json);
	blob_unref(pb);
	cache_event_unref(e);
	assert_int_equal(o->refs, 1);
	cache_object_unref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_seek),
	    cmocka_unit_test(test_growth),
	    cmocka_unit_test(test_bytes),
	    cmocka_unit_test(test_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
