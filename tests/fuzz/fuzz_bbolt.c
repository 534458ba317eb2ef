/* SPDX-License-Identifier: Apache-2.0 */
/* Databases of etcd. The input is a file whose meta pages get the right magic numbers and
 * checksums, so that the rest of it is looked at. What is read can be written, and reads back the
 * same. */
#include <assert.h>
#include "common/base/buf.h"
#include "common/base/map.h"
#include "raftstore/bbolt/reader.h"
#include "raftstore/bbolt/writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
	struct bbolt_writer *writer; /* NULL: the second time */
	uint64_t hash;
	struct slice last;
	bool any, skipped;
};

static int on_pair(void *arg, struct slice key, struct slice value)
{
	struct sum *s = arg;
	assert(!s->any || slice_cmp(s->last, key) < 0);
	s->any = true;
	s->last = key;
	if (!key.len || key.len > BBOLT_KEY_MAX_BYTES) {
		s->skipped = true;
		return 0;
	}
	s->hash = hash_bytes(value.data, value.len, hash_bytes(key.data, key.len, s->hash));
	return s->writer ? bbolt_bucket_put(s->writer, key, value) : 0;
}

static int on_bucket(void *arg, struct slice name, const struct bbolt_bucket *b)
{
	struct sum *s = arg;
	s->any = false;
	if (!name.len || name.len > BBOLT_KEY_MAX_BYTES) {
		s->skipped = true;
		return 0;
	}
	if (s->writer)
		assert(bbolt_bucket_begin(s->writer, name) == 0);
	s->hash = hash_bytes(name.data, name.len, s->hash);
	int r = bbolt_each(b, on_pair, s);
	assert(r == 0 || r == -ERR_CORRUPT);
	if (!r && s->writer)
		r = bbolt_bucket_end(s->writer);
	return r;
}

static int to_buf(void *arg, struct slice bytes)
{
	buf_slice(arg, bytes);
	return 0;
}

static void set_meta(uint8_t *file, size_t size, size_t at, uint32_t page_bytes)
{
	if (size < at + BBOLT_PAGE_HEAD_BYTES + BBOLT_META_BYTES)
		return;
	uint8_t *m = file + at + BBOLT_PAGE_HEAD_BYTES;
	bbolt_put32(m, BBOLT_MAGIC);
	bbolt_put32(m + 4, BBOLT_VERSION);
	bbolt_put32(m + 8, page_bytes);
	bbolt_put64(m + BBOLT_META_SUM_AT, bbolt_fnv1a(m, BBOLT_META_SUM_AT));
}

static void check_again(struct buf *file, const struct sum *first)
{
	struct bbolt db;
	struct sum second = {0};
	assert(bbolt_open(&db, buf_view(file), NULL) == 0);
	assert(bbolt_each_bucket(&db, on_bucket, &second) == 0);
	assert(second.hash == first->hash);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *file = malloc(size + 1), meta[2 * BBOLT_PAGE_BYTES] = {0};
	if (size)
		memcpy(file, data, size);
	uint32_t page_bytes = size && data[0] & 1 ? 1024 : 512;
	set_meta(file, size, 0, page_bytes);
	set_meta(file, size, page_bytes, page_bytes);
	struct bbolt db;
	struct bbolt_writer w;
	_cleanup_buf_ struct buf out = BUF_INIT;
	buf_add(&out, meta, sizeof(meta));
	if (!bbolt_open(&db, slice_of(file, size), NULL)) {
		struct sum first = {.writer = &w};
		assert(bbolt_writer_init(&w, (struct bbolt_sink){to_buf, &out}) == 0);
		int r = bbolt_each_bucket(&db, on_bucket, &first);
		assert(r == 0 || r == -ERR_CORRUPT);
		if (!r && !first.skipped) {
			assert(bbolt_writer_finish(&w, meta) == 0);
			memcpy(out.data, meta, sizeof(meta));
			check_again(&out, &first);
		}
		bbolt_writer_deinit(&w);
	}
	free(file);
	return 0;
}
