/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Reads a bbolt database that lies in memory (a mapped file). The bytes may be hostile: every
 * access is checked, keys must ascend, and no walk visits more pages than there are.
 *
 * Slices point into the bytes. Functions return 0, -ERR_CORRUPT, -ERR_NOT_FOUND, or what a callback
 * returned when that was not 0. */
#include "common/base/err.h"
#include "common/base/slice.h"
#include "raftstore/bbolt/format.h"

struct bbolt {
	struct slice bytes;
	size_t page_bytes;
	uint64_t root, pages, transaction;
};

struct bbolt_bucket {
	const struct bbolt *db;
	uint64_t root;
	struct slice inlined; /* its only page, when root is 0 */
};

typedef int (*bbolt_pair)(void *arg, struct slice key, struct slice value);
typedef int (*bbolt_named)(void *arg, struct slice name, const struct bbolt_bucket *b);

_must_use_ int bbolt_open(struct bbolt *db, struct slice bytes, struct err *err);
_must_use_ int bbolt_find(const struct bbolt *db, const char *name, struct bbolt_bucket *ret);
/* In order of the names. */
_must_use_ int bbolt_each_bucket(const struct bbolt *db, bbolt_named each, void *arg);
/* In order of the keys; buckets inside of the bucket are left out. */
_must_use_ int bbolt_each(const struct bbolt_bucket *b, bbolt_pair each, void *arg);
