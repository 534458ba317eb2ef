/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/sha.h>
#include "common/codec/crc32c.h"
#include "raftstore/store/internal.h"

/* LMDB's keys have at most 511 bytes. A key of up to SHORT_KEY_BYTES is stored as it is. A longer
 * one is stored under its first SHORT_KEY_BYTES bytes and the SHA-256 of all, and its value begins
 * with key length(4) and the key. All long keys with the same first bytes thus stand together,
 * right behind the key that consists of just these bytes, and before everything greater: a bucket.
 * A cursor that comes to a bucket loads and sorts it.
 *
 * Behind each value stands a checksum of table, key and value as they are stored, which every read
 * verifies: LMDB itself has none. */

struct bucket_item {
	struct slice key, value;
};

struct bucket {
	uint8_t prefix[SHORT_KEY_BYTES];
	VEC(struct bucket_item) items;
	size_t at;
	bool last; /* nothing follows the bucket; else the LMDB cursor stands on it */
};

struct lmdb_cursor {
	MDB_cursor *mdb;
	struct bucket *bucket; /* in use when not NULL */
	bool at_end;
};

static struct store_txn *txn_of(struct kv_txn *t)
{
	return CONTAINER_OF(t, struct store_txn, kv);
}

static MDB_dbi dbi_of(struct store_txn *t, enum kv_table table)
{
	return t->store->tables[table];
}

static MDB_val val_of(struct slice s)
{
	return (MDB_val){s.len, (void *)s.data};
}

static struct slice slice_of_val(MDB_val v)
{
	return slice_of(v.mv_data, v.mv_size);
}

int store_error(int code)
{
	switch (code) {
	case 0:
		return 0;
	case MDB_NOTFOUND:
		return -ERR_NOT_FOUND;
	case ENOSPC:
	case EDQUOT:
	case MDB_MAP_FULL:
		return -ERR_NO_SPACE;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
		return -ERR_CORRUPT;
	case MDB_READERS_FULL:
		return -ERR_TOO_MANY_REQUESTS;
	default:
		return -ERR_IO;
	}
}

int store_err(struct err *err, int code, const char *what)
{
	int r = store_error(code);
	return err_set(err, (enum err_code) - r, "%s: %s", what, mdb_strerror(code));
}

struct slice stored_long_key(struct slice key, uint8_t out[SHORT_KEY_BYTES + LONG_HASH_BYTES])
{
	memcpy(out, key.data, SHORT_KEY_BYTES);
	SHA256(key.data, key.len, out + SHORT_KEY_BYTES);
	return slice_of(out, SHORT_KEY_BYTES + LONG_HASH_BYTES);
}

static MDB_val long_key(struct slice key, uint8_t out[SHORT_KEY_BYTES + LONG_HASH_BYTES])
{
	return val_of(stored_long_key(key, out));
}

static uint32_t value_sum(enum kv_table table, struct slice key, struct slice value)
{
	uint8_t t = (uint8_t)table;
	uint32_t crc = crc32c(crc32c(0, &t, 1), key.data, key.len);
	return crc32c(crc, value.data, value.len);
}

bool stored_value(enum kv_table table, struct slice key, struct slice stored, struct slice *ret)
{
	uint32_t sum;
	if (stored.len < sizeof(sum))
		return false;
	struct slice value = slice_of(stored.data, stored.len - sizeof(sum));
	memcpy(&sum, stored.data + value.len, sizeof(sum));
	if (sum != value_sum(table, key, value))
		return false;
	*ret = value;
	return true;
}

bool stored_long(struct slice value, struct slice *ret_key, struct slice *ret_value)
{
	uint32_t n;
	if (value.len < sizeof(n))
		return false;
	memcpy(&n, value.data, sizeof(n));
	if (n > value.len - sizeof(n))
		return false;
	*ret_key = slice_of(value.data + sizeof(n), n);
	*ret_value = slice_skip(value, sizeof(n) + n);
	return true;
}

static int lmdb_get(struct kv_txn *kv, enum kv_table table, struct slice key, struct slice *ret)
{
	struct store_txn *t = txn_of(kv);
	uint8_t b[SHORT_KEY_BYTES + LONG_HASH_BYTES];
	bool is_long = key.len > SHORT_KEY_BYTES;
	MDB_val k = is_long ? long_key(key, b) : val_of(key), v;
	if (!k.mv_size)
		return -ERR_NOT_FOUND;
	int r = mdb_get(t->txn, dbi_of(t, table), &k, &v);
	if (r)
		return store_error(r);
	if (!stored_value(table, slice_of_val(k), slice_of_val(v), ret))
		return -ERR_CORRUPT;
	if (!is_long)
		return 0;
	struct slice full;
	return stored_long(*ret, &full, ret) && slice_eq(full, key) ? 0 : -ERR_CORRUPT;
}

