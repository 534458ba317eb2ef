/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/mvcc/mvcc.h"
#include "raftstore/mvcc/lease.h"

struct key_range key_range_of(struct slice key, struct slice range_end)
{
	struct key_range r = {.key = key, .end = range_end, .has_end = range_end.len > 0};
	r.unbounded = range_end.len == 1 && range_end.data[0] == 0;
	return r;
}

bool key_range_has(const struct key_range *r, struct slice key)
{
	if (!r->has_end)
		return slice_eq(key, r->key);
	return slice_cmp(key, r->key) >= 0 && (r->unbounded || slice_cmp(key, r->end) < 0);
}

/* Does everything of `a` stand before everything of `b`? */
static bool key_range_before(const struct key_range *a, const struct key_range *b)
{
	if (!a->has_end)
		return slice_cmp(a->key, b->key) < 0;
	return !a->unbounded && slice_cmp(a->end, b->key) <= 0;
}

static bool key_range_empty(const struct key_range *r)
{
	return r->has_end && !r->unbounded && slice_cmp(r->key, r->end) >= 0;
}

bool key_range_overlaps(const struct key_range *a, const struct key_range *b)
{
	if (key_range_empty(a) || key_range_empty(b))
		return false;
	return !key_range_before(a, b) && !key_range_before(b, a);
}

int meta_get(struct kv_txn *kv, const char *name, uint64_t *ret)
{
	struct slice v;
	int r = kv_get(kv, KV_META, slice_str(name), &v);
	if (r)
		return r;
	if (v.len != 8)
		return -ERR_CORRUPT;
	*ret = get_be64(v.data);
	return 0;
}

int meta_put(struct kv_txn *kv, const char *name, uint64_t value)
{
	uint8_t b[8];
	put_be64(b, value);
	return kv_put(kv, KV_META, slice_str(name), slice_of(b, sizeof(b)));
}

int mvcc_open(struct mvcc *m, struct kv_txn *kv)
{
	*m = (struct mvcc){.kv = kv, .revision = 1};
	struct slice v;
	int r = kv_get(kv, KV_META, SLICE_LIT("revision"), &v);
	if (r)
		return r == -ERR_NOT_FOUND ? 0 : r;
	if (v.len != REVISION_BYTES)
		return -ERR_CORRUPT;
	m->revision = (int64_t)get_be64(v.data);
	m->compacted = (int64_t)get_be64(v.data + 8);
	return 0;
}

void mvcc_close(struct mvcc *m)
{
	buf_deinit(&m->record);
	buf_deinit(&m->key);
}

int mvcc_save(struct mvcc *m)
{
	uint8_t b[REVISION_BYTES];
	put_be64(b, (uint64_t)m->revision);
	put_be64(b + 8, (uint64_t)m->compacted);
	return kv_put(m->kv, KV_META, SLICE_LIT("revision"), slice_of(b, sizeof(b)));
}

void mvcc_begin(struct mvcc *m)
{
	m->changes = 0;
}

int64_t mvcc_end(struct mvcc *m)
{
	m->revision = mvcc_now(m);
	m->changes = 0;
	return m->revision;
}

static int index_find(struct kv_txn *kv, struct slice key, struct index_entry *ret)
{
	struct slice v;
	int r = kv_get(kv, KV_INDEX, key, &v);
	if (r)
		return r;
	return index_decode(v, ret) ? 0 : -ERR_CORRUPT;
}

int mvcc_record(struct kv_txn *kv, struct revision rev, struct record *ret)
{
	uint8_t b[REVISION_BYTES];
	struct slice k = revision_encode(rev, b), v;
	int r = kv_get(kv, KV_REV, k, &v);
	if (r)
		return r;
	return record_decode(k, v, ret) ? 0 : -ERR_CORRUPT;
}

/* What the index points at must be there. */
static int record_of(struct kv_txn *kv, const struct index_entry *e, struct record *ret)
{
	int r = mvcc_record(kv, e->rev, ret);
	return r == -ERR_NOT_FOUND ? -ERR_CORRUPT : r;
}

