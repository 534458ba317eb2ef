/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/mvcc/restore.h"
#include "raftstore/mvcc/lease.h"

int mvcc_restore_lease(struct mvcc *m, const struct lease *l)
{
	int r = lease_grant(m, l->id, l->granted_s);
	if (!r && l->remaining_s)
		r = lease_checkpoint(m, l->id, l->remaining_s);
	return r > 0 ? -ERR_CORRUPT : r;
}

/* Moves the key from one lease to another. */
static int move_lease(struct mvcc *m, struct slice key, int64_t from, int64_t to)
{
	struct lease l;
	int r = 0;
	if (from == to)
		return 0;
	if (from)
		r = lease_detach(m, from, key);
	if (r || !to)
		return r;
	r = lease_get(m->kv, to, &l);
	if (r)
		return r > 0 ? 0 : r;
	return lease_attach(m, to, key);
}

int mvcc_restore_change(struct mvcc *m, const struct record *change)
{
	uint8_t rev[REVISION_BYTES], entry[INDEX_BYTES];
	struct index_entry old = {0};
	struct slice v;
	struct record now = *change;
	if (now.deleted)
		now.create = now.version = now.lease = 0;
	else if (now.version <= 0)
		return -ERR_CORRUPT;
	/* Within one main revision the order of the tables decides. */
	if (now.rev.main < m->revision || !now.key.len)
		return -ERR_CORRUPT;
	int r = kv_get(m->kv, KV_INDEX, now.key, &v);
	if (!r && (!index_decode(v, &old) || revision_cmp(old.rev, now.rev) >= 0))
		r = -ERR_CORRUPT;
	if (r && r != -ERR_NOT_FOUND)
		return r;
	now.previous = old.rev;
	r = kv_put(m->kv, KV_REV, revision_encode(now.rev, rev), record_encode(&now, &m->record));
	struct index_entry e = {now.rev, now.create, now.version, now.lease};
	if (!r)
		r = kv_put(m->kv, KV_INDEX, now.key, index_encode(&e, entry));
	if (!r)
		r = move_lease(m, now.key, old.lease, now.lease);
	m->revision = now.rev.main;
	return r;
}

int mvcc_restore_end(struct mvcc *m, int64_t revision, int64_t compacted, bool unfinished)
{
	m->revision = MAX(m->revision, MAX(revision, compacted));
	if (!compacted)
		return 0;
	if (!unfinished) {
		m->compacted = compacted;
		return 0;
	}
	/* All is looked at again: nobody knows how far the erasing has come. */
	m->compacted = 0;
	int r = mvcc_compact(m, compacted);
	return r > 0 ? -ERR_CORRUPT : r;
}
