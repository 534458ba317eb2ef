/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Writes a bbolt database from sorted pairs, page after page: each tree grows from its leaves, and
 * of each of its levels one page is in memory, so that memory does not grow with the database.
 *
 * The sink gets all pages from page 2 on in order; the two meta pages, which stand before them, are
 * known at the end. Buckets come in order of their names, pairs in order of their keys. Pages are
 * filled to the brim; no page is free.
 *
 * Functions return 0, -ERR_INVALID (not in order), -ERR_LIMIT (a key of more than 32 KiB, which
 * bbolt does not take), or what the sink returned. */
#include "common/base/buf.h"
#include "common/base/vec.h"
#include "raftstore/bbolt/format.h"

struct bbolt_sink {
	int (*write)(void *arg, struct slice bytes);
	void *arg;
};

enum { BBOLT_LEVELS_MAX = 24 };

struct bbolt_item {
	uint32_t flags;
	size_t key_at, key_len, value_len; /* in the page's data */
	uint64_t child;
};

/* A page in the making. */
struct bbolt_page {
	VEC(struct bbolt_item) items;
	struct buf data;
};

struct bbolt_tree {
	struct bbolt_page levels[BBOLT_LEVELS_MAX]; /* 0: leaves */
	unsigned n;                                 /* levels in use */
	struct buf last_key;
};

struct bbolt_writer {
	struct bbolt_sink sink;
	struct bbolt_tree root, bucket;
	struct buf name, page;
	uint64_t next; /* page */
};

_must_use_ int bbolt_writer_init(struct bbolt_writer *w, struct bbolt_sink sink);
void bbolt_writer_deinit(struct bbolt_writer *w);
_must_use_ int bbolt_bucket_begin(struct bbolt_writer *w, struct slice name);
_must_use_ int bbolt_bucket_put(struct bbolt_writer *w, struct slice key, struct slice value);
_must_use_ int bbolt_bucket_end(struct bbolt_writer *w);
/* Ends the database; `meta` gets the first two pages. */
_must_use_ int bbolt_writer_finish(struct bbolt_writer *w, uint8_t meta[2 * BBOLT_PAGE_BYTES]);