int mvcc_get(struct mvcc *m, struct slice key, struct record *ret)
{
	struct index_entry e;
	int r = index_find(m->kv, key, &e);
	if (r)
		return r;
	return e.version ? record_of(m->kv, &e, ret) : -ERR_NOT_FOUND;
}

/* Writes the change after telling the sink. */
static int change_write(struct mvcc *m, const struct record *now, const struct index_entry *old)
{
	int r;
	if (m->sink.change) {
		struct record previous;
		bool tell = old && old->version && m->sink.want_previous;
		r = tell ? record_of(m->kv, old, &previous) : 0;
		if (r)
			return r;
		m->sink.change(m->sink.arg, now, tell ? &previous : NULL);
	}
	uint8_t rev[REVISION_BYTES], entry[INDEX_BYTES];
	r = kv_put(m->kv, KV_REV, revision_encode(now->rev, rev), record_encode(now, &m->record));
	if (r)
		return r;
	m->changes++;
	struct index_entry e = {now->rev, now->create, now->version, now->lease};
	return kv_put(m->kv, KV_INDEX, now->key, index_encode(&e, entry));
}

int mvcc_put(struct mvcc *m, struct slice key, struct slice value, int64_t lease)
{
	struct index_entry old = {0};
	int r = index_find(m->kv, key, &old);
	if (r && r != -ERR_NOT_FOUND)
		return r;
	struct record now = {
	    .rev = {m->revision + 1, m->changes},
	    .previous = old.rev,
	    .create = old.version ? old.create : m->revision + 1,
	    .version = old.version + 1,
	    .lease = lease,
	    .key = key,
	    .value = value,
	};
	r = change_write(m, &now, r ? NULL : &old);
	if (!r && old.lease && old.lease != lease)
		r = lease_detach(m, old.lease, key);
	if (!r && lease && old.lease != lease)
		r = lease_attach(m, lease, key);
	return r;
}

int mvcc_delete(struct mvcc *m, struct slice key)
{
	struct index_entry old;
	int r = index_find(m->kv, key, &old);
	if (r)
		return r;
	if (!old.version)
		return -ERR_NOT_FOUND;
	struct record now = {
	    .rev = {m->revision + 1, m->changes},
	    .previous = old.rev,
	    .deleted = true,
	    .key = key,
	};
	r = change_write(m, &now, &old);
	return !r && old.lease ? lease_detach(m, old.lease, key) : r;
}

int mvcc_check_revision(const struct mvcc *m, int64_t revision)
{
	if (revision > mvcc_now(m))
		return OUTCOME_FUTURE_REVISION;
	if (revision > 0 && revision < m->compacted)
		return OUTCOME_COMPACTED;
	return 0;
}

int mvcc_changes(struct kv_txn *kv, int64_t from, mvcc_emit emit, void *arg)
{
	_cleanup_kv_cursor_ struct kv_cursor c;
	uint8_t b[REVISION_BYTES];
	int r = kv_cursor_open(kv, KV_REV, &c);
	if (!r)
		r = kv_cursor_seek(&c, revision_encode((struct revision){from, 0}, b));
	for (; !r; r = kv_cursor_next(&c)) {
		struct record rec;
		if (!record_decode(c.key, c.value, &rec))
			return -ERR_CORRUPT;
		r = emit(arg, &rec);
		if (r)
			return r;
	}
	return r == -ERR_NOT_FOUND ? 0 : r;
}

int mvcc_previous(struct kv_txn *kv, const struct record *change, struct record *ret)
{
	struct record rec;
	if (!change->previous.main)
		return -ERR_NOT_FOUND;
	int r = mvcc_record(kv, change->previous, &rec);
	if (!r && rec.deleted)
		r = -ERR_NOT_FOUND;
	if (!r)
		*ret = rec;
	return r;
}
