/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The state machine's tables in LMDB, and how they survive a crash without a sync a commit.
 *
 * Commits are not synced. A checkpoint makes one transaction T durable: a reader is pinned at T, so
 * that none of its pages is used again; the file is synced; then both meta pages as they were at T
 * go, synced, into the file "checkpoint", which is replaced atomically. Only then the reader of the
 * checkpoint before is let go. When the store is opened, the meta pages are put back as the
 * checkpoint has them, whatever the file system wrote of later transactions; what is missing since
 * comes again from the Raft log, which may be compacted up to the checkpoint's index only.
 *
 * Files: "db-<generation>.mdb" (a sparse map of map_bytes), its "-lock", "checkpoint" (which names
 * the generation); "copy-<number>.tmp" and "received.tmp", snapshots on their way out and in. Mode
 * 0600.
 *
 * -ERR_UNKNOWN of what makes something durable: whether the checkpoint or the one before is on the
 * disk cannot be told; both are good, and the process must end without another transaction.
 *
 * Keys longer than LMDB takes share a bucket under their first bytes: see cursor.c.
 *
 * Threads: transactions that write and checkpoint_begin belong to one thread (the
 * storage thread); checkpoint_finish to one other or the same; reading ones to any, each begun and
 * ended on one thread. */
#include "raftstore/mvcc/kv.h"

struct store;

struct store_options {
	const char *dir;    /* exists */
	uint64_t map_bytes; /* 0: 64 GiB */
	bool no_sync;       /* trust the operating system: for tests */
};

/* -ERR_CORRUPT, -ERR_IO, -ERR_NO_SPACE. Creates an empty store when there is none. */
_must_use_ int store_open(const struct store_options *o, struct store **ret, struct err *err);
/* No transaction is open. Does not checkpoint. */
void store_close(struct store *s);

_must_use_ int store_begin(struct store *s, bool write, struct kv_txn **ret);
/* Ends a writing transaction. On failure (-ERR_NO_SPACE, -ERR_IO) nothing is written. */
_must_use_ int store_commit(struct kv_txn *t, struct err *err);
/* Ends a reading transaction, or abandons a writing one. NULL does nothing. */
void store_end(struct kv_txn *t);
DEFINE_CLEANUP(struct kv_txn, store_end)

struct store_mark {
	uint64_t index, term; /* of the last entry applied */
};

/* The entry that the newest durable checkpoint holds. */
struct store_mark store_durable(struct store *s);
/* Pins what is committed; `mark` says what it holds. -ERR_TOO_MANY_REQUESTS: one is on the way. */
_must_use_ int store_checkpoint_begin(struct store *s, struct store_mark mark);
/* Has the system begin to write what is committed, so that a checkpoint has little to wait for.
 * Any thread; it may take a while. */
void store_write_out(struct store *s);
/* Makes it durable; blocks on the disk. On failure the checkpoint before stays. */
_must_use_ int store_checkpoint_finish(struct store *s, struct err *err);

struct store_sizes {
	uint64_t file_bytes; /* what the tables and free pages take */
	uint64_t used_bytes; /* without free pages */
};
void store_sizes(struct store *s, struct store_sizes *ret);
/* Cheap: file_bytes alone. */
uint64_t store_file_bytes(struct store *s);
/* --- defragmentation: what is live goes into a new file, while transactions go on --- */

/* From now on changes are noted. Storage thread, not while a checkpoint is on the way.
 * -ERR_TOO_MANY_REQUESTS: one is under way, or not durable yet. */
_must_use_ int store_defragment_begin(struct store *s, struct err *err);
/* Makes the new file and brings it nearly up to date. Blocks on the disk; any thread, while the
 * storage thread goes on writing. */
_must_use_ int store_defragment_copy(struct store *s, struct err *err);
/* Brings over the last changes and goes on with the new file; the next checkpoint makes it durable
 * and deletes the old one. Storage thread, not while a checkpoint is on the way.
 * -ERR_TOO_MANY_REQUESTS: a reading transaction is open; with `wait` it is waited for. On any other
 * failure it is as if it had not been begun. */
_must_use_ int store_defragment_end(struct store *s, bool wait, struct err *err);
/* Instead of the end. */
void store_defragment_abort(struct store *s);

/* A compact copy as a file; any thread. */
_must_use_ int store_copy(struct store *s, const char *path, struct err *err);

/* --- snapshots, from one member's store to another's --- */

/* The tables of one moment as bytes: a compact copy in a file. */
struct store_copy;
/* Blocks on the disk; any thread. look(arg, kv) sees that very copy; what it returns below 0 is
 * returned. */
_must_use_ int store_copy_new(struct store *s, int (*look)(void *arg, struct kv_txn *kv), void *arg,
                              struct store_copy **ret, struct err *err);
void store_copy_free(struct store_copy *c);
DEFINE_CLEANUP(struct store_copy, store_copy_free)
uint64_t store_copy_bytes(const struct store_copy *c);
/* Exactly these bytes, which must be within the copy. Any thread. */
_must_use_ int store_copy_read(const struct store_copy *c, uint64_t offset, void *to, size_t len,
                               struct err *err);

/* The file beside the tables that takes the bytes of another member's copy. One thread at a time;
 * it is gone when the store is opened again. -ERR_NO_SPACE, -ERR_IO. */
_must_use_ int store_receive_begin(struct store *s, struct err *err); /* empties it */
_must_use_ int store_receive_write(struct store *s, uint64_t offset, struct slice bytes,
                                   struct err *err);
/* Makes the tables what was received, and durable at `mark`; after a crash at any moment the store
 * is as before or as after. adopt(arg, kv) writes what is this member's own into the received
 * tables first. Storage thread, not while a checkpoint is on the way; waits until reading
 * transactions have ended. -ERR_CORRUPT: these are no tables. On failure all is as before. */
_must_use_ int store_install(struct store *s, struct store_mark mark,
                             int (*adopt)(void *arg, struct kv_txn *kv), void *arg,
                             struct err *err);

/* --- offline --- */

struct store_check {
	struct store_mark mark; /* of the checkpoint */
	uint64_t generation, file_bytes, used_pages, free_pages;
	uint64_t pairs[KV_TABLES];
	uint64_t problems;
	void (*problem)(void *arg, const char *text);
	void *arg;
};
/* Looks at every page of the checkpoint in a store that nobody has open, and at every value's
 * checksum; changes nothing. When all is sound, look(arg, kv) sees the tables: it may get, and go
 * forward with a cursor, which shows keys of more than 479 bytes in no certain order. Errors are
 * those of the checkpoint and of the files. */
_must_use_ int store_check(const char *dir, struct store_check *c,
                           int (*look)(void *arg, struct kv_txn *kv), struct err *err);

/* An in-memory store of the same kind, for tests. One thread; a transaction commits by itself. */
struct kv_txn *memory_store_new(void);
void memory_store_free(struct kv_txn *t);
