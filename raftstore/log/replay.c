/* SPDX-License-Identifier: Apache-2.0 */
/* Opening: every record of every segment is checked; only the tail of the last one may be torn. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include "raftstore/log/internal.h"

struct numbers {
	uint64_t *at;
	size_t n, cap;
};

static void collect(void *arg, const char *name)
{
	struct numbers *numbers = arg;
	char again[SEGMENT_NAME_BYTES], *end;
	uint64_t number = strtoull(name, &end, 16);
	segment_name(again, number);
	if (strcmp(name, again) == 0)
		*vec_push(numbers) = number;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* One segment while it is read. */
struct scan {
	struct raftlog *l;
	struct raftlog_boot *boot;
	uint64_t number;
	char name[SEGMENT_NAME_BYTES];
	struct slice bytes;
	uint64_t at;
	bool first, last;          /* of the log's segments */
	const struct scan *before; /* the segment before it */
};

static int corrupt(const struct scan *s, struct err *err, const char *what)
{
	return err_set(err, ERR_CORRUPT, "log segment %s is corrupt at offset %" PRIu64 ": %s",
	               s->name, s->at, what);
}

static int apply_header(struct scan *s, const struct record *rec, struct err *err)
{
	struct raftlog *l = s->l;
	struct segment_header h;
	if (!record_header(rec, &h))
		return corrupt(s, err, "the segment header has an unknown form or version");
	if (h.number != s->number)
		return corrupt(s, err, "the segment header names another segment");
	const struct raftlog_identity *mine = &l->opt.identity;
	if (mine->cluster_id && (h.identity.cluster_id != mine->cluster_id ||
	                         h.identity.member_id != mine->member_id))
		return err_set(err, ERR_CONFLICT,
		               "log segment %s belongs to member %016" PRIx64
		               " of cluster %016" PRIx64,
		               s->name, h.identity.member_id, h.identity.cluster_id);
	struct raft_mark last = log_index_last(&l->index);
	if (s->first) {
		log_index_reset(&l->index, h.last);
		l->hard_state = h.hard_state;
		l->chain = rec->previous;
	} else if (last.index != h.last.index || last.term != h.last.term) {
		return corrupt(s, err, "the segment header names another last entry");
	}
	*vec_push(&l->segments) = (struct segment){h.number, h.last.index};
	return 0;
}

static int apply_entry(struct scan *s, const struct record *rec, struct err *err)
{
	struct raft_entry e;
	struct slice data;
	if (!record_entry(rec, &e, &data))
		return corrupt(s, err, "an entry has an unknown form");
	struct raft_mark last = log_index_last(&s->l->index);
	if (e.index != last.index + 1 || e.term < last.term)
		return corrupt(s, err, "an entry does not follow the one before it");
	e.data = data.len ? blob_dup(data) : NULL;
	raft_entries_add(&s->boot->entries, &e);
	log_index_put(&s->l->index, &(struct log_slot){
	                                .index = e.index,
	                                .term = e.term,
	                                .data = e.data,
	                                .segment = s->number,
	                                .offset = (uint32_t)s->at,
	                                .len = (uint32_t)data.len,
	                                .type = e.type,
	                            });
	return 0;
}

static int apply_mark(struct scan *s, const struct record *rec, struct err *err)
{
	struct raft_mark mark;
	struct raft_entries *entries = &s->boot->entries;
	if (!record_mark(rec, &mark))
		return corrupt(s, err, "a mark has an unknown form");
	if (rec->type == RECORD_RESET) {
		raft_entries_clear(entries);
		log_index_reset(&s->l->index, mark);
		return 0;
	}
	while (entries->n && vec_last(entries)->index > mark.index)
		blob_unref(vec_pop(entries).data);
	log_index_truncate(&s->l->index, mark);
	struct raft_mark last = log_index_last(&s->l->index);
	if (last.index != mark.index || last.term != mark.term)
		return corrupt(s, err, "a truncation leaves another last entry");
	return 0;
}

static int apply(struct scan *s, const struct record *rec, struct err *err)
{
	if ((s->at == 0) != (rec->type == RECORD_HEADER))
		return corrupt(s, err, "a segment header is missing or misplaced");
	switch (rec->type) {
	case RECORD_HEADER:
		return apply_header(s, rec, err);
	case RECORD_ENTRY:
		return apply_entry(s, rec, err);
	case RECORD_STATE:
		return record_state(rec, &s->l->hard_state)
		           ? 0
		           : corrupt(s, err, "a hard state has an unknown form");
	default:
		return apply_mark(s, rec, err);
	}
}

/* A first record of a batch behind the damage proves that the damaged bytes were durable once. */
static bool synced_after(const struct scan *s)
{
	struct record rec;
	for (uint64_t at = s->at + 8; at + RECORD_PREFIX_BYTES <= s->bytes.len; at += 8) {
		const uint8_t *p = s->bytes.data + at;
		if (p[13] == RECORD_BATCH_FIRST &&
		    record_read(slice_skip(s->bytes, at), (struct record_place){s->number, at},
		                &rec))
			return true;
	}
	return false;
}

