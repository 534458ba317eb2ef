/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/mvcc/lease.h"
#include "common/base/vec.h"

enum { LEASE_BYTES = 16 };

static bool lease_decode(struct slice key, struct slice value, struct lease *ret)
{
	if (key.len != 8 || value.len != LEASE_BYTES)
		return false;
	ret->id = (int64_t)get_be64(key.data);
	ret->granted_s = (int64_t)get_be64(value.data);
	ret->remaining_s = (int64_t)get_be64(value.data + 8);
	return true;
}

static int lease_write(struct mvcc *m, const struct lease *l)
{
	uint8_t k[8], v[LEASE_BYTES];
	put_be64(k, (uint64_t)l->id);
	put_be64(v, (uint64_t)l->granted_s);
	put_be64(v + 8, (uint64_t)l->remaining_s);
	return kv_put(m->kv, KV_LEASE, slice_of(k, sizeof(k)), slice_of(v, sizeof(v)));
}

int lease_get(struct kv_txn *kv, int64_t id, struct lease *ret)
{
	uint8_t k[8];
	struct slice v;
	put_be64(k, (uint64_t)id);
	int r = kv_get(kv, KV_LEASE, slice_of(k, sizeof(k)), &v);
	if (r)
		return r == -ERR_NOT_FOUND ? OUTCOME_LEASE_NOT_FOUND : r;
	return lease_decode(slice_of(k, sizeof(k)), v, ret) ? 0 : -ERR_CORRUPT;
}

int lease_grant(struct mvcc *m, int64_t id, int64_t granted_s)
{
	struct lease l;
	int r = lease_get(m->kv, id, &l);
	if (r == 0)
		return OUTCOME_LEASE_EXISTS;
	if (r != OUTCOME_LEASE_NOT_FOUND)
		return r;
	return lease_write(m, &(struct lease){.id = id, .granted_s = granted_s});
}

int lease_checkpoint(struct mvcc *m, int64_t id, int64_t remaining_s)
{
	struct lease l;
	int r = lease_get(m->kv, id, &l);
	if (r)
		return r;
	l.remaining_s = remaining_s;
	return lease_write(m, &l);
}

static struct slice lease_key(int64_t id, struct slice key, struct buf *out)
{
	uint8_t b[8];
	put_be64(b, (uint64_t)id);
	buf_clear(out);
	buf_add(out, b, sizeof(b));
	buf_slice(out, key);
	return buf_view(out);
}

int lease_attach(struct mvcc *m, int64_t id, struct slice key)
{
	return kv_put(m->kv, KV_LEASE_KEYS, lease_key(id, key, &m->key), SLICE_EMPTY);
}

int lease_detach(struct mvcc *m, int64_t id, struct slice key)
{
	int r = kv_del(m->kv, KV_LEASE_KEYS, lease_key(id, key, &m->key));
	return r == -ERR_NOT_FOUND ? 0 : r;
}

struct keys {
	struct arena *arena;
	VEC(struct slice) list;
};

static int keys_add(void *arg, struct slice key)
{
	struct keys *k = arg;
	*vec_push(&k->list) = slice_of(arena_memdup(k->arena, key.data, key.len), key.len);
	return 0;
}

int lease_revoke(struct mvcc *m, int64_t id, struct arena *a)
{
	struct lease l;
	int r = lease_get(m->kv, id, &l);
	if (r)
		return r;
	struct keys keys = {.arena = a};
	r = lease_each_key(m->kv, id, keys_add, &keys);
	for (size_t i = 0; !r && i < keys.list.n; i++)
		r = mvcc_delete(m, keys.list.at[i]);
	vec_deinit(&keys.list);
	if (r)
		return r == -ERR_NOT_FOUND ? -ERR_CORRUPT : r;
	uint8_t k[8];
	put_be64(k, (uint64_t)id);
	return kv_del(m->kv, KV_LEASE, slice_of(k, sizeof(k)));
}

int lease_each(struct kv_txn *kv, int (*each)(void *arg, const struct lease *l), void *arg)
{
	_cleanup_kv_cursor_ struct kv_cursor c;
	int r = kv_cursor_open(kv, KV_LEASE, &c);
	if (!r)
		r = kv_cursor_seek(&c, SLICE_EMPTY);
	for (; !r; r = kv_cursor_next(&c)) {
		struct lease l;
		if (!lease_decode(c.key, c.value, &l))
			return -ERR_CORRUPT;
		r = each(arg, &l);
		if (r)
			return r;
	}
	return r == -ERR_NOT_FOUND ? 0 : r;
}

int lease_each_key(struct kv_txn *kv, int64_t id, int (*each)(void *arg, struct slice key),
                   void *arg)
{
	uint8_t prefix[8];
	put_be64(prefix, (uint64_t)id);
	_cleanup_kv_cursor_ struct kv_cursor c;
	int r = kv_cursor_open(kv, KV_LEASE_KEYS, &c);
	if (!r)
		r = kv_cursor_seek(&c, slice_of(prefix, sizeof(prefix)));
	for (; !r; r = kv_cursor_next(&c)) {
		if (!slice_has_prefix(c.key, slice_of(prefix, sizeof(prefix))))
			return 0;
		r = each(arg, slice_skip(c.key, sizeof(prefix)));
		if (r)
			return r;
	}
	return r == -ERR_NOT_FOUND ? 0 : r;
}
