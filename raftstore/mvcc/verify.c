/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/mvcc/verify.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include "raftstore/mvcc/lease.h"

struct verify {
	struct mvcc_verify *out;
	struct kv_txn *kv;
	int64_t compacted;
	bool erasing;         /* compaction goes on */
	struct revision last; /* change looked at */
	uint64_t newest;      /* changes that the index leads to */
	struct buf key;
};

static _printf_(2, 3) void problem(struct verify *v, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	v->out->problems++;
	v->out->problem(v->out->arg, text);
}

#define REV "%" PRId64 ".%" PRId64
#define REV_OF(r) (r).main, (r).sub

/* --- changes --- */

static void check_form(struct verify *v, const struct record *rec)
{
	if (rec->rev.main <= 0 || rec->rev.main > v->out->revision)
		problem(v, "change " REV " is beyond revision %" PRId64, REV_OF(rec->rev),
		        v->out->revision);
	bool next =
	    rec->rev.main == v->last.main ? rec->rev.sub == v->last.sub + 1 : rec->rev.sub == 0;
	if (rec->rev.main > v->compacted && !next)
		problem(v, "there is no change before " REV " of its revision", REV_OF(rec->rev));
	bool zero = !rec->create && !rec->version && !rec->lease;
	bool sane = rec->create > 0 && rec->create <= rec->rev.main && rec->version > 0;
	if (!rec->key.len || (rec->deleted ? !zero || rec->value.len : !sane))
		problem(v, "change " REV " has impossible numbers", REV_OF(rec->rev));
}

/* What it says of the change before it. */
static int check_previous(struct verify *v, const struct record *rec)
{
	struct record old;
	if (!rec->previous.main)
		return 0;
	if (revision_cmp(rec->previous, rec->rev) >= 0) {
		problem(v, "change " REV " follows a later one", REV_OF(rec->rev));
		return 0;
	}
	int r = mvcc_record(v->kv, rec->previous, &old);
	if (r == -ERR_NOT_FOUND) {
		if (rec->previous.main > v->compacted)
			problem(v, "change " REV " is missing, which " REV " follows",
			        REV_OF(rec->previous), REV_OF(rec->rev));
		return 0;
	}
	if (r)
		return r;
	bool fits = slice_eq(old.key, rec->key);
	if (!rec->deleted && old.deleted)
		fits &= rec->version == 1 && rec->create == rec->rev.main;
	else if (!rec->deleted)
		fits &= rec->version == old.version + 1 && rec->create == old.create;
	if (!fits)
		problem(v, "change " REV " does not fit to " REV " before it", REV_OF(rec->rev),
		        REV_OF(rec->previous));
	if (!v->erasing && rec->rev.main <= v->compacted)
		problem(v, "change " REV " should have been erased", REV_OF(rec->previous));
	return 0;
}

static int check_indexed(struct verify *v, const struct record *rec)
{
	struct slice value;
	struct index_entry e;
	int r = kv_get(v->kv, KV_INDEX, rec->key, &value);
	if (r && r != -ERR_NOT_FOUND)
		return r;
	if (r || !index_decode(value, &e)) {
		problem(v, "the key of change " REV " is not in the index", REV_OF(rec->rev));
		return 0;
	}
	int order = revision_cmp(e.rev, rec->rev);
	bool equal = e.create == rec->create && e.version == rec->version && e.lease == rec->lease;
	if (order < 0 || (!order && !equal))
		problem(v, "the index does not agree with change " REV, REV_OF(rec->rev));
	v->newest += !order;
	return 0;
}

static int check_change(void *arg, const struct record *rec)
{
	struct verify *v = arg;
	v->out->changes++;
	check_form(v, rec);
	if (!v->erasing && rec->deleted && rec->rev.main < v->compacted)
		problem(v, "deletion " REV " should have been erased", REV_OF(rec->rev));
	int r = check_previous(v, rec);
	if (!r)
		r = check_indexed(v, rec);
	v->last = rec->rev;
	return r;
}

/* --- the index and leases --- */

