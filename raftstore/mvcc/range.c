/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/vec.h"
#include "raftstore/mvcc/mvcc.h"

struct range_run {
	struct mvcc *m;
	const struct mvcc_range *q;
	struct arena *arena;
	mvcc_emit emit;
	void *arg;
	int64_t revision, count, emitted;
	bool collect; /* results are sorted or filtered before the limit counts */
	bool values;
	struct {
		struct record *at;
		size_t n, cap;
	} kept; /* in the arena */
};

static bool range_is_sorted(const struct mvcc_range *q)
{
	return q->target == TARGET_KEY ? q->order == ORDER_DESCEND : true;
}

static bool range_is_filtered(const struct mvcc_range *q)
{
	return q->min_mod || q->max_mod || q->min_create || q->max_create;
}

static bool range_takes(const struct mvcc_range *q, const struct record *rec)
{
	return !(q->min_mod && rec->rev.main < q->min_mod) &&
	       !(q->max_mod && rec->rev.main > q->max_mod) &&
	       !(q->min_create && rec->create < q->min_create) &&
	       !(q->max_create && rec->create > q->max_create);
}

static void range_keep(struct range_run *run, const struct record *rec, bool copy_key)
{
	if (run->kept.n == run->kept.cap) {
		size_t cap = MAX(run->kept.cap * 2, (size_t)64);
		run->kept.at =
		    arena_grow(run->arena, run->kept.at, run->kept.cap * sizeof(*run->kept.at),
		               cap * sizeof(*run->kept.at));
		run->kept.cap = cap;
	}
	struct record *r = &run->kept.at[run->kept.n++];
	*r = *rec;
	if (copy_key)
		r->key.data = arena_memdup(run->arena, rec->key.data, rec->key.len);
}

/* One live key of the range; `rec` lacks its value when that stands in KV_REV. */
static int range_item(struct range_run *run, struct record *rec, bool has_value)
{
	const struct mvcc_range *q = run->q;
	run->count++;
	if (q->count_only || (!run->collect && q->limit > 0 && run->emitted >= q->limit))
		return 0;
	if (q->sort_limited && q->limit > 0 && !range_is_filtered(q) &&
	    run->kept.n > (size_t)q->limit)
		return 0;
	bool borrowed_key = true;
	if (run->values && !has_value && !(run->collect && !range_takes(q, rec))) {
		uint8_t b[REVISION_BYTES];
		struct slice k = revision_encode(rec->rev, b), v;
		int r = kv_get(run->m->kv, KV_REV, k, &v);
		if (r)
			return r == -ERR_NOT_FOUND ? -ERR_CORRUPT : r;
		if (!record_decode(k, v, rec))
			return -ERR_CORRUPT;
		borrowed_key = false;
	}
	if (run->collect) {
		if (range_takes(q, rec))
			range_keep(run, rec, borrowed_key);
		return 0;
	}
	run->emitted++;
	if (q->keys_only)
		rec->value = SLICE_EMPTY;
	return run->emit(run->arg, rec);
}

/* Follows the chain of a key's changes from the newest one to the one at `revision`.
 * -ERR_NOT_FOUND: the key was not there. */
static int change_at(struct kv_txn *kv, struct revision newest, int64_t revision,
                     struct record *ret)
{
	ret->previous = newest;
	do {
		struct revision at = ret->previous;
		if (!at.main)
			return -ERR_NOT_FOUND;
		int r = mvcc_record(kv, at, ret);
		if (r)
			return r;
	} while (ret->rev.main > revision);
	return ret->deleted ? -ERR_NOT_FOUND : 0;
}

