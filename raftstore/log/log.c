/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include "raftstore/log/internal.h"

enum {
	SEGMENT_BYTES = 64 << 20,
	SEGMENT_MIN_BYTES = 4096,
	WINDOW_BYTES = 64 << 20,
	FIRST_SEGMENT_SHARE = 16,
};

static int open_dir(struct raftlog *l, struct err *err)
{
	l->dir = l->io.open_dir(l->io.ctx, l->opt.dir);
	if (l->dir < 0)
		return log_errno(err, l->dir, "cannot open", l->opt.dir);
	l->lock_fd = l->io.lock(l->io.ctx, l->dir, "lock");
	if (l->lock_fd == -EWOULDBLOCK)
		return err_set(err, ERR_CONFLICT, "%s is in use by another process", l->opt.dir);
	if (l->lock_fd < 0)
		return log_errno(err, l->lock_fd, "cannot lock", l->opt.dir);
	int r = l->io.unlink(l->io.ctx, l->dir, SPARE_NAME);
	if (r < 0 && r != -ENOENT)
		return log_errno(err, r, "cannot remove", SPARE_NAME);
	return 0;
}

static int begin_first(struct raftlog *l, struct err *err)
{
	uint64_t bytes = MAX(l->opt.segment_bytes / FIRST_SEGMENT_SHARE, SEGMENT_MIN_BYTES);
	int fd = spare_make(l, bytes);
	if (fd < 0)
		return log_errno(err, fd, "cannot prepare a segment in", l->opt.dir);
	return segment_begin(l, fd, bytes, err);
}

static void free_log(struct raftlog *l)
{
	if (l->spare == SPARE_READY)
		l->io.close(l->io.ctx, l->spare_fd);
	if (l->fd >= 0)
		l->io.close(l->io.ctx, l->fd);
	if (l->lock_fd >= 0)
		l->io.close(l->io.ctx, l->lock_fd);
	if (l->dir >= 0)
		l->io.close(l->io.ctx, l->dir);
	pthread_mutex_destroy(&l->lock);
	VEC_FOREACH (&l->out_slots, s)
		blob_unref(s->data);
	vec_deinit(&l->out_slots);
	VEC_FOREACH (&l->queue, q)
		queued_deinit(q);
	vec_deinit(&l->queue);
	vec_deinit(&l->work);
	vec_deinit(&l->segments);
	log_index_deinit(&l->index);
	buf_deinit(&l->out);
	free((char *)l->opt.dir);
	free(l);
}

int raftlog_open(const struct raftlog_options *opt, struct raftlog **ret,
                 struct raftlog_boot *ret_boot, struct err *err)
{
	struct raftlog *l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	l->opt = *opt;
	l->opt.dir = strdup(opt->dir);
	l->opt.segment_bytes = opt->segment_bytes ? opt->segment_bytes : SEGMENT_BYTES;
	l->index.window_limit = opt->window_bytes ? opt->window_bytes : WINDOW_BYTES;
	l->io = opt->io ? *opt->io : log_io_system;
	l->dir = l->lock_fd = l->fd = -1;
	pthread_mutex_init(&l->lock, NULL);
	struct raftlog_boot boot = {0};
	int r = open_dir(l, err);
	if (r == 0)
		r = log_replay(l, &boot, err);
	if (r == 0 && l->segments.n == 0)
		r = begin_first(l, err);
	if (r < 0) {
		raft_entries_deinit(&boot.entries);
		free_log(l);
		return r;
	}
	l->stats.segments = l->segments.n;
	l->queued_last = log_index_last(&l->index).index;
	if (worker_start(&l->worker, "log") || worker_start(&l->maker, "log-segments"))
		abort();
	*ret = l;
	*ret_boot = boot;
	return 0;
}

void raftlog_close(struct raftlog *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->closing = true;
	pthread_mutex_unlock(&l->lock);
	/* The maker first: the log may wait for the segment that it makes. */
	worker_stop(&l->maker);
	pthread_mutex_lock(&l->lock);
	log_wake(l);
	pthread_mutex_unlock(&l->lock);
	worker_stop(&l->worker);
	free_log(l);
}

static void enqueue(struct raftlog *l, struct queued *q)
{
	q->bytes = record_size(16) * (2 + (q->entries.n ? 1 : 0));
	VEC_FOREACH (&q->entries, e)
		q->bytes += record_size(RECORD_ENTRY_PREFIX_BYTES + (e->data ? e->data->len : 0));
	*vec_push(&l->queue) = *q;
}

/* The lock is held. */
static int check_batch(struct raftlog *l, const struct raftlog_batch *b)
{
	if (l->state == -ERR_IO)
		return -ERR_IO;
	if (b->seq <= l->queued_seq)
		return -ERR_INVALID;
	for (size_t i = 0; i < b->n; i++) {
		uint64_t index = b->entries[i].index;
		if (b->entries[i].data && b->entries[i].data->len > RAFTLOG_ENTRY_LIMIT_BYTES)
			return -ERR_TOO_LARGE;
		if (i ? index != b->entries[i - 1].index + 1
		      : index > l->queued_last + 1 || index <= l->index.base.index)
			return -ERR_INVALID;
	}
	return 0;
}

int raftlog_append(struct raftlog *l, const struct raftlog_batch *b)
{
	pthread_mutex_lock(&l->lock);
	int r = check_batch(l, b);
	if (r == 0) {
		struct queued q = {
		    .seq = b->seq,
		    .has_hard_state = b->has_hard_state,
		    .hard_state = b->hard_state,
		};
		for (size_t i = 0; i < b->n; i++)
			raft_entries_add(&q.entries, &b->entries[i]);
		if (b->n)
			l->queued_last = b->entries[b->n - 1].index;
		l->queued_seq = b->seq;
		enqueue(l, &q);
	}
	bool post = r == 0 && !l->turn_posted;
	l->turn_posted |= post;
	pthread_mutex_unlock(&l->lock);
	/* The worker would wake up to find the lock taken. */
	if (post)
		worker_post(&l->worker, log_turn, l);
	return r;
}

void raftlog_reset(struct raftlog *l, struct raft_mark mark, raftlog_reset_done *done, void *arg)
{
	pthread_mutex_lock(&l->lock);
	l->queued_last = mark.index;
	enqueue(l, &(struct queued){.reset = done, .arg = arg, .mark = mark});
	log_wake(l);
	pthread_mutex_unlock(&l->lock);
}

int raftlog_state(struct raftlog *l, struct err *err)
{
	pthread_mutex_lock(&l->lock);
	int r = l->state;
	if (r < 0 && err)
		*err = l->state_err;
	pthread_mutex_unlock(&l->lock);
	return r;
}

void raftlog_retry(struct raftlog *l)
{
	pthread_mutex_lock(&l->lock);
	l->retry = true;
	log_wake(l);
	pthread_mutex_unlock(&l->lock);
}

void raftlog_compact(struct raftlog *l, uint64_t index)
{
	pthread_mutex_lock(&l->lock);
	l->compact_to = MAX(l->compact_to, index);
	log_wake(l);
	pthread_mutex_unlock(&l->lock);
}

void raftlog_stats(struct raftlog *l, struct raftlog_stats *ret)
{
	pthread_mutex_lock(&l->lock);
	*ret = l->stats;
	pthread_mutex_unlock(&l->lock);
}