/* Writes value and checksum straight into the page. */
static int put(struct store_txn *t, enum kv_table table, struct slice key, struct slice value)
{
	MDB_val k = val_of(key), v = {.mv_size = value.len + sizeof(uint32_t)};
	uint32_t sum = value_sum(table, key, value);
	if (t->store->noting)
		note_change(&t->notes, table, key);
	/* Revisions only grow: appending fills pages to the brim. */
	unsigned flags = MDB_RESERVE | (table == KV_REV ? MDB_APPEND : 0);
	int r = mdb_put(t->txn, dbi_of(t, table), &k, &v, flags);
	if (r == MDB_KEYEXIST && table == KV_REV)
		r = mdb_put(t->txn, dbi_of(t, table), &k, &v, MDB_RESERVE);
	if (r)
		return store_error(r);
	if (value.len)
		memcpy(v.mv_data, value.data, value.len);
	memcpy((uint8_t *)v.mv_data + value.len, &sum, sizeof(sum));
	return 0;
}

static int lmdb_put(struct kv_txn *kv, enum kv_table table, struct slice key, struct slice value)
{
	struct store_txn *t = txn_of(kv);
	uint8_t b[SHORT_KEY_BYTES + LONG_HASH_BYTES];
	if (key.len <= SHORT_KEY_BYTES)
		return put(t, table, key, value);
	uint32_t n = (uint32_t)key.len;
	buf_clear(&t->scratch);
	buf_add(&t->scratch, &n, sizeof(n));
	buf_slice(&t->scratch, key);
	buf_slice(&t->scratch, value);
	return put(t, table, stored_long_key(key, b), buf_view(&t->scratch));
}

static int lmdb_del(struct kv_txn *kv, enum kv_table table, struct slice key)
{
	struct store_txn *t = txn_of(kv);
	uint8_t b[SHORT_KEY_BYTES + LONG_HASH_BYTES];
	MDB_val k = key.len > SHORT_KEY_BYTES ? long_key(key, b) : val_of(key);
	if (!k.mv_size)
		return -ERR_NOT_FOUND;
	if (t->store->noting)
		note_change(&t->notes, table, slice_of_val(k));
	return store_error(mdb_del(t->txn, dbi_of(t, table), &k, NULL));
}

static int lmdb_cursor_open(struct kv_cursor *c)
{
	struct store_txn *t = txn_of(c->txn);
	struct lmdb_cursor *l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	int r;
	if (t->spare[c->table]) {
		l->mdb = TAKE(t->spare[c->table]);
		r = mdb_cursor_renew(t->txn, l->mdb);
	} else {
		r = mdb_cursor_open(t->txn, dbi_of(t, c->table), &l->mdb);
	}
	l->at_end = true;
	c->state[0] = l;
	return store_error(r);
}

static void bucket_drop(struct lmdb_cursor *l)
{
	if (l->bucket) {
		vec_deinit(&l->bucket->items);
		free(l->bucket);
		l->bucket = NULL;
	}
}

static void lmdb_cursor_close(struct kv_cursor *c)
{
	struct lmdb_cursor *l = c->state[0];
	struct store_txn *t = txn_of(c->txn);
	if (!l)
		return;
	bucket_drop(l);
	if (l->mdb && !t->write && !t->spare[c->table])
		t->spare[c->table] = l->mdb;
	else if (l->mdb)
		mdb_cursor_close(l->mdb);
	free(l);
}

static int item_cmp(const void *a, const void *b)
{
	return slice_cmp(((const struct bucket_item *)a)->key,
	                 ((const struct bucket_item *)b)->key);
}

static bool in_bucket(const uint8_t *prefix, MDB_val k)
{
	return k.mv_size > SHORT_KEY_BYTES && !memcmp(k.mv_data, prefix, SHORT_KEY_BYTES);
}

/* Loads the bucket of this prefix. Leaves the LMDB cursor on what follows. */
static int bucket_load(struct kv_cursor *c, struct lmdb_cursor *l, const uint8_t *prefix)
{
	struct bucket *b = calloc(1, sizeof(*b));
	if (!b)
		abort();
	memcpy(b->prefix, prefix, SHORT_KEY_BYTES);
	l->bucket = b;
	MDB_val k = {SHORT_KEY_BYTES, b->prefix}, v;
	int r = mdb_cursor_get(l->mdb, &k, &v, MDB_SET_RANGE);
	if (!r && k.mv_size == SHORT_KEY_BYTES && !memcmp(k.mv_data, b->prefix, SHORT_KEY_BYTES))
		r = mdb_cursor_get(l->mdb, &k, &v, MDB_NEXT);
	for (; !r && in_bucket(b->prefix, k); r = mdb_cursor_get(l->mdb, &k, &v, MDB_NEXT)) {
		struct bucket_item *item = vec_push(&b->items);
		struct slice value;
		if (!stored_value(c->table, slice_of_val(k), slice_of_val(v), &value) ||
		    !stored_long(value, &item->key, &item->value))
			return -ERR_CORRUPT;
	}
	if (r && r != MDB_NOTFOUND)
		return store_error(r);
	b->last = r == MDB_NOTFOUND;
	if (b->items.n)
		qsort(b->items.at, b->items.n, sizeof(*b->items.at), item_cmp);
	return 0;
}

