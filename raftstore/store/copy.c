/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot on its way out. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "raftstore/store/internal.h"

struct store_copy {
	int fd; /* the file has no name any more */
	uint64_t bytes;
};

/* Shows the copy's own tables. */
static int look_at(struct store *s, const char *path, int (*look)(void *arg, struct kv_txn *kv),
                   void *arg, struct err *err)
{
	struct store copy = {.page_bytes = s->page_bytes, .map_bytes = s->map_bytes};
	int r = env_open(&copy, path, MDB_RDONLY | MDB_NOLOCK, &copy.env, err);
	if (r)
		return r;
	r = tables_open(copy.env, false, copy.tables, err);
	struct store_txn *t = calloc(1, sizeof(*t));
	if (!t)
		abort();
	t->kv.ops = &lmdb_ops;
	t->store = &copy;
	if (!r) {
		r = mdb_txn_begin(copy.env, NULL, MDB_RDONLY, &t->txn);
		r = r ? store_err(err, r, "mdb_txn_begin") : 0;
	}
	if (!r) {
		r = look(arg, &t->kv);
		if (r < 0)
			err_set(err, (enum err_code) - r, "the copy cannot be read");
	}
	txn_free(t);
	mdb_env_close(copy.env);
	return MIN(r, 0);
}

static int copy_open(struct store_copy *c, const char *path, struct err *err)
{
	struct stat st;
	c->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (c->fd < 0 || fstat(c->fd, &st))
		return store_err(err, errno, path);
	c->bytes = (uint64_t)st.st_size;
	return 0;
}

int store_copy_new(struct store *s, int (*look)(void *arg, struct kv_txn *kv), void *arg,
                   struct store_copy **ret, struct err *err)
{
	static atomic_uint copies;
	_cleanup_buf_ struct buf path = BUF_INIT;
	buf_printf(&path, "%s/copy-%u.tmp", s->dir, copies++);
	struct store_copy *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->fd = -1;
	unlink((char *)path.data);
	int r = store_copy(s, (char *)path.data, err);
	if (!r)
		r = look_at(s, (char *)path.data, look, arg, err);
	if (!r)
		r = copy_open(c, (char *)path.data, err);
	unlink((char *)path.data);
	if (r)
		store_copy_free(c);
	else
		*ret = c;
	return r;
}

void store_copy_free(struct store_copy *c)
{
	if (c && c->fd >= 0)
		close(c->fd);
	free(c);
}

uint64_t store_copy_bytes(const struct store_copy *c)
{
	return c->bytes;
}

int store_copy_read(const struct store_copy *c, uint64_t offset, void *to, size_t len,
                    struct err *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(c->fd, (uint8_t *)to + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(err, ERR_IO, "reading a copy of the store: %s",
			               n ? strerror(errno) : "it is too short");
		done += (size_t)n;
	}
	return 0;
}
