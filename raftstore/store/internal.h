/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside of the LMDB store. */
#include <lmdb.h>
#include <pthread.h>
#include "common/base/buf.h"
#include "common/base/vec.h"
#include "raftstore/store/store.h"

enum {
	LONG_HASH_BYTES = 32,
	SHORT_KEY_BYTES = 511 - LONG_HASH_BYTES, /* longer keys go into buckets */
	READERS_MAX = 512,
};

struct store_txn {
	struct kv_txn kv; /* first */
	struct store *store;
	MDB_txn *txn;
	bool write;
	MDB_cursor *spare[KV_TABLES]; /* of a reading transaction, to be used again */
	struct buf scratch;
	struct buf notes; /* what a writing one has changed: see defragment.c */
};

struct pin {
	MDB_txn *txn; /* a reader; NULL: none */
	struct store_mark mark;
	uint8_t *pages;      /* both meta pages */
	uint64_t file_bytes; /* size of the file; it never shrinks */
};

struct store {
	char *dir;
	uint64_t map_bytes;
	bool no_sync;
	size_t page_bytes;
	int dir_fd;
	int received_fd; /* what comes from another member; -1: none */

	pthread_rwlock_t swap; /* read: a transaction is open; write: env is replaced */
	MDB_env *env;
	MDB_dbi tables[KV_TABLES];
	uint64_t generation;
	MDB_env *retired; /* of the generation before, until a checkpoint of this one is durable */
	struct store *fresh; /* the next one, while it is made by a defragmentation */

	pthread_mutex_t lock;
	/* --- under lock --- */
	bool noting; /* changed by the storage thread alone */
	struct buf notes;
	VEC(struct store_txn *) idle; /* reset reading transactions */
	struct pin durable, next;
	/* --- */
};

extern const char *const table_names[KV_TABLES];

#define STORE_RECEIVED "received.tmp"

/* --- store.c --- */
void db_path(const struct store *s, uint64_t generation, const char *suffix, struct buf *out);
int env_open(const struct store *s, const char *path, unsigned flags, MDB_env **ret,
             struct err *err);
int tables_open(MDB_env *env, bool create, MDB_dbi tables[KV_TABLES], struct err *err);
int generation_open(const struct store *s, uint64_t generation, MDB_env **ret, struct err *err);
void txn_free(struct store_txn *t);
/* Deletes the files of a generation. */
void store_remove(const struct store *s, uint64_t generation);
/* Goes on with fresh's environment, which the next checkpoint makes durable. Nothing is open. */
void store_replace(struct store *s, const struct store *fresh);
/* Makes next's environment, whose file is durable, the store's. On failure both are as before. */
int store_swap(struct store *s, struct store *next, struct store_mark mark, struct err *err);
/* Closes, and deletes, what was to be the next generation. */
void store_discard(struct store *s, struct store *next, bool delete);

/* The error of an LMDB or errno code. */
int store_error(int code);
int store_err(struct err *err, int code, const char *what);

/* cursor.c: the kv_ops. */
extern const struct kv_ops lmdb_ops;

/* What stands before the checksum of a stored value; false: it does not check out. */
bool stored_value(enum kv_table table, struct slice key, struct slice stored, struct slice *ret);
/* The key under which a long one is stored. */
struct slice stored_long_key(struct slice key, uint8_t out[SHORT_KEY_BYTES + LONG_HASH_BYTES]);
/* Key and value of a pair whose key is long. */
bool stored_long(struct slice value, struct slice *ret_key, struct slice *ret_value);

/* --- defragment.c --- */
void note_change(struct buf *notes, enum kv_table table, struct slice key);
/* The transaction that has made these notes is committed. */
void notes_commit(struct store *s, struct buf *notes);

/* checkpoint.c */
void pin_release(struct pin *p);
/* Reads both meta pages of the file. */
int meta_pages_read(int fd, size_t page_bytes, uint8_t *pages);
int checkpoint_write(struct store *s, uint64_t generation, const struct pin *p, struct err *err);
/* -ERR_NOT_FOUND: there is none. The pages are malloc'd. */
int checkpoint_read(struct store *s, uint64_t *ret_generation, struct pin *ret, struct err *err);
void db_name(uint64_t generation, char out[32]);
