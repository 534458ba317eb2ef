/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Ordered tables of bytes inside a transaction: what MVCC stands on.
 *
 * raftstore/store implements it over LMDB (keys of any length) and in memory (for tests). A
 * transaction is a snapshot; a writing one sees its own writes. Slices that come out live until
 * the transaction ends or writes again, whichever is first: copy what has to stay.
 *
 * Keys order as bytes, a prefix first. Functions return 0, -ERR_NOT_FOUND where said, or the
 * storage's error (-ERR_IO, -ERR_NO_SPACE, -ERR_CORRUPT), after which the transaction can only be
 * aborted. */
#include "common/base/err.h"
#include "common/base/slice.h"

enum kv_table {
	KV_META,
	KV_REV,        /* revision -> record */
	KV_INDEX,      /* key -> where its newest version is, and what is known of it */
	KV_LEASE,      /* lease id -> granted and remaining seconds */
	KV_LEASE_KEYS, /* lease id, key -> nothing */
	KV_TABLES,
};

struct kv_txn;

/* A place in a table. Embed it, open it, close it. `state` is the implementation's. */
struct kv_cursor {
	struct kv_txn *txn;
	enum kv_table table;
	struct slice key, value;
	void *state[4];
};

struct kv_ops {
	int (*get)(struct kv_txn *t, enum kv_table table, struct slice key, struct slice *ret);
	int (*put)(struct kv_txn *t, enum kv_table table, struct slice key, struct slice value);
	int (*del)(struct kv_txn *t, enum kv_table table, struct slice key);
	int (*cursor_open)(struct kv_cursor *c);
	void (*cursor_close)(struct kv_cursor *c);
	int (*cursor_seek)(struct kv_cursor *c, struct slice key);
	int (*cursor_next)(struct kv_cursor *c);
	int (*cursor_prev)(struct kv_cursor *c);
};

struct kv_txn {
	const struct kv_ops *ops;
};

/* -ERR_NOT_FOUND: no such key. */
static inline int kv_get(struct kv_txn *t, enum kv_table table, struct slice key, struct slice *ret)
{
	return t->ops->get(t, table, key, ret);
}
static inline int kv_put(struct kv_txn *t, enum kv_table table, struct slice key,
                         struct slice value)
{
	return t->ops->put(t, table, key, value);
}
/* -ERR_NOT_FOUND: no such key. */
static inline int kv_del(struct kv_txn *t, enum kv_table table, struct slice key)
{
	return t->ops->del(t, table, key);
}

/* A cursor survives writes of its transaction only in so far as it must be sought again. */
static inline int kv_cursor_open(struct kv_txn *t, enum kv_table table, struct kv_cursor *c)
{
	*c = (struct kv_cursor){.txn = t, .table = table};
	return t->ops->cursor_open(c);
}
static inline void kv_cursor_close(struct kv_cursor *c)
{
	if (c->txn)
		c->txn->ops->cursor_close(c);
	c->txn = NULL;
}
#define _cleanup_kv_cursor_ _cleanup_(kv_cursor_close)
/* The first key at or after `key`; -ERR_NOT_FOUND: none, and kv_cursor_prev gives the last one. */
static inline int kv_cursor_seek(struct kv_cursor *c, struct slice key)
{
	return c->txn->ops->cursor_seek(c, key);
}
/* -ERR_NOT_FOUND: the end. */
static inline int kv_cursor_next(struct kv_cursor *c)
{
	return c->txn->ops->cursor_next(c);
}
static inline int kv_cursor_prev(struct kv_cursor *c)
{
	return c->txn->ops->cursor_prev(c);
}
