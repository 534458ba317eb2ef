/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include "raftstore/log/internal.h"

enum { ZERO_BYTES = 1 << 20 };

void segment_name(char out[SEGMENT_NAME_BYTES], uint64_t number)
{
	snprintf(out, SEGMENT_NAME_BYTES, "%016" PRIx64 ".seg", number);
}

int log_errno(struct err *err, int neg_errno, const char *what, const char *name)
{
	enum err_code code = neg_errno == -ENOSPC || neg_errno == -EDQUOT ? ERR_NO_SPACE : ERR_IO;
	return err_set(err, code, "%s %s: %s", what, name, strerror(-neg_errno));
}

int log_write_all(struct raftlog *l, int fd, const void *p, size_t n, uint64_t at)
{
	while (n) {
		ssize_t r = l->io.pwrite(l->io.ctx, fd, p, n, at);
		if (r <= 0)
			return r < 0 ? (int)r : -EIO;
		p = (const uint8_t *)p + r;
		n -= (size_t)r;
		at += (uint64_t)r;
	}
	return 0;
}

int log_read_all(struct raftlog *l, int fd, void *p, size_t n, uint64_t at)
{
	while (n) {
		ssize_t r = l->io.pread(l->io.ctx, fd, p, n, at);
		if (r <= 0)
			return r < 0 ? (int)r : -EIO;
		p = (uint8_t *)p + r;
		n -= (size_t)r;
		at += (uint64_t)r;
	}
	return 0;
}

int spare_make(struct raftlog *l, uint64_t bytes)
{
	int r = l->io.unlink(l->io.ctx, l->dir, SPARE_NAME);
	if (r < 0 && r != -ENOENT)
		return r;
	int fd = l->io.open(l->io.ctx, l->dir, SPARE_NAME, true);
	if (fd < 0)
		return fd;
	/* Reserve first: a full disk is noticed before any byte is written. The zeros make the
	 * blocks initialised ones, so that later syncs change no metadata. */
	r = l->io.allocate(l->io.ctx, fd, bytes);
	uint8_t *zeros = calloc(1, ZERO_BYTES);
	if (!zeros)
		abort();
	for (uint64_t at = 0; r == 0 && at < bytes; at += ZERO_BYTES) {
		r = log_write_all(l, fd, zeros, MIN((uint64_t)ZERO_BYTES, bytes - at), at);
		/* In small steps, so that the log's own syncs need not wait for a flood. */
		if (r == 0)
			r = l->io.fdatasync(l->io.ctx, fd);
	}
	free(zeros);
	if (r == 0)
		return fd;
	l->io.close(l->io.ctx, fd);
	ERR_IGNORE(l->io.unlink(l->io.ctx, l->dir, SPARE_NAME)); /* opening removes it too */
	return r;
}

int segment_begin(struct raftlog *l, int spare_fd, uint64_t bytes, struct err *err)
{
	uint64_t number = l->segments.n ? vec_last(&l->segments)->number + 1 : 1;
	struct raft_mark last = log_index_last(&l->index);
	struct segment_header header = {number, l->opt.identity, l->hard_state, last};
	_cleanup_buf_ struct buf b = BUF_INIT;
	uint32_t chain = l->chain;
	char name[SEGMENT_NAME_BYTES];
	segment_name(name, number);
	record_add_header(&b, &chain, &header);
	int r = log_write_all(l, spare_fd, b.data, b.len, 0);
	if (r == 0) {
		r = l->io.fdatasync(l->io.ctx, spare_fd);
		r = r < 0 ? -EIO : 0;
	}
	if (r == 0)
		r = l->io.rename(l->io.ctx, l->dir, SPARE_NAME, name);
	if (r < 0) {
		l->io.close(l->io.ctx, spare_fd);
		return log_errno(err, r, "cannot begin segment", name);
	}
	/* From here on the segment exists: a failure is final. */
	r = l->io.sync_dir(l->io.ctx, l->dir);
	if (r < 0) {
		l->io.close(l->io.ctx, spare_fd);
		return log_errno(err, -EIO, "cannot sync the folder of", name);
	}
	if (l->fd >= 0)
		l->io.close(l->io.ctx, l->fd);
	l->fd = spare_fd;
	l->size = bytes;
	l->at = b.len;
	l->chain = chain;
	*vec_push(&l->segments) = (struct segment){number, last.index};
	return 0;
}

void segments_delete(struct raftlog *l, uint64_t index, bool all)
{
	bool any = false;
	while (l->segments.n > 1 && (all || l->segments.at[1].last_index <= index)) {
		char name[SEGMENT_NAME_BYTES];
		segment_name(name, l->segments.at[0].number);
		int r = l->io.unlink(l->io.ctx, l->dir, name);
		if (r < 0 && r != -ENOENT)
			break; /* the next compaction tries again */
		vec_remove(&l->segments, 0);
		any = true;
	}
	if (any)
		ERR_IGNORE(l->io.sync_dir(l->io.ctx, l->dir)); /* what comes back is valid */
}