static int show_bucket(struct kv_cursor *c, struct lmdb_cursor *l)
{
	c->key = l->bucket->items.at[l->bucket->at].key;
	c->value = l->bucket->items.at[l->bucket->at].value;
	return 0;
}

/* The LMDB cursor has moved, `r` being the result: shows where it stands, in the bucket's first or
 * last item when that is a bucket. */
static int land(struct kv_cursor *c, struct lmdb_cursor *l, int r, MDB_val k, MDB_val v,
                bool backward)
{
	if (r) {
		l->at_end = !backward;
		return store_error(r);
	}
	if (k.mv_size <= SHORT_KEY_BYTES) {
		c->key = slice_of_val(k);
		return stored_value(c->table, c->key, slice_of_val(v), &c->value) ? 0
		                                                                  : -ERR_CORRUPT;
	}
	uint8_t prefix[SHORT_KEY_BYTES];
	memcpy(prefix, k.mv_data, sizeof(prefix));
	r = bucket_load(c, l, prefix);
	if (r)
		return r;
	l->bucket->at = backward ? l->bucket->items.n - 1 : 0;
	return show_bucket(c, l);
}

/* Goes on behind the bucket that is loaded. */
static int leave_bucket(struct kv_cursor *c, struct lmdb_cursor *l)
{
	bool last = l->bucket->last;
	bucket_drop(l);
	MDB_val k = {0}, v = {0};
	int r = last ? MDB_NOTFOUND : mdb_cursor_get(l->mdb, &k, &v, MDB_GET_CURRENT);
	return land(c, l, r, k, v, false);
}

static int lmdb_cursor_seek(struct kv_cursor *c, struct slice key)
{
	struct lmdb_cursor *l = c->state[0];
	bucket_drop(l);
	l->at_end = false;
	MDB_val k = val_of(key), v = {0};
	if (key.len <= SHORT_KEY_BYTES) {
		int r = mdb_cursor_get(l->mdb, &k, &v, key.len ? MDB_SET_RANGE : MDB_FIRST);
		return land(c, l, r, k, v, false);
	}
	int r = bucket_load(c, l, key.data);
	if (r)
		return r;
	struct bucket *b = l->bucket;
	while (b->at < b->items.n && slice_cmp(b->items.at[b->at].key, key) < 0)
		b->at++;
	return b->at < b->items.n ? show_bucket(c, l) : leave_bucket(c, l);
}

static int lmdb_cursor_next(struct kv_cursor *c)
{
	struct lmdb_cursor *l = c->state[0];
	if (l->at_end)
		return -ERR_NOT_FOUND;
	if (l->bucket)
		return ++l->bucket->at < l->bucket->items.n ? show_bucket(c, l)
		                                            : leave_bucket(c, l);
	MDB_val k, v;
	int r = mdb_cursor_get(l->mdb, &k, &v, MDB_NEXT);
	return land(c, l, r, k, v, false);
}

static int lmdb_cursor_prev(struct kv_cursor *c)
{
	struct lmdb_cursor *l = c->state[0];
	MDB_val k, v;
	int r;
	if (l->at_end) {
		l->at_end = false;
		r = mdb_cursor_get(l->mdb, &k, &v, MDB_LAST);
		return land(c, l, r, k, v, true);
	}
	if (!l->bucket) {
		r = mdb_cursor_get(l->mdb, &k, &v, MDB_PREV);
		return land(c, l, r, k, v, true);
	}
	if (l->bucket->at > 0) {
		l->bucket->at--;
		return show_bucket(c, l);
	}
	uint8_t prefix[SHORT_KEY_BYTES];
	memcpy(prefix, l->bucket->prefix, sizeof(prefix));
	bucket_drop(l);
	k = (MDB_val){sizeof(prefix), prefix};
	r = mdb_cursor_get(l->mdb, &k, &v, MDB_SET_RANGE);
	if (!r && k.mv_size > SHORT_KEY_BYTES)
		r = mdb_cursor_get(l->mdb, &k, &v, MDB_PREV);
	return land(c, l, r, k, v, true);
}

const struct kv_ops lmdb_ops = {
    .get = lmdb_get,
    .put = lmdb_put,
    .del = lmdb_del,
    .cursor_open = lmdb_cursor_open,
    .cursor_close = lmdb_cursor_close,
    .cursor_seek = lmdb_cursor_seek,
    .cursor_next = lmdb_cursor_next,
    .cursor_prev = lmdb_cursor_prev,
};
