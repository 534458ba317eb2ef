/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/vec.h"
#include "common/codec/crc32c.h"
#include "raftstore/mvcc/etcd_form.h"
#include "raftstore/mvcc/mvcc.h"

/* etcd's HashKV: CRC-32C over the bucket's name and the changes in etcd's form, in order: all
 * behind the compacted revision, and before it those that a compaction at `revision` would keep,
 * however far the erasing of old ones has come. A change before it goes when a later one, that is
 * read here, follows it; deletions go as well. */

struct superseded {
	VEC(struct revision) list;
	int64_t compacted, revision;
};

static int add_superseded(void *arg, const struct record *rec)
{
	struct superseded *s = arg;
	if (rec->rev.main > s->revision)
		return 1;
	if (rec->previous.main && rec->previous.main <= s->compacted)
		*vec_push(&s->list) = rec->previous;
	return 0;
}

static int by_revision(const void *a, const void *b)
{
	return revision_cmp(*(const struct revision *)a, *(const struct revision *)b);
}

/* What lies before the compacted revision and is succeeded by something up to `revision`. */
static int superseded_find(struct mvcc *m, struct superseded *s)
{
	int64_t from = m->compacted + 1;
	if (!m->compacted)
		return 0;
	int r = mvcc_compact_walk(m, &from);
	if (!r)
		r = mvcc_changes(m->kv, from, add_superseded, s);
	if (s->list.n)
		qsort(s->list.at, s->list.n, sizeof(*s->list.at), by_revision);
	return r < 0 ? r : 0;
}

struct hasher {
	struct superseded superseded;
	size_t next; /* of the list */
	uint32_t crc;
	struct buf value;
};

static bool is_kept(struct hasher *h, const struct record *rec)
{
	const struct superseded *s = &h->superseded;
	if (rec->rev.main > s->compacted)
		return true;
	while (h->next < s->list.n && revision_cmp(s->list.at[h->next], rec->rev) < 0)
		h->next++;
	bool gone = h->next < s->list.n && !revision_cmp(s->list.at[h->next], rec->rev);
	return !gone && !rec->deleted;
}

static int add_record(void *arg, const struct record *rec)
{
	struct hasher *h = arg;
	if (rec->rev.main > h->superseded.revision)
		return 1;
	if (!is_kept(h, rec))
		return 0;
	uint8_t key[ETCD_REVISION_MAX_BYTES];
	struct slice k = etcd_revision_encode(rec->rev, rec->deleted, key);
	struct slice v = etcd_value_encode(rec, &h->value);
	h->crc = crc32c(crc32c(h->crc, k.data, k.len), v.data, v.len);
	return 0;
}

int mvcc_hash(struct mvcc *m, int64_t revision, uint32_t *ret)
{
	struct hasher h = {
	    .superseded = {.compacted = m->compacted, .revision = revision},
	    .crc = crc32c(0, "key", 3),
	};
	int r = superseded_find(m, &h.superseded);
	if (!r)
		r = mvcc_changes(m->kv, 0, add_record, &h);
	vec_deinit(&h.superseded.list);
	buf_deinit(&h.value);
	*ret = h.crc;
	return r < 0 ? r : 0;
}
