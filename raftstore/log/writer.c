/* SPDX-License-Identifier: Apache-2.0 */
/* The log's worker: takes all that waits, writes it as one group, syncs once and reports. A second
 * worker prepares the next segment meanwhile. Nothing waits inside of a turn: without space, or
 * without the next segment, the work stays where it is until a later turn. */
#include <assert.h>
#include <errno.h>
#include "common/base/clock.h"
#include "raftstore/log/internal.h"

enum { RETRY_MS = 1000 };

void queued_deinit(struct queued *q)
{
	raft_entries_deinit(&q->entries);
}

static void report(struct raftlog *l, uint64_t seq, int result, const struct err *err)
{
	if (l->opt.report && seq)
		l->opt.report(l->opt.arg, &(struct raftlog_report){seq, result, err});
}

static void compact(struct raftlog *l)
{
	pthread_mutex_lock(&l->lock);
	uint64_t to = MIN(l->compact_to, log_index_last(&l->index).index);
	log_index_compact(&l->index, to);
	uint64_t base = l->index.base.index;
	pthread_mutex_unlock(&l->lock);
	segments_delete(l, base, false);
	pthread_mutex_lock(&l->lock);
	l->stats.segments = l->segments.n;
	pthread_mutex_unlock(&l->lock);
}

static void retry_later(void *arg)
{
	struct raftlog *l = arg;
	pthread_mutex_lock(&l->lock);
	l->retry_posted = false;
	l->retry = true;
	log_wake(l);
	pthread_mutex_unlock(&l->lock);
}

/* The work stays until another try may help. */
static void stall(struct raftlog *l, const struct err *err)
{
	pthread_mutex_lock(&l->lock);
	bool first = l->state == 0;
	l->state = -ERR_NO_SPACE;
	l->state_err = *err;
	pthread_mutex_unlock(&l->lock);
	l->stalled = true;
	if (first)
		report(l, l->work.at[l->durable].seq, -ERR_NO_SPACE, err);
	if (!l->retry_posted)
		worker_post_later(&l->worker, RETRY_MS, retry_later, l);
	l->retry_posted = true;
}

static void recover(struct raftlog *l)
{
	l->stalled = false;
	pthread_mutex_lock(&l->lock);
	if (l->state == -ERR_NO_SPACE)
		l->state = 0;
	pthread_mutex_unlock(&l->lock);
}

/* --- the next segment --- */

static void maker_turn(void *arg)
{
	struct raftlog *l = arg;
	pthread_mutex_lock(&l->lock);
	uint64_t bytes = l->spare_bytes;
	l->spare = SPARE_MAKING;
	pthread_mutex_unlock(&l->lock);
	int fd = spare_make(l, bytes);
	pthread_mutex_lock(&l->lock);
	l->spare = fd < 0 ? SPARE_FAILED : SPARE_READY;
	l->spare_fd = fd;
	l->spare_errno = fd;
	if (l->spare_awaited) {
		l->retry = true;
		log_wake(l);
	}
	pthread_mutex_unlock(&l->lock);
}

/* Asks the maker for a spare of this size; a closing log, which has no maker any more, makes it
 * itself. The lock is held. */
static void want_spare(struct raftlog *l, uint64_t bytes)
{
	if (l->spare == SPARE_READY)
		l->io.close(l->io.ctx, l->spare_fd);
	l->spare = SPARE_WANTED;
	l->spare_bytes = bytes;
	if (!l->closing) {
		worker_post(&l->maker, maker_turn, l);
		return;
	}
	pthread_mutex_unlock(&l->lock);
	maker_turn(l);
	pthread_mutex_lock(&l->lock);
}

enum { SPARE_LATER = 1 }; /* a turn comes when it is there */

/* 0: *ret_fd is the spare, or -errno. */
static int take_spare(struct raftlog *l, uint64_t need, int *ret_fd, uint64_t *ret_bytes)
{
	int r = SPARE_LATER;
	pthread_mutex_lock(&l->lock);
	/* A failure that nobody has waited for says nothing about another try. */
	if (l->spare == SPARE_NONE || (l->spare == SPARE_FAILED && !l->spare_awaited) ||
	    (l->spare == SPARE_READY && l->spare_bytes < need))
		want_spare(l, MAX(l->opt.segment_bytes, need));
	l->spare_awaited = l->spare == SPARE_WANTED || l->spare == SPARE_MAKING;
	if (!l->spare_awaited) {
		*ret_fd = l->spare == SPARE_READY ? l->spare_fd : l->spare_errno;
		*ret_bytes = l->spare_bytes;
		l->spare = SPARE_NONE;
		r = 0;
	}
	pthread_mutex_unlock(&l->lock);
	return r;
}

