/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Multi-version keys over ordered tables (etcd's data model): every transaction that changes
 * something gets the next revision, old versions stay readable until compaction.
 *
 * A struct mvcc is a view of one kv_txn. Reading: mvcc_open, then ranges. Writing: for each
 * transaction mvcc_begin, any puts, deletions and ranges (which see them), mvcc_end; before the
 * kv_txn commits, mvcc_save. Returns are 0, an enum outcome, or -ERR_x of the tables. */
#include "common/base/arena.h"
#include "raftstore/mvcc/outcome.h"
#include "raftstore/mvcc/record.h"

/* Told of every change before it is written; slices live during the call. previous is NULL when the
 * key did not exist or nobody wants it. */
struct mvcc_sink {
	void (*change)(void *arg, const struct record *now, const struct record *previous);
	void *arg;
	bool want_previous;
};

struct mvcc {
	struct kv_txn *kv;
	int64_t revision;  /* of the last transaction that changed something; 1: empty store */
	int64_t compacted; /* revisions below are gone; 0: none */
	int64_t changes;   /* of the transaction that runs */
	struct mvcc_sink sink;
	struct buf record, key; /* scratch */
};

/* Keys [key, end); has_end false: the one key; an end of one 0 byte: all from key on. */
struct key_range {
	struct slice key, end;
	bool has_end, unbounded;
};

struct key_range key_range_of(struct slice key, struct slice range_end);
bool key_range_has(const struct key_range *r, struct slice key);
/* Do they share a key? */
bool key_range_overlaps(const struct key_range *a, const struct key_range *b);

int mvcc_open(struct mvcc *m, struct kv_txn *kv);
void mvcc_close(struct mvcc *m);
#define _cleanup_mvcc_ _cleanup_(mvcc_close)
int mvcc_save(struct mvcc *m);

void mvcc_begin(struct mvcc *m);
/* The revision that the running transaction has or would get. */
int64_t mvcc_end(struct mvcc *m);
static inline int64_t mvcc_now(const struct mvcc *m)
{
	return m->revision + (m->changes > 0);
}

/* What the live version of a key is; value lives as the tables' slices. -ERR_NOT_FOUND. */
int mvcc_get(struct mvcc *m, struct slice key, struct record *ret);
/* The lease (0: none) must exist. */
int mvcc_put(struct mvcc *m, struct slice key, struct slice value, int64_t lease);
/* Deletes one key that is there. */
int mvcc_delete(struct mvcc *m, struct slice key);

enum mvcc_order { ORDER_NONE, ORDER_ASCEND, ORDER_DESCEND };
enum mvcc_target { TARGET_KEY, TARGET_VERSION, TARGET_CREATE, TARGET_MOD, TARGET_VALUE };

struct mvcc_range {
	struct key_range keys;
	int64_t limit, revision; /* 0: none, the present */
	enum mvcc_order order;
	enum mvcc_target target;
	bool keys_only, count_only;
	bool sort_limited; /* only as many keys as the limit lets through, and one more, are sorted
	                    */
	int64_t min_mod, max_mod, min_create, max_create; /* 0: none */
	int64_t visit_max; /* more keys than this: MVCC_TOO_MANY_KEYS; 0: no limit */
};

enum { MVCC_TOO_MANY_KEYS = OUTCOMES + 100 };

/* Called for each result in order; 0 or a value that ends the range and that it returns. */
typedef int (*mvcc_emit)(void *arg, const struct record *item);

struct mvcc_range_result {
	int64_t count; /* of all keys in the range, whatever limit and filters leave of them */
	bool more;     /* the limit cut something off */
};

/* COMPACTED, FUTURE_REVISION, MVCC_TOO_MANY_KEYS, or what emit returned. The arena holds what must
 * be sorted. */
int mvcc_range(struct mvcc *m, const struct mvcc_range *q, struct arena *a, mvcc_emit emit,
               void *arg, struct mvcc_range_result *ret);
/* Is the revision readable? 0, COMPACTED or FUTURE_REVISION. */
int mvcc_check_revision(const struct mvcc *m, int64_t revision);

/* Changes from revision.main on, in order: emit gets each until it returns non-zero. */
int mvcc_changes(struct kv_txn *kv, int64_t from, mvcc_emit emit, void *arg);
/* The version before a change; -ERR_NOT_FOUND: none, a deletion, or compacted. */
int mvcc_previous(struct kv_txn *kv, const struct record *change, struct record *ret);
/* One change; -ERR_NOT_FOUND: compacted. */
int mvcc_record(struct kv_txn *kv, struct revision rev, struct record *ret);

/* The revision becomes the oldest readable one. COMPACTED, FUTURE_REVISION. Old versions are then
 * erased piece by piece. */
int mvcc_compact(struct mvcc *m, int64_t revision);
/* Erases for about `budget` changes. *ret_done: nothing is left to erase. */
int mvcc_compact_some(struct mvcc *m, unsigned budget, bool *ret_done);
/* Sets *main, when erasing goes on, to the revision that it looks at next; else leaves it. */
int mvcc_compact_walk(struct mvcc *m, int64_t *main);

/* Named numbers in KV_META; -ERR_NOT_FOUND. */
int meta_get(struct kv_txn *kv, const char *name, uint64_t *ret);
int meta_put(struct kv_txn *kv, const char *name, uint64_t value);

/* etcd's HashKV at a readable revision: equal on all members that have compacted up to the same
 * one. */
int mvcc_hash(struct mvcc *m, int64_t revision, uint32_t *ret);