/* One key of the index, at the run's revision. */
static int range_key(struct range_run *run, struct slice key, struct slice value)
{
	struct index_entry e;
	struct record rec;
	if (!index_decode(value, &e))
		return -ERR_CORRUPT;
	if (e.rev.main > run->revision) {
		int r = change_at(run->m->kv, e.rev, run->revision, &rec);
		if (r)
			return r == -ERR_NOT_FOUND ? 0 : r;
		return range_item(run, &rec, true);
	}
	if (!e.version)
		return 0;
	rec = (struct record){.rev = e.rev, .create = e.create, .version = e.version, .key = key};
	rec.lease = e.lease;
	return range_item(run, &rec, false);
}

static int range_keys(struct range_run *run)
{
	const struct key_range *keys = &run->q->keys;
	if (!keys->has_end) {
		struct slice v;
		int r = kv_get(run->m->kv, KV_INDEX, keys->key, &v);
		if (r)
			return r == -ERR_NOT_FOUND ? 0 : r;
		return range_key(run, keys->key, v);
	}
	_cleanup_kv_cursor_ struct kv_cursor c;
	int r = kv_cursor_open(run->m->kv, KV_INDEX, &c);
	if (!r)
		r = kv_cursor_seek(&c, keys->key);
	for (int64_t visited = 1; !r; r = kv_cursor_next(&c), visited++) {
		if (!keys->unbounded && slice_cmp(c.key, keys->end) >= 0)
			return 0;
		if (run->q->visit_max && visited > run->q->visit_max)
			return MVCC_TOO_MANY_KEYS;
		r = range_key(run, c.key, c.value);
		if (r)
			return r;
	}
	return r == -ERR_NOT_FOUND ? 0 : r;
}

static int64_t sort_number(const struct record *r, enum mvcc_target target)
{
	switch (target) {
	case TARGET_VERSION:
		return r->version;
	case TARGET_CREATE:
		return r->create;
	default:
		return r->rev.main;
	}
}

static int sort_cmp(const void *va, const void *vb, void *arg)
{
	const struct mvcc_range *q = arg;
	const struct record *a = va, *b = vb;
	int r;
	if (q->target == TARGET_KEY) {
		r = slice_cmp(a->key, b->key);
	} else if (q->target == TARGET_VALUE) {
		r = slice_cmp(a->value, b->value);
	} else {
		int64_t x = sort_number(a, q->target), y = sort_number(b, q->target);
		r = (x > y) - (x < y);
	}
	if (q->order == ORDER_DESCEND)
		r = -r;
	return r ? r : slice_cmp(a->key, b->key);
}

static int range_emit_kept(struct range_run *run)
{
	const struct mvcc_range *q = run->q;
	if (range_is_sorted(q) && run->kept.n > 1)
		qsort_r(run->kept.at, run->kept.n, sizeof(*run->kept.at), sort_cmp, (void *)q);
	size_t n = run->kept.n;
	if (q->limit > 0)
		n = MIN(n, (size_t)q->limit);
	for (size_t i = 0; i < n; i++) {
		struct record *rec = &run->kept.at[i];
		if (q->keys_only)
			rec->value = SLICE_EMPTY;
		int r = run->emit(run->arg, rec);
		if (r)
			return r;
	}
	return 0;
}

int mvcc_range(struct mvcc *m, const struct mvcc_range *q, struct arena *a, mvcc_emit emit,
               void *arg, struct mvcc_range_result *ret)
{
	int r = mvcc_check_revision(m, q->revision);
	if (r)
		return r;
	struct range_run run = {.m = m, .q = q, .arena = a, .emit = emit, .arg = arg};
	run.collect = range_is_sorted(q) || range_is_filtered(q);
	run.values = !q->keys_only || q->target == TARGET_VALUE;
	run.revision = q->revision > 0 ? q->revision : mvcc_now(m);
	r = range_keys(&run);
	if (!r && run.collect && !q->count_only)
		r = range_emit_kept(&run);
	if (r)
		return r;
	ret->count = run.count;
	ret->more = false;
	if (!q->count_only && q->limit > 0)
		ret->more = (run.collect ? (int64_t)run.kept.n : run.count) > q->limit;
	return 0;
}
