/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/mvcc/mvcc.h"

/* Compaction at C keeps, of each key, what a reader at C or later can see: its newest change at or
 * before C, unless that is a deletion before C. A change is superseded by the next one of its key,
 * so it is enough to walk the changes of (previous C, C] in order: each erases the one before it,
 * and itself when it is a deletion. The walk begins at the previous C itself, whose deletions were
 * kept for watchers. The work grows with the changes, not with the keys that live.
 *
 * KV_META "compact walk": main(8) sub(8) of the next change to look at; absent: done. */

#define WALK SLICE_LIT("compact walk")

int mvcc_compact(struct mvcc *m, int64_t revision)
{
	if (revision <= m->compacted)
		return OUTCOME_COMPACTED;
	if (revision > m->revision)
		return OUTCOME_FUTURE_REVISION;
	struct slice v;
	int r = kv_get(m->kv, KV_META, WALK, &v);
	if (r == -ERR_NOT_FOUND) {
		uint8_t b[REVISION_BYTES];
		struct revision from = {m->compacted, 0};
		r = kv_put(m->kv, KV_META, WALK, revision_encode(from, b));
	}
	if (r)
		return r;
	m->compacted = revision;
	return 0;
}

static int erase(struct mvcc *m, struct slice history, struct revision rev)
{
	uint8_t b[REVISION_BYTES];
	int r = kv_del(m->kv, KV_REV, revision_encode(rev, b));
	return r ? r : kv_del(m->kv, KV_HISTORY, history);
}

/* Erases the change before this one of the same key. */
static int erase_previous(struct mvcc *m, struct slice key, int64_t main)
{
	struct slice want = history_key(key, main, &m->history), prefix, found;
	int64_t at;
	struct revision rev;
	_cleanup_buf_ struct buf old = BUF_INIT;
	{
		_cleanup_kv_cursor_ struct kv_cursor c;
		int r = kv_cursor_open(m->kv, KV_HISTORY, &c);
		if (!r)
			r = kv_cursor_seek(&c, want);
		if (r && r != -ERR_NOT_FOUND)
			return r;
		r = kv_cursor_prev(&c);
		if (r)
			return r == -ERR_NOT_FOUND ? 0 : r;
		history_split(want, &prefix, &at);
		if (!history_split(c.key, &found, &at) || c.value.len != 9)
			return -ERR_CORRUPT;
		if (!slice_eq(found, prefix))
			return 0;
		rev = (struct revision){at, (int64_t)get_be64(c.value.data)};
		buf_slice(&old, c.key);
	}
	return erase(m, buf_view(&old), rev);
}

/* The change at or after `at` that compaction has to look at; -ERR_NOT_FOUND: none is left. */
static int walk_find(struct mvcc *m, struct revision *at, bool *ret_deleted, struct buf *key)
{
	_cleanup_kv_cursor_ struct kv_cursor c;
	uint8_t b[REVISION_BYTES];
	struct record rec;
	int r = kv_cursor_open(m->kv, KV_REV, &c);
	if (!r)
		r = kv_cursor_seek(&c, revision_encode(*at, b));
	if (r)
		return r;
	if (!record_decode(c.key, c.value, &rec))
		return -ERR_CORRUPT;
	if (rec.rev.main > m->compacted)
		return -ERR_NOT_FOUND;
	*at = rec.rev;
	*ret_deleted = rec.deleted;
	buf_clear(key);
	buf_slice(key, rec.key);
	return 0;
}

int mvcc_compact_some(struct mvcc *m, unsigned budget, bool *ret_done)
{
	struct slice v;
	struct revision at;
	_cleanup_buf_ struct buf key = BUF_INIT;
	*ret_done = true;
	int r = kv_get(m->kv, KV_META, WALK, &v);
	if (r)
		return r == -ERR_NOT_FOUND ? 0 : r;
	if (!revision_decode(v, &at))
		return -ERR_CORRUPT;
	for (; budget; budget--) {
		bool deleted;
		r = walk_find(m, &at, &deleted, &key);
		if (r == -ERR_NOT_FOUND)
			return kv_del(m->kv, KV_META, WALK);
		if (!r)
			r = erase_previous(m, buf_view(&key), at.main);
		if (!r && deleted && at.main < m->compacted)
			r = erase(m, history_key(buf_view(&key), at.main, &m->history), at);
		if (r)
			return r == -ERR_NOT_FOUND ? -ERR_CORRUPT : r;
		at.sub++;
	}
	*ret_done = false;
	uint8_t b[REVISION_BYTES];
	return kv_put(m->kv, KV_META, WALK, revision_encode(at, b));
}
