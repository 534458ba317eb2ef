/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Revisions, and how MVCC's records look in the tables. Integers are big-endian where they are in
 * keys, so that bytes order as numbers, and in values too.
 *
 *   KV_REV       main(8) sub(8) -> flags(1) create(8) version(8) lease(8) previous main(8) sub(8)
 *                                  key length(4) key value
 *   KV_INDEX     key            -> main(8) sub(8) create(8) version(8) lease(8)
 *   KV_LEASE     id(8)          -> granted(8) remaining(8)
 *   KV_LEASE_KEYS id(8) key     -> nothing
 *   KV_META      name           -> eight or sixteen bytes
 *
 * The changes of a key form a chain: the index leads to the newest one, and each tells where the
 * one before it is, unless that has been erased by compaction. */
#include "common/base/buf.h"
#include "raftstore/mvcc/kv.h"

/* The store's time: each transaction that changes something is one main revision; sub counts its
 * changes. */
struct revision {
	int64_t main, sub;
};

enum { REVISION_BYTES = 16, RECORD_HEAD_BYTES = 45, INDEX_BYTES = 40 };
enum record_flags { RECORD_DELETED = 1 };

/* One change of one key. Slices are borrowed. */
struct record {
	struct revision rev;
	struct revision previous; /* the change before this one of the key; main 0: none */
	bool deleted;
	int64_t create, version, lease;
	struct slice key, value;
};

/* The newest version of a key; version 0: it is deleted. */
struct index_entry {
	struct revision rev;
	int64_t create, version, lease;
};

static inline int revision_cmp(struct revision a, struct revision b)
{
	if (a.main != b.main)
		return a.main < b.main ? -1 : 1;
	return (a.sub > b.sub) - (a.sub < b.sub);
}

void put_be64(uint8_t *p, uint64_t v);
uint64_t get_be64(const uint8_t *p);
void put_be32(uint8_t *p, uint32_t v);
uint32_t get_be32(const uint8_t *p);

struct slice revision_encode(struct revision r, uint8_t out[REVISION_BYTES]);
bool revision_decode(struct slice in, struct revision *ret);

/* Each encoder replaces what `out` held. Decoders return false on bytes that no encoder made. */
struct slice record_encode(const struct record *r, struct buf *out);
bool record_decode(struct slice rev, struct slice in, struct record *ret);
struct slice index_encode(const struct index_entry *e, uint8_t out[INDEX_BYTES]);
bool index_decode(struct slice in, struct index_entry *ret);
