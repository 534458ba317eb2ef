/* SPDX-License-Identifier: Apache-2.0 */
/* Power cuts: between two syncs a file system may have written any sector of what was written
 * since, in any order. The test keeps images of the database file over time, puts together what a
 * disk might hold after a cut, sector by sector, opens the store on it, and finds exactly the last
 * durable checkpoint; then it goes on from there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/base/rng.h"
#include "common/base/vec.h"
#include "raftstore/store/store.h"

enum { KEYS = 300, VALUE_MAX = 9000, SECTOR_BYTES = 512, IMAGES_MAX = 6 };

struct world {
	struct rng rng;
	char dir[64];
	struct store *store;
	uint64_t now[KEYS], durable[KEYS]; /* seeds of the values; 0: no such key */
	uint64_t index;
	struct buf images[IMAGES_MAX]; /* [0]: as it was synced at the last checkpoint */
	size_t n_images;
};

static void path_of(struct world *w, const char *name, char out[400])
{
	snprintf(out, 400, "%s/%s", w->dir, name);
}

/* The one database in the folder. */
static void db_path(struct world *w, char out[400])
{
	DIR *d = opendir(w->dir);
	unsigned found = 0;
	for (struct dirent *e; (e = readdir(d));) {
		size_t n = strlen(e->d_name);
		if (!strncmp(e->d_name, "db-", 3) && !strcmp(e->d_name + n - 4, ".mdb")) {
			path_of(w, e->d_name, out);
			found++;
		}
	}
	closedir(d);
	assert_int_equal(found, 1);
}

static void take_image(struct world *w)
{
	if (w->n_images == IMAGES_MAX)
		return;
	struct buf *b = &w->images[w->n_images++];
	char path[400], chunk[65536];
	db_path(w, path);
	buf_clear(b);
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	for (ssize_t n; (n = read(fd, chunk, sizeof(chunk))) > 0;)
		buf_add(b, chunk, (size_t)n);
	close(fd);
}

/* Each sector as one of the images has it; beyond an image's end: zeros. */
static void put_cut_image(struct world *w)
{
	_cleanup_buf_ struct buf cut = BUF_INIT;
	static const uint8_t zeros[SECTOR_BYTES];
	size_t size = w->images[rng_below(&w->rng, w->n_images)].len;
	size = MAX(size, w->images[0].len);
	uint64_t mood = rng_below(&w->rng, 4); /* how much of what is new has reached the disk */
	for (size_t at = 0; at < size; at += SECTOR_BYTES) {
		size_t i = rng_below(&w->rng, 4) < mood ? rng_below(&w->rng, w->n_images) : 0;
		const struct buf *from = &w->images[i];
		buf_add(&cut, at < from->len ? from->data + at : zeros, SECTOR_BYTES);
	}
	char path[400];
	db_path(w, path);
	int fd = open(path, O_WRONLY | O_TRUNC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, cut.data, cut.len), cut.len);
	close(fd);
}

static struct slice value_of(uint64_t seed, uint8_t *out)
{
	struct rng g;
	rng_init(&g, seed);
	size_t n = rng_below(&g, rng_below(&g, 8) ? 200 : VALUE_MAX);
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(seed + i);
	return slice_of(out, n);
}

static void change(struct world *w)
{
	struct kv_txn *kv;
	struct err err = ERR_INIT;
	assert_int_equal(store_begin(w->store, true, &kv), 0);
	for (uint64_t n = rng_below(&w->rng, 20); n; n--) {
		uint32_t key = (uint32_t)rng_below(&w->rng, KEYS);
		struct slice k = slice_of(&key, sizeof(key));
		uint8_t value[VALUE_MAX];
		if (w->now[key] && rng_below(&w->rng, 3) == 0) {
			assert_int_equal(kv_del(kv, KV_META, k), 0);
			w->now[key] = 0;
			continue;
		}
		w->now[key] = 1 + rng_next(&w->rng) / 2;
		assert_int_equal(kv_put(kv, KV_META, k, value_of(w->now[key], value)), 0);
	}
	if (store_commit(kv, &err))
		fail_msg("%s", err.text);
}

static void open_store(struct world *w)
{
	struct err err = ERR_INIT;
	struct store_options o = {.dir = w->dir, .map_bytes = 1 << 28, .no_sync = true};
	if (store_open(&o, &w->store, &err))
		fail_msg("%s", err.text);
}

