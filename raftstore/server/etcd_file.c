/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "raftstore/bbolt/writer.h"
#include "raftstore/server/etcd_export.h"

enum { WRITE_BYTES = 256 << 10, FLUSH_BYTES = 8 << 20 };

struct file {
	int fd;
	uint64_t at, flushed; /* bytes given to the system; begun to be written to the disk */
	struct buf out;
	struct bbolt_writer writer;
	bool in_bucket;
	struct err *err;
};

static int write_at(struct file *f, const uint8_t *p, size_t n, uint64_t at)
{
	while (n) {
		ssize_t w = pwrite(f->fd, p, n, (off_t)at);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return err_set(f->err, errno == ENOSPC ? ERR_NO_SPACE : ERR_IO,
			               "cannot write the snapshot: %s", strerror(errno));
		p += w;
		n -= (size_t)w;
		at += (uint64_t)w;
	}
	return 0;
}

static int flush(struct file *f)
{
	int r = write_at(f, f->out.data, f->out.len, f->at);
	f->at += f->out.len;
	buf_clear(&f->out);
	/* Bit by bit, so that the log's syncs never wait for all of it. */
	if (f->at - f->flushed >= FLUSH_BYTES) {
		sync_file_range(f->fd, (off_t)f->flushed, (off_t)(f->at - f->flushed),
		                SYNC_FILE_RANGE_WRITE);
		f->flushed = f->at;
	}
	return r;
}

static int on_pages(void *arg, struct slice bytes)
{
	struct file *f = arg;
	buf_slice(&f->out, bytes);
	return f->out.len < WRITE_BYTES ? 0 : flush(f);
}

static int on_bucket(void *arg, const char *name)
{
	struct file *f = arg;
	int r = f->in_bucket ? bbolt_bucket_end(&f->writer) : 0;
	f->in_bucket = true;
	return r ? r : bbolt_bucket_begin(&f->writer, slice_str(name));
}

static int on_pair(void *arg, struct slice key, struct slice value)
{
	struct file *f = arg;
	return bbolt_bucket_put(&f->writer, key, value);
}

int etcd_export_file(struct kv_txn *kv, int fd, uint64_t *ret_bytes, struct err *err)
{
	uint8_t meta[2 * BBOLT_PAGE_BYTES];
	struct file f = {.fd = fd, .at = sizeof(meta), .err = err};
	struct etcd_sink sink = {on_bucket, on_pair, &f};
	int r = bbolt_writer_init(&f.writer, (struct bbolt_sink){on_pages, &f});
	if (!r)
		r = etcd_export(kv, &sink);
	if (!r)
		r = bbolt_bucket_end(&f.writer);
	if (!r)
		r = bbolt_writer_finish(&f.writer, meta);
	if (!r)
		r = flush(&f);
	if (!r)
		r = write_at(&f, meta, sizeof(meta), 0);
	*ret_bytes = f.at;
	bbolt_writer_deinit(&f.writer);
	buf_deinit(&f.out);
	if (r && !(err && err->code))
		return err_set(err, (enum err_code) - r, "cannot make the snapshot: %s",
		               err_name(r));
	return r;
}
