/* SPDX-License-Identifier: Apache-2.0 */
/* The log thread: takes all that waits, writes it as one group, syncs once and reports. A second
 * thread prepares the next segment meanwhile. */
#include <assert.h>
#include <errno.h>
#include <time.h>
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

/* Waits until another try may help; false: the log is closing. */
static bool stall(struct raftlog *l, uint64_t seq, const struct err *err)
{
	pthread_mutex_lock(&l->lock);
	bool first = l->state == 0;
	l->state = -ERR_NO_SPACE;
	l->state_err = *err;
	uint64_t compacted = l->compact_to;
	pthread_mutex_unlock(&l->lock);
	if (first)
		report(l, seq, -ERR_NO_SPACE, err);

	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += RETRY_MS / 1000;
	pthread_mutex_lock(&l->lock);
	while (!l->closing && !l->retry && l->compact_to == compacted)
		if (pthread_cond_timedwait(&l->work, &l->lock, &until) == ETIMEDOUT)
			break;
	l->retry = false;
	bool go_on = !l->closing;
	pthread_mutex_unlock(&l->lock);
	compact(l);
	return go_on;
}

static void recover(struct raftlog *l)
{
	pthread_mutex_lock(&l->lock);
	if (l->state == -ERR_NO_SPACE)
		l->state = 0;
	pthread_mutex_unlock(&l->lock);
}

/* Asks the maker for a spare of this size, without waiting. The lock is held. */
static void want_spare(struct raftlog *l, uint64_t bytes)
{
	if (l->spare == SPARE_WANTED || l->spare == SPARE_MAKING)
		return;
	if (l->spare == SPARE_READY) {
		if (l->spare_bytes >= bytes)
			return;
		l->io.close(l->io.ctx, l->spare_fd);
	}
	l->spare = SPARE_WANTED;
	l->spare_bytes = bytes;
	pthread_cond_broadcast(&l->spare_changed);
}

static int take_spare(struct raftlog *l, uint64_t need, struct err *err)
{
	uint64_t bytes = MAX(l->opt.segment_bytes, need);
	pthread_mutex_lock(&l->lock);
	for (;;) {
		want_spare(l, bytes);
		while (l->spare == SPARE_WANTED || l->spare == SPARE_MAKING)
			pthread_cond_wait(&l->spare_changed, &l->lock);
		if (l->spare == SPARE_FAILED || l->spare_bytes >= need)
			break;
	}
	int fd = l->spare == SPARE_READY ? l->spare_fd : l->spare_errno;
	uint64_t got = l->spare_bytes;
	l->spare = SPARE_NONE;
	pthread_mutex_unlock(&l->lock);
	if (fd < 0)
		return log_errno(err, fd, "cannot prepare a segment in", l->opt.dir);
	return segment_begin(l, fd, got, err);
}

/* Goes on in a new segment with room for `bytes`. */
static int roll(struct raftlog *l, size_t bytes, uint64_t seq, struct err *err)
{
	size_t need = bytes + record_size(RECORD_HEADER_BYTES);
	for (;;) {
		int r = take_spare(l, need, err);
		if (r != -ERR_NO_SPACE)
			return r;
		if (!stall(l, seq, err))
			return r;
	}
}

static int write_group(struct raftlog *l, uint64_t seq, struct err *err)
{
	char name[SEGMENT_NAME_BYTES];
	segment_name(name, vec_last(&l->segments)->number);
	for (;;) {
		int r = log_write_all(l, l->fd, l->out.data, l->out.len, l->at);
		if (r == 0)
			break;
		r = log_errno(err, r, "cannot write", name);
		if (r != -ERR_NO_SPACE || !stall(l, seq, err))
			return r;
	}
	uint64_t start = clock_mono_ns();
	int r = l->io.fdatasync(l->io.ctx, l->fd);
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
	if (l->at > l->size / 2 && l->spare == SPARE_NONE)
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
	pthread_mutex_lock(&l->lock);
	q->reset->result = result;
	if (err)
		q->reset->err = *err;
	q->reset->done = true;
	q->reset = NULL;
	pthread_cond_broadcast(&l->reset_done);
	pthread_mutex_unlock(&l->lock);
}