static void check_durable(struct world *w)
{
	struct kv_txn *kv;
	assert_int_equal(store_durable(w->store).index, w->index);
	assert_int_equal(store_begin(w->store, false, &kv), 0);
	for (uint32_t key = 0; key < KEYS; key++) {
		struct slice got;
		uint8_t value[VALUE_MAX];
		int r = kv_get(kv, KV_META, slice_of(&key, sizeof(key)), &got);
		assert_int_equal(r, w->durable[key] ? 0 : -ERR_NOT_FOUND);
		if (!r)
			assert_true(slice_eq(got, value_of(w->durable[key], value)));
	}
	store_end(kv);
	memcpy(w->now, w->durable, sizeof(w->now));
}

static void checkpoint(struct world *w)
{
	struct err err = ERR_INIT;
	assert_int_equal(store_checkpoint_begin(w->store, (struct store_mark){++w->index, 1}), 0);
	memcpy(w->durable, w->now, sizeof(w->durable));
	/* The storage thread goes on while the sync runs. */
	for (uint64_t n = rng_below(&w->rng, 4); n; n--)
		change(w);
	w->n_images = 0;
	take_image(w);
	assert_int_equal(store_checkpoint_finish(w->store, &err), 0);
}

static void cut_power(struct world *w)
{
	bool during_checkpoint = rng_below(&w->rng, 3) == 0;
	for (uint64_t n = rng_below(&w->rng, 60); n; n--) {
		change(w);
		if (rng_below(&w->rng, 8) == 0)
			take_image(w);
	}
	/* A checkpoint that has begun and is not durable must change nothing. */
	if (during_checkpoint) {
		struct store_mark mark = {w->index + 1, 1};
		assert_int_equal(store_checkpoint_begin(w->store, mark), 0);
		for (int i = 0; i < 30; i++)
			change(w);
	}
	w->n_images = MIN(w->n_images, (size_t)IMAGES_MAX - 1);
	take_image(w);
	store_close(w->store);
	put_cut_image(w);
	open_store(w);
	check_durable(w);
	w->n_images = 0;
	take_image(w);
}

static void test_power_cuts(void **state)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct world w = {0};
		print_message("seed %llu\n", (unsigned long long)seed);
		rng_init(&w.rng, seed);
		snprintf(w.dir, sizeof(w.dir), "/tmp/crash_test.XXXXXX");
		assert_non_null(mkdtemp(w.dir));
		open_store(&w);
		take_image(&w);
		for (int i = 0; i < 60; i++) {
			for (uint64_t n = rng_below(&w.rng, 3); n; n--) {
				for (uint64_t m = rng_below(&w.rng, 20); m; m--)
					change(&w);
				checkpoint(&w);
			}
			cut_power(&w);
		}
		store_close(w.store);
		DIR *d = opendir(w.dir);
		char path[400];
		for (struct dirent *e; (e = readdir(d));) {
			path_of(&w, e->d_name, path);
			unlink(path);
		}
		closedir(d);
		rmdir(w.dir);
		for (size_t i = 0; i < IMAGES_MAX; i++)
			buf_deinit(&w.images[i]);
	}
}

/* A checkpoint that was damaged is refused, not followed. */
static void test_damaged_checkpoint(void **state)
{
	struct world w = {0};
	struct err err = ERR_INIT;
	char path[400], byte = 0x55;
	snprintf(w.dir, sizeof(w.dir), "/tmp/crash_test.XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	open_store(&w);
	store_close(w.store);
	path_of(&w, "checkpoint", path);
	int fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, &byte, 1, 3000), 1);
	close(fd);
	struct store_options o = {.dir = w.dir, .map_bytes = 1 << 28, .no_sync = true};
	assert_int_equal(store_open(&o, &w.store, &err), -ERR_CORRUPT);
	assert_non_null(strstr(err.text, "wrong checksum"));
	assert_int_equal(truncate(path, 100), 0);
	assert_int_equal(store_open(&o, &w.store, &err), -ERR_CORRUPT);
	unlink(path);
	db_path(&w, path);
	unlink(path);
	strncat(path, "-lock", sizeof(path) - strlen(path) - 1);
	unlink(path);
	rmdir(w.dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_power_cuts),
	    cmocka_unit_test(test_damaged_checkpoint),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
