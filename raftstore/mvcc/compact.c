/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/mvcc/mvcc.h"

/* Compaction at C keeps, of each key, what a reader at C or later can see: its newest change at or
 * before C, unless that is a deletion before C. A change is superseded by the next one of its key,
 * so it is enough to walk the changes of (previous C, C] in order: each erases the one before it,
 * and itself, with the key's place in the index, when it is a deletion. The walk begins at the
 * previous C itself, whose deletions were kept for watchers. The work grows with the changes, not
 * with the keys that live.
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
	struct revision from = {m->compacted, 0}, at;
	int r = kv_get(m->kv, KV_META, WALK, &v);
	if (!r && !revision_decode(v, &at))
		return -ERR_CORRUPT;
	/* A walk that goes on, but may have passed the deletions that were kept at the previous C.
	 */
	bool behind = !r && revision_cmp(at, from) < 0;
	if (!behind && (!r || r == -ERR_NOT_FOUND)) {
		uint8_t b[REVISION_BYTES];
		r = kv_put(m->kv, KV_META, WALK, revision_encode(from, b));
	}
	if (r)
		return r;
	m->compacted = revision;
	return 0;
}

static int erase(struct mvcc *m, struct revision rev)
{
	uint8_t b[REVISION_BYTES];
	int r = kv_del(m->kv, KV_REV, revision_encode(rev, b));
	return r == -ERR_NOT_FOUND ? 0 : r;
}

/* The key is gone from the index unless it has come back since. */
static int erase_key(struct mvcc *m, struct slice key, struct revision rev)
{
	struct slice v;
	struct index_entry e;
	int r = kv_get(m->kv, KV_INDEX, key, &v);
	if (r)
		return r;
	if (!index_decode(v, &e))
		return -ERR_CORRUPT;
	return revision_cmp(e.rev, rev) ? 0 : kv_del(m->kv, KV_INDEX, key);
}

/* The change at or after `at` that compaction has to look at; -ERR_NOT_FOUND: none is left. */
static int walk_find(struct mvcc *m, struct revision at, struct record *ret)
{
	_cleanup_kv_cursor_ struct kv_cursor c;
	uint8_t b[REVISION_BYTES];
	int r = kv_cursor_open(m->kv, KV_REV, &c);
	if (!r)
		r = kv_cursor_seek(&c, revision_encode(at, b));
	if (r)
		return r;
	if (!record_decode(c.key, c.value, ret))
		return -ERR_CORRUPT;
	if (ret->rev.main > m->compacted)
		return -ERR_NOT_FOUND;
	/* What is erased next may move the bytes of the key. */
	buf_clear(&m->key);
	buf_slice(&m->key, ret->key);
	ret->key = buf_view(&m->key);
	return 0;
}

/* Where it goes on. NOT_FOUND: nothing is to be erased. */
static int walk_read(struct mvcc *m, struct revision *ret)
{
	struct slice v;
	int r = kv_get(m->kv, KV_META, WALK, &v);
	return r || revision_decode(v, ret) ? r : -ERR_CORRUPT;
}

int mvcc_compact_walk(struct mvcc *m, int64_t *main)
{
	struct revision at;
	int r = walk_read(m, &at);
	if (r)
		return r == -ERR_NOT_FOUND ? 0 : r;
	*main = at.main;
	return 0;
}

int mvcc_compact_some(struct mvcc *m, unsigned budget, bool *ret_done)
{
	struct revision at;
	*ret_done = true;
	int r = walk_read(m, &at);
	if (r)
		return r == -ERR_NOT_FOUND ? 0 : r;
	for (; budget; budget--) {
		struct record rec;
		r = walk_find(m, at, &rec);
		if (r == -ERR_NOT_FOUND)
			return kv_del(m->kv, KV_META, WALK);
		if (!r && rec.previous.main)
			r = erase(m, rec.previous);
		if (!r && rec.deleted && rec.rev.main < m->compacted) {
			r = erase_key(m, rec.key, rec.rev);
			if (!r)
				r = erase(m, rec.rev);
		}
		if (r)
			return r == -ERR_NOT_FOUND ? -ERR_CORRUPT : r;
		at = (struct revision){rec.rev.main, rec.rev.sub + 1};
	}
	*ret_done = false;
	uint8_t b[REVISION_BYTES];
	return kv_put(m->kv, KV_META, WALK, revision_encode(at, b));
}