/* Makes queue items [from, to), which are encoded, durable. */
static int flush(struct raftlog *l, struct queue *q, size_t from, size_t to, struct err *err)
{
	if (from == to)
		return 0;
	if (l->out.len) { /* else all of them are empty */
		int r = write_group(l, q->at[from].seq, err);
		if (r < 0)
			return r;
		publish(l);
		recover(l);
	}
	uint64_t seq = 0;
	for (size_t i = from; i < to; i++) {
		seq = MAX(seq, q->at[i].seq);
		finish_reset(l, &q->at[i], 0, NULL);
	}
	report(l, seq, 0, NULL);
	return 0;
}

/* Writes all of q; *done counts what is durable. */
static int write_queue(struct raftlog *l, struct queue *q, size_t *done, struct err *err)
{
	for (size_t i = 0; i < q->n; i++) {
		if (l->at + l->out.len + q->at[i].bytes > l->size) {
			int r = flush(l, q, *done, i, err);
			if (r < 0)
				return r;
			*done = i;
			r = roll(l, q->at[i].bytes, q->at[i].seq, err);
			if (r < 0)
				return r;
		}
		encode(l, &q->at[i]);
	}
	int r = flush(l, q, *done, q->n, err);
	if (r == 0)
		*done = q->n;
	return r;
}

static void fail(struct raftlog *l, struct queue *q, size_t from, const struct err *err)
{
	pthread_mutex_lock(&l->lock);
	l->state = -ERR_IO;
	l->state_err = *err;
	pthread_mutex_unlock(&l->lock);
	for (size_t i = from; i < q->n; i++)
		finish_reset(l, &q->at[i], -ERR_IO, err);
	report(l, q->at[from].seq, -ERR_IO, err);
}

static void free_queue(struct queue *q)
{
	VEC_FOREACH (q, i)
		queued_deinit(i);
	vec_clear(q);
}

void *log_thread(void *arg)
{
	struct raftlog *l = arg;
	struct queue work = {0};
	uint64_t compacted = 0;
	for (;;) {
		pthread_mutex_lock(&l->lock);
		while (!l->closing && l->queue.n == 0 && l->compact_to == compacted)
			pthread_cond_wait(&l->work, &l->lock);
		struct queue swap = l->queue;
		l->queue = work;
		work = swap;
		bool wants_compact = l->compact_to != compacted;
		compacted = l->compact_to;
		bool closing = l->closing, failed = l->state == -ERR_IO;
		struct err err = l->state_err;
		pthread_mutex_unlock(&l->lock);
		size_t done = 0;
		if (work.n && (failed || write_queue(l, &work, &done, &err) < 0))
			fail(l, &work, done, &err);
		free_queue(&work);
		if (wants_compact)
			compact(l);
		if (closing)
			break;
	}
	vec_deinit(&work);
	return NULL;
}

void *maker_thread(void *arg)
{
	struct raftlog *l = arg;
	pthread_mutex_lock(&l->lock);
	while (l->running) {
		if (l->spare != SPARE_WANTED) {
			pthread_cond_wait(&l->spare_changed, &l->lock);
			continue;
		}
		uint64_t bytes = l->spare_bytes;
		l->spare = SPARE_MAKING;
		pthread_mutex_unlock(&l->lock);
		int fd = spare_make(l, bytes);
		pthread_mutex_lock(&l->lock);
		l->spare = fd < 0 ? SPARE_FAILED : SPARE_READY;
		l->spare_fd = fd;
		l->spare_errno = fd;
		pthread_cond_broadcast(&l->spare_changed);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}
