/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot on its way in. It becomes the next generation of the database: until the checkpoint
 * names that one, a crash leaves the tables as they were; from then on they are the received ones.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "raftstore/store/internal.h"

int store_receive_begin(struct store *s, struct err *err)
{
	if (s->received_fd >= 0)
		close(s->received_fd);
	s->received_fd =
	    openat(s->dir_fd, STORE_RECEIVED, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return s->received_fd < 0 ? store_err(err, errno, STORE_RECEIVED) : 0;
}

int store_receive_write(struct store *s, uint64_t offset, struct slice bytes, struct err *err)
{
	while (bytes.len) {
		ssize_t n = pwrite(s->received_fd, bytes.data, bytes.len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return store_err(err, errno, STORE_RECEIVED);
		bytes = slice_skip(bytes, (size_t)n);
		offset += (uint64_t)n;
	}
	return 0;
}

/* LMDB maps the file and would die of reading a page behind its end. */
static int check_file(struct store *s, struct store *next, struct err *err)
{
	MDB_stat stat;
	MDB_envinfo info;
	struct stat st;
	int fd;
	mdb_env_stat(next->env, &stat);
	mdb_env_info(next->env, &info);
	mdb_env_get_fd(next->env, &fd);
	if (fstat(fd, &st))
		return store_err(err, errno, STORE_RECEIVED);
	if (stat.ms_psize != s->page_bytes)
		return err_set(err, ERR_CORRUPT, "the snapshot was made with pages of %u bytes",
		               stat.ms_psize);
	if ((info.me_last_pgno + 1) * s->page_bytes > (uint64_t)st.st_size)
		return err_set(err, ERR_CORRUPT, "the snapshot is too short");
	return 0;
}

static int adopt_into(struct store *next, int (*adopt)(void *arg, struct kv_txn *kv), void *arg,
                      struct err *err)
{
	struct store_txn *t = calloc(1, sizeof(*t));
	if (!t)
		abort();
	t->kv.ops = &lmdb_ops;
	t->store = next;
	t->write = true;
	int r = mdb_txn_begin(next->env, NULL, 0, &t->txn);
	r = r ? store_err(err, r, "mdb_txn_begin") : 0;
	if (!r) {
		r = adopt(arg, &t->kv);
		if (r)
			err_set(err, (enum err_code) - r, "cannot adopt the snapshot");
	}
	if (!r) {
		r = mdb_txn_commit(TAKE(t->txn));
		r = r ? store_err(err, r, "mdb_txn_commit") : 0;
	}
	txn_free(t);
	return r;
}

/* Opens the file as the next generation, with what is this member's own in it, durable. */
static int prepare(struct store *s, struct store *next, int (*adopt)(void *arg, struct kv_txn *kv),
                   void *arg, struct err *err)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	db_path(s, next->generation, "", &path);
	int r = env_open(s, (char *)path.data, 0, &next->env, err);
	if (!r)
		r = check_file(s, next, err);
	if (!r)
		r = tables_open(next->env, true, next->tables, err);
	if (!r)
		r = adopt_into(next, adopt, arg, err);
	if (r || s->no_sync)
		return r;
	r = mdb_env_sync(next->env, 1);
	return r ? store_err(err, r, "mdb_env_sync") : 0;
}

int store_install(struct store *s, struct store_mark mark,
                  int (*adopt)(void *arg, struct kv_txn *kv), void *arg, struct err *err)
{
	if (s->received_fd < 0)
		return err_set(err, ERR_NOT_FOUND, "no snapshot has been received");
	struct store next = {.generation = s->generation + 1, .page_bytes = s->page_bytes};
	char name[32];
	struct stat st = {0};
	db_name(next.generation, name);
	/* LMDB would make a new database of an empty file. */
	bool is_empty = !fstat(s->received_fd, &st) && !st.st_size;
	close(s->received_fd);
	s->received_fd = -1;
	if (is_empty)
		return err_set(err, ERR_CORRUPT, "the snapshot is empty");
	if (renameat(s->dir_fd, STORE_RECEIVED, s->dir_fd, name))
		return store_err(err, errno, STORE_RECEIVED);
	int r = prepare(s, &next, adopt, arg, err);
	if (!r)
		r = store_swap(s, &next, mark, err);
	if (r)
		store_discard(s, &next, r != -ERR_UNKNOWN);
	return r;
}