/* Goes on in a new segment with room for `bytes`, or SPARE_LATER. */
static int roll(struct raftlog *l, size_t bytes, struct err *err)
{
	int fd;
	uint64_t got;
	int r = take_spare(l, bytes + record_size(RECORD_HEADER_BYTES), &fd, &got);
	if (r)
		return r;
	if (fd < 0)
		return log_errno(err, fd, "cannot prepare a segment in", l->opt.dir);
	return segment_begin(l, fd, got, err);
}

/* --- groups --- */

static int write_group(struct raftlog *l, struct err *err)
{
	char name[SEGMENT_NAME_BYTES];
	segment_name(name, vec_last(&l->segments)->number);
	int r = log_write_all(l, l->fd, l->out.data, l->out.len, l->at);
	if (r < 0)
		return log_errno(err, r, "cannot write", name);
	uint64_t start = clock_mono_ns();
	r = l->io.fdatasync(l->io.ctx, l->fd);
	/* After a failed sync nobody knows what is on the disk, and a second try would lie: Rebello
	 * et al., "Can Applications Recover from fsync Failures?", 2020. */
	if (r < 0)
		return log_errno(err, -EIO, "cannot sync", name);
	uint64_t took = clock_mono_ns() - start;
	pthread_mutex_lock(&l->lock);
	l->stats.syncs++;
	l->stats.bytes += l->out.len;
	l->stats.sync_ns = took;
	pthread_mutex_unlock(&l->lock);
	return 0;
}

/* The group is durable: readers may see it. */
static void publish(struct raftlog *l)
{
	l->at += l->out.len;
	l->chain = l->out_chain;
	l->hard_state = l->out_hard_state;
	pthread_mutex_lock(&l->lock);
	if (l->out_has_reset)
		log_index_reset(&l->index, l->out_reset);
	VEC_FOREACH (&l->out_slots, s) {
		if (s->index <= log_index_last(&l->index).index) {
			const struct log_slot *before = log_index_at(&l->index, s->index - 1);
			struct raft_mark last =
			    before ? (struct raft_mark){before->index, before->term}
			           : l->index.base;
			log_index_truncate(&l->index, last);
		}
		log_index_put(&l->index, s);
	}
	l->stats.entries += l->out_slots.n;
	l->stats.segments = l->segments.n;
	if (l->at > l->size / 2 && l->spare == SPARE_NONE && !l->closing)
		want_spare(l, l->opt.segment_bytes);
	pthread_mutex_unlock(&l->lock);
	vec_clear(&l->out_slots);
	buf_clear(&l->out);
	l->out_has_reset = false;
}

static uint64_t term_before(struct raftlog *l, uint64_t index)
{
	for (size_t i = l->out_slots.n; i-- > 0;)
		if (l->out_slots.at[i].index == index)
			return l->out_slots.at[i].term;
	struct raft_mark base = l->out_has_reset ? l->out_reset : l->index.base;
	if (index <= base.index)
		return base.term;
	const struct log_slot *s = log_index_at(&l->index, index);
	return s ? s->term : 0;
}

static struct record_place out_place(const struct raftlog *l)
{
	return (struct record_place){vec_last(&l->segments)->number, l->at + l->out.len};
}

static uint8_t out_flags(const struct raftlog *l)
{
	return l->out.len == 0 ? RECORD_BATCH_FIRST : 0;
}

static void encode_entry(struct raftlog *l, const struct raft_entry *e)
{
	if (e->index <= l->out_last.index) {
		struct raft_mark left = {e->index - 1, term_before(l, e->index - 1)};
		record_add_mark(&l->out, out_place(l), &l->out_chain, out_flags(l), RECORD_TRUNCATE,
		                left);
		while (l->out_slots.n && vec_last(&l->out_slots)->index > left.index)
			blob_unref(vec_pop(&l->out_slots).data);
	}
	*vec_push(&l->out_slots) = (struct log_slot){
	    .index = e->index,
	    .term = e->term,
	    .data = blob_ref(e->data),
	    .segment = vec_last(&l->segments)->number,
	    .offset = (uint32_t)out_place(l).offset,
	    .len = (uint32_t)(e->data ? e->data->len : 0),
	    .type = e->type,
	};
	record_add_entry(&l->out, out_place(l), &l->out_chain, out_flags(l), e);
	l->out_last = (struct raft_mark){e->index, e->term};
}

