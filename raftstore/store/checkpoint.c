/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "common/codec/crc32c.h"
#include "raftstore/store/internal.h"

/* The file "checkpoint", in the machine's byte order: a head, then both meta pages. */
struct checkpoint_head {
	char magic[8];
	uint32_t version, crc; /* of everything behind it */
	uint64_t generation, index, term, page_bytes, file_bytes;
};

enum { CHECKPOINT_VERSION = 3 };
static const char checkpoint_magic[8] = "kubeckpt";

void pin_release(struct pin *p)
{
	if (p->txn)
		mdb_txn_abort(p->txn);
	free(p->pages);
	*p = (struct pin){0};
}

int meta_pages_read(int fd, size_t page_bytes, uint8_t *pages)
{
	errno = 0;
	ssize_t n = pread(fd, pages, 2 * page_bytes, 0);
	if (n == (ssize_t)(2 * page_bytes))
		return 0;
	return errno ? errno : MDB_CORRUPTED;
}

static uint32_t head_crc(const struct checkpoint_head *h, const uint8_t *pages)
{
	size_t from = offsetof(struct checkpoint_head, generation);
	uint32_t crc = crc32c(0, (const uint8_t *)h + from, sizeof(*h) - from);
	return crc32c(crc, pages, 2 * h->page_bytes);
}

static int write_all(int fd, const void *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);
		if (w < 0)
			return errno;
		p = (const uint8_t *)p + w;
		n -= (size_t)w;
	}
	return 0;
}

int checkpoint_write(struct store *s, uint64_t generation, const struct pin *p, struct err *err)
{
	struct checkpoint_head h = {.version = CHECKPOINT_VERSION, .generation = generation};
	memcpy(h.magic, checkpoint_magic, sizeof(h.magic));
	h.index = p->mark.index;
	h.term = p->mark.term;
	h.page_bytes = s->page_bytes;
	h.file_bytes = p->file_bytes;
	h.crc = head_crc(&h, p->pages);
	int fd =
	    openat(s->dir_fd, "checkpoint.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return store_err(err, errno, "checkpoint.tmp");
	int r = write_all(fd, &h, sizeof(h));
	if (!r)
		r = write_all(fd, p->pages, 2 * s->page_bytes);
	if (!r && !s->no_sync && fsync(fd))
		r = errno;
	if (close(fd) && !r)
		r = errno;
	if (!r && renameat(s->dir_fd, "checkpoint.tmp", s->dir_fd, "checkpoint"))
		r = errno;
	if (r)
		return store_err(err, r, "checkpoint");
	if (!s->no_sync && fsync(s->dir_fd))
		return err_set(err, ERR_UNKNOWN, "checkpoint: %s", strerror(errno));
	return 0;
}

static int head_check(struct store *s, const struct checkpoint_head *h, struct err *err)
{
	if (memcmp(h->magic, checkpoint_magic, sizeof(h->magic)))
		return err_set(err, ERR_CORRUPT, "checkpoint: not a checkpoint");
	if (h->version != CHECKPOINT_VERSION)
		return err_set(err, ERR_CORRUPT, "checkpoint: unknown version %u", h->version);
	if (h->page_bytes != s->page_bytes)
		return err_set(err, ERR_CORRUPT, "checkpoint: made with pages of %llu bytes",
		               (unsigned long long)h->page_bytes);
	return 0;
}

int checkpoint_read(struct store *s, uint64_t *ret_generation, struct pin *ret, struct err *err)
{
	int fd = openat(s->dir_fd, "checkpoint", O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		enum err_code code = errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
		return err_set(err, code, "checkpoint: %s", strerror(errno));
	}
	struct checkpoint_head h;
	_cleanup_(free_p) uint8_t *pages = malloc(2 * s->page_bytes);
	ssize_t n = read(fd, &h, sizeof(h));
	ssize_t m = n == sizeof(h) ? read(fd, pages, 2 * s->page_bytes) : -1;
	close(fd);
	if (m != (ssize_t)(2 * s->page_bytes))
		return err_set(err, ERR_CORRUPT, "checkpoint: too short");
	int r = head_check(s, &h, err);
	if (r)
		return r;
	if (h.crc != head_crc(&h, pages))
		return err_set(err, ERR_CORRUPT, "checkpoint: wrong checksum");
	*ret_generation = h.generation;
	ret->mark = (struct store_mark){h.index, h.term};
	ret->file_bytes = h.file_bytes;
	ret->pages = TAKE(pages);
	return 0;
}