static int check_key_lease(struct verify *v, struct slice key, int64_t id)
{
	struct lease l;
	struct slice value;
	uint8_t b[8];
	int r = lease_get(v->kv, id, &l);
	if (r == OUTCOME_LEASE_NOT_FOUND) {
		v->out->orphans++;
		return 0;
	}
	put_be64(b, (uint64_t)id);
	buf_clear(&v->key);
	buf_add(&v->key, b, sizeof(b));
	buf_slice(&v->key, key);
	if (!r)
		r = kv_get(v->kv, KV_LEASE_KEYS, buf_view(&v->key), &value);
	if (r == -ERR_NOT_FOUND) {
		problem(v, "lease %016" PRIx64 " does not know of a key", (uint64_t)id);
		return 0;
	}
	return r;
}

static int check_entry(struct verify *v, struct slice key, struct slice value)
{
	struct index_entry e;
	if (!index_decode(value, &e)) {
		problem(v, "an entry of the index is malformed");
		return 0;
	}
	v->out->keys++;
	v->out->live_keys += e.version > 0;
	return e.version && e.lease ? check_key_lease(v, key, e.lease) : 0;
}

static int check_lease_key(struct verify *v, struct slice key, struct slice value)
{
	struct lease l;
	struct index_entry e;
	struct slice found;
	if (key.len <= 8 || value.len) {
		problem(v, "a key of a lease is malformed");
		return 0;
	}
	v->out->lease_keys++;
	int64_t id = (int64_t)get_be64(key.data);
	int r = lease_get(v->kv, id, &l);
	if (r == OUTCOME_LEASE_NOT_FOUND) {
		problem(v, "lease %016" PRIx64 " has keys and does not exist", (uint64_t)id);
		return 0;
	}
	if (!r)
		r = kv_get(v->kv, KV_INDEX, slice_skip(key, 8), &found);
	if (r && r != -ERR_NOT_FOUND)
		return r;
	if (r || !index_decode(found, &e) || !e.version || e.lease != id)
		problem(v, "lease %016" PRIx64 " has a key that does not hang on it", (uint64_t)id);
	return 0;
}

static int count_lease(void *arg, const struct lease *l)
{
	struct verify *v = arg;
	v->out->leases++;
	if (l->granted_s <= 0 || l->remaining_s < 0)
		problem(v, "lease %016" PRIx64 " has impossible numbers", (uint64_t)l->id);
	return 0;
}

static int each_pair(struct verify *v, enum kv_table table,
                     int (*each)(struct verify *v, struct slice key, struct slice value))
{
	_cleanup_kv_cursor_ struct kv_cursor c;
	int r = kv_cursor_open(v->kv, table, &c);
	if (!r)
		r = kv_cursor_seek(&c, SLICE_EMPTY);
	for (; !r; r = kv_cursor_next(&c)) {
		r = each(v, c.key, c.value);
		if (r)
			return r;
	}
	return r == -ERR_NOT_FOUND ? 0 : r;
}

int mvcc_verify(struct kv_txn *kv, struct mvcc_verify *out)
{
	struct verify v = {.out = out, .kv = kv};
	_cleanup_mvcc_ struct mvcc m = {0};
	int64_t walk = INT64_MAX;
	int r = mvcc_open(&m, kv);
	if (!r)
		r = mvcc_compact_walk(&m, &walk);
	out->revision = m.revision;
	out->compacted = v.compacted = m.compacted;
	v.erasing = walk != INT64_MAX;
	if (m.compacted > m.revision)
		problem(&v, "the compacted revision %" PRId64 " is beyond %" PRId64, m.compacted,
		        m.revision);
	if (!r)
		r = mvcc_changes(kv, 0, check_change, &v);
	if (!r)
		r = each_pair(&v, KV_INDEX, check_entry);
	if (!r && v.newest != out->keys)
		problem(&v, "%" PRIu64 " entries of the index lead to %" PRIu64 " changes",
		        out->keys, v.newest);
	if (!r)
		r = lease_each(kv, count_lease, &v);
	if (!r)
		r = each_pair(&v, KV_LEASE_KEYS, check_lease_key);
	buf_deinit(&v.key);
	return r;
}