static void encode(struct raftlog *l, struct queued *q)
{
	if (l->out.len == 0) {
		l->out_chain = l->chain;
		l->out_hard_state = l->hard_state;
		l->out_last = log_index_last(&l->index);
	}
	if (q->has_hard_state) {
		l->out_hard_state = q->hard_state;
		record_add_state(&l->out, out_place(l), &l->out_chain, out_flags(l), q->hard_state);
	}
	if (q->reset) {
		record_add_mark(&l->out, out_place(l), &l->out_chain, out_flags(l), RECORD_RESET,
		                q->mark);
		VEC_FOREACH (&l->out_slots, s)
			blob_unref(s->data);
		vec_clear(&l->out_slots);
		l->out_has_reset = true;
		l->out_reset = l->out_last = q->mark;
	}
	VEC_FOREACH (&q->entries, e)
		encode_entry(l, e);
}

static void finish_reset(struct raftlog *l, struct queued *q, int result, const struct err *err)
{
	if (!q->reset)
		return;
	if (result == 0)
		segments_delete(l, 0, true);
	q->reset(q->arg, result, err);
	q->reset = NULL;
}

/* Makes what is encoded durable. */
static int flush(struct raftlog *l, struct err *err)
{
	if (l->out.len) { /* else all of them are empty */
		int r = write_group(l, err);
		if (r < 0)
			return r;
		publish(l);
		recover(l);
	}
	uint64_t seq = 0;
	for (; l->durable < l->encoded; l->durable++) {
		struct queued *q = &l->work.at[l->durable];
		seq = MAX(seq, q->seq);
		finish_reset(l, q, 0, NULL);
	}
	report(l, seq, 0, NULL);
	return 0;
}

static bool fits(const struct raftlog *l, const struct queued *q)
{
	return l->at + l->out.len + q->bytes <= l->size;
}

/* Writes all of the work, or as much as is possible at present: SPARE_LATER, -ERR_NO_SPACE. */
static int write_work(struct raftlog *l, struct err *err)
{
	for (;;) {
		while (l->encoded < l->work.n && fits(l, &l->work.at[l->encoded]))
			encode(l, &l->work.at[l->encoded++]);
		int r = l->durable < l->encoded ? flush(l, err) : 0;
		if (r < 0 || l->durable == l->work.n)
			return r;
		r = roll(l, l->work.at[l->durable].bytes, err);
		if (r)
			return r;
	}
}

static void work_clear(struct raftlog *l)
{
	VEC_FOREACH (&l->work, q)
		queued_deinit(q);
	vec_clear(&l->work);
	l->durable = l->encoded = 0;
}

/* Whoever closes a log that waits for space is told nothing: it was not acknowledged. */
static void fail(struct raftlog *l, bool closing, const struct err *err)
{
	pthread_mutex_lock(&l->lock);
	l->state = -ERR_IO;
	l->state_err = *err;
	pthread_mutex_unlock(&l->lock);
	uint64_t seq = l->work.at[l->durable].seq;
	for (size_t i = l->durable; i < l->work.n; i++)
		finish_reset(l, &l->work.at[i], -ERR_IO, err);
	work_clear(l);
	if (!closing)
		report(l, seq, -ERR_IO, err);
}

/* The lock is held. */
static void take_queue(struct raftlog *l)
{
	if (!l->work.n) {
		struct queue swap = l->work;
		l->work = l->queue;
		l->queue = swap;
		return;
	}
	VEC_FOREACH (&l->queue, q)
		*vec_push(&l->work) = *q;
	vec_clear(&l->queue);
}

void log_turn(void *arg)
{
	struct raftlog *l = arg;
	pthread_mutex_lock(&l->lock);
	l->turn_posted = false;
	take_queue(l);
	bool compacts = l->compact_to != l->compacted;
	l->compacted = l->compact_to;
	bool closing = l->closing, failed = l->state == -ERR_IO;
	bool waits = l->stalled && !l->retry && !compacts && !closing;
	l->retry = false;
	struct err err = l->state_err;
	pthread_mutex_unlock(&l->lock);
	if (l->stalled && compacts)
		compact(l); /* that may be the space which is missing */
	if (l->work.n && !waits) {
		int r = failed ? -ERR_IO : write_work(l, &err);
		if (!r)
			work_clear(l);
		else if (r == -ERR_NO_SPACE && !closing)
			stall(l, &err);
		else if (r < 0)
			fail(l, closing && r == -ERR_NO_SPACE, &err);
	}
	if (compacts)
		compact(l);
}

void log_wake(struct raftlog *l)
{
	if (l->turn_posted)
		return;
	l->turn_posted = true;
	worker_post(&l->worker, log_turn, l);
}