static uint64_t last_nonzero(struct slice bytes, uint64_t from)
{
	uint64_t end = bytes.len;
	static const uint8_t zeros[4096];
	while (end - from >= sizeof(zeros) &&
	       memcmp(bytes.data + end - sizeof(zeros), zeros, sizeof(zeros)) == 0)
		end -= sizeof(zeros);
	while (end > from && bytes.data[end - 1] == 0)
		end--;
	return end;
}

/* What follows the last good record of the last segment: zeros, or a torn batch to cut. */
static int cut_tail(struct scan *s, struct err *err)
{
	struct raftlog *l = s->l;
	uint64_t end = last_nonzero(s->bytes, s->at);
	if (end == s->at)
		return 0;
	if (synced_after(s))
		return corrupt(s, err,
		               "a record does not match its checksum, and durable records follow");
	size_t n = end - s->at;
	uint8_t *zeros = calloc(1, n);
	if (!zeros)
		abort();
	int r = log_write_all(l, l->fd, zeros, n, s->at);
	free(zeros);
	if (r == 0)
		r = l->io.fdatasync(l->io.ctx, l->fd);
	if (r < 0)
		return log_errno(err, r, "cannot cut the torn tail of", s->name);
	s->boot->torn_bytes = n;
	return 0;
}

/* The header is durable before the segment gets its name, so it is never torn. A good header that
 * follows another record than the last one read shows where the segment before it is damaged. */
static int bad_start(const struct scan *s, struct err *err)
{
	struct record rec;
	if (s->before && record_read(s->bytes, (struct record_place){s->number, 0}, &rec))
		return corrupt(s->before, err, "a record does not match its checksum");
	return corrupt(s, err, "the segment header does not match its checksum");
}

static int scan_records(struct scan *s, struct err *err)
{
	struct raftlog *l = s->l;
	struct record rec;
	while (record_read(slice_skip(s->bytes, s->at), (struct record_place){s->number, s->at},
	                   &rec) &&
	       ((s->first && s->at == 0) || rec.previous == l->chain)) {
		int r = apply(s, &rec, err);
		if (r < 0)
			return r;
		l->chain = rec.crc;
		s->at += rec.total_bytes;
	}
	if (s->at == 0)
		return bad_start(s, err);
	return s->last ? cut_tail(s, err) : 0;
}

static int read_segment(struct scan *s, struct err *err)
{
	struct raftlog *l = s->l;
	segment_name(s->name, s->number);
	int fd = l->io.open(l->io.ctx, l->dir, s->name, false);
	if (fd < 0)
		return log_errno(err, fd, "cannot open", s->name);
	if (l->fd >= 0)
		l->io.close(l->io.ctx, l->fd);
	l->fd = fd;
	int64_t size = l->io.size(l->io.ctx, fd);
	if (size < 0)
		return log_errno(err, (int)size, "cannot read", s->name);
	if ((uint64_t)size > UINT32_MAX)
		return corrupt(s, err, "the segment is too large");
	uint8_t *bytes = malloc((size_t)size + 1);
	if (!bytes)
		abort();
	int r = log_read_all(l, fd, bytes, (size_t)size, 0);
	s->bytes = slice_of(bytes, (size_t)size);
	r = r < 0 ? log_errno(err, r, "cannot read", s->name) : scan_records(s, err);
	free(bytes);
	l->size = (uint64_t)size;
	l->at = s->at;
	return r;
}

int log_replay(struct raftlog *l, struct raftlog_boot *boot, struct err *err)
{
	struct numbers numbers = {0};
	int r = l->io.list(l->io.ctx, l->dir, collect, &numbers);
	if (r < 0)
		r = log_errno(err, r, "cannot list", l->opt.dir);
	if (numbers.n)
		qsort(numbers.at, numbers.n, sizeof(*numbers.at), by_number);
	struct scan scans[2];
	for (size_t i = 0; r == 0 && i < numbers.n; i++) {
		if (i && numbers.at[i] != numbers.at[i - 1] + 1) {
			r = err_set(err, ERR_CORRUPT, "log segment %016" PRIx64 ".seg is missing",
			            numbers.at[i - 1] + 1);
			break;
		}
		struct scan *s = &scans[i % 2];
		*s = (struct scan){
		    .l = l,
		    .boot = boot,
		    .number = numbers.at[i],
		    .first = i == 0,
		    .last = i + 1 == numbers.n,
		    .before = i ? &scans[(i - 1) % 2] : NULL,
		};
		r = read_segment(s, err);
	}
	vec_deinit(&numbers);
	boot->hard_state = l->hard_state;
	boot->mark = l->index.base;
	return r;
}
