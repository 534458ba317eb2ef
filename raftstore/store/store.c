/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/store/store.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "raftstore/store/internal.h"

const char *const table_names[KV_TABLES] = {
    [KV_META] = "meta",
    [KV_REV] = "rev",
    [KV_INDEX] = "idx",
    [KV_LEASE] = "lease",
    [KV_LEASE_KEYS] = "lease_keys",
};

void db_name(uint64_t generation, char out[32])
{
	snprintf(out, 32, "db-%016llx.mdb", (unsigned long long)generation);
}

void db_path(const struct store *s, uint64_t generation, const char *suffix, struct buf *out)
{
	char name[32];
	db_name(generation, name);
	buf_clear(out);
	buf_printf(out, "%s/%s%s", s->dir, name, suffix);
}

int env_open(const struct store *s, const char *path, unsigned flags, MDB_env **ret,
             struct err *err)
{
	MDB_env *env;
	int r = mdb_env_create(&env);
	if (r)
		return store_err(err, r, "mdb_env_create");
	mdb_env_set_mapsize(env, s->map_bytes);
	mdb_env_set_maxdbs(env, KV_TABLES);
	mdb_env_set_maxreaders(env, READERS_MAX);
	r = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NOSYNC | MDB_NORDAHEAD | flags,
	                 0600);
	if (r) {
		mdb_env_close(env);
		return store_err(err, r, path);
	}
	int fd;
	mdb_env_get_fd(env, &fd);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	mdb_reader_check(env, NULL);
	*ret = env;
	return 0;
}

/* The environment of a generation. */
int generation_open(const struct store *s, uint64_t generation, MDB_env **ret, struct err *err)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	db_path(s, generation, "", &path);
	return env_open(s, (char *)path.data, 0, ret, err);
}

int tables_open(MDB_env *env, bool create, MDB_dbi tables[KV_TABLES], struct err *err)
{
	MDB_txn *txn;
	int r = mdb_txn_begin(env, NULL, create ? 0 : MDB_RDONLY, &txn);
	if (r)
		return store_err(err, r, "mdb_txn_begin");
	for (int i = 0; !r && i < KV_TABLES; i++)
		r = mdb_dbi_open(txn, table_names[i], create ? MDB_CREATE : 0, &tables[i]);
	if (r) {
		mdb_txn_abort(txn);
		return store_err(err, r, "mdb_dbi_open");
	}
	r = mdb_txn_commit(txn);
	return r ? store_err(err, r, "mdb_txn_commit") : 0;
}

/* Deletes databases of other generations, which a defragmentation or an installation left or did
 * not finish, and snapshots that were on their way. */
static void delete_others(struct store *s)
{
	char name[32];
	db_name(s->generation, name);
	DIR *d = opendir(s->dir);
	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		bool other =
		    !strncmp(e->d_name, "db-", 3) && strncmp(e->d_name, name, strlen(name));
		bool snapshot =
		    !strncmp(e->d_name, "copy-", 5) || !strcmp(e->d_name, STORE_RECEIVED);
		if (other || snapshot)
			unlinkat(s->dir_fd, e->d_name, 0);
	}
	closedir(d);
}

static int file_bytes(int fd, uint64_t *ret)
{
	struct stat st;
	if (fstat(fd, &st))
		return errno;
	*ret = (uint64_t)st.st_size;
	return 0;
}

/* LMDB maps the file and would die of reading a page behind its end. */
static int check_size(int fd, const struct pin *p, const char *path, struct err *err)
{
	uint64_t bytes = 0;
	int r = file_bytes(fd, &bytes);
	if (r)
		return store_err(err, r, path);
	if (bytes < p->file_bytes)
		return err_set(err, ERR_CORRUPT,
		               "%s: has %llu bytes, at its checkpoint it had %llu", path,
		               (unsigned long long)bytes, (unsigned long long)p->file_bytes);
	return 0;
}

/* Puts the meta pages of the checkpoint back where the file has others. */
static int roll_back(struct store *s, const struct pin *p, struct err *err)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	db_path(s, s->generation, "", &path);
	int fd = open((char *)path.data, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_CORRUPT, "%s: %s", path.data, strerror(errno));
	int r = check_size(fd, p, (char *)path.data, err);
	if (r) {
		close(fd);
		return r;
	}
	_cleanup_(free_p) uint8_t *pages = malloc(2 * s->page_bytes);
	r = meta_pages_read(fd, s->page_bytes, pages);
	if (!r && memcmp(pages, p->pages, 2 * s->page_bytes)) {
		ssize_t n = pwrite(fd, p->pages, 2 * s->page_bytes, 0);
		if (n != (ssize_t)(2 * s->page_bytes) || fdatasync(fd))
			r = errno ? errno : EIO;
	}
	close(fd);
	return r ? store_err(err, r, (char *)path.data) : 0;
}

static int pin_now(struct store *s, struct store_mark mark, struct pin *ret)
{
	struct pin p = {.mark = mark, .pages = malloc(2 * s->page_bytes)};
	if (!p.pages)
		abort();
	int fd, r = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &p.txn);
	if (!r) {
		mdb_env_get_fd(s->env, &fd);
		r = file_bytes(fd, &p.file_bytes);
		if (!r)
			r = meta_pages_read(fd, s->page_bytes, p.pages);
	}
	if (r) {
		pin_release(&p);
		return store_error(r);
	}
	*ret = p;
	return 0;
}

static int open_existing(struct store *s, struct pin *checkpoint, struct err *err)
{
	int r = roll_back(s, checkpoint, err);
	if (!r)
		r = generation_open(s, s->generation, &s->env, err);
	if (!r)
		r = tables_open(s->env, false, s->tables, err);
	if (r)
		return r;
	r = pin_now(s, checkpoint->mark, &s->durable);
	return r ? err_set(err, (enum err_code) - r, "cannot pin the checkpoint") : 0;
}

static int create_new(struct store *s, struct err *err)
{
	s->generation = 1;
	_cleanup_buf_ struct buf path = BUF_INIT;
	db_path(s, s->generation, "", &path);
	unlink((char *)path.data);
	int r = generation_open(s, s->generation, &s->env, err);
	if (!r)
		r = tables_open(s->env, true, s->tables, err);
	if (!r)
		r = store_checkpoint_begin(s, (struct store_mark){0, 0});
	return r ? r : store_checkpoint_finish(s, err);
}

int store_open(const struct store_options *o, struct store **ret, struct err *err)
{
	struct store *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->dir = strdup(o->dir);
	s->map_bytes = o->map_bytes ? o->map_bytes : (uint64_t)64 << 30;
	s->no_sync = o->no_sync;
	s->received_fd = -1;
	s->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	pthread_mutex_init(&s->lock, NULL);
	pthread_rwlock_init(&s->swap, NULL);
	s->dir_fd = open(o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = s->dir_fd < 0 ? err_set(err, ERR_IO, "%s: %s", o->dir, strerror(errno)) : 0;
	struct pin checkpoint = {0};
	if (!r) {
		r = checkpoint_read(s, &s->generation, &checkpoint, err);
		if (!r)
			r = open_existing(s, &checkpoint, err);
		else if (r == -ERR_NOT_FOUND)
			r = create_new(s, err);
	}
	pin_release(&checkpoint);
	if (r) {
		store_close(s);
		return r;
	}
	delete_others(s);
	*ret = s;
	return 0;
}

void txn_free(struct store_txn *t)
{
	for (int i = 0; i < KV_TABLES; i++) {
		if (t->spare[i])
			mdb_cursor_close(t->spare[i]);
	}
	if (t->txn)
		mdb_txn_abort(t->txn);
	buf_deinit(&t->scratch);
	buf_deinit(&t->notes);
	free(t);
}

static void idle_free(struct store *s)
{
	VEC_FOREACH (&s->idle, t)
		txn_free(*t);
	vec_deinit(&s->idle);
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->fresh)
		store_defragment_abort(s);
	idle_free(s);
	pin_release(&s->durable);
	pin_release(&s->next);
	if (s->retired)
		mdb_env_close(s->retired);
	if (s->env)
		mdb_env_close(s->env);
	if (s->received_fd >= 0)
		close(s->received_fd);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	pthread_mutex_destroy(&s->lock);
	pthread_rwlock_destroy(&s->swap);
	free(s->dir);
	free(s);
}

static struct store_txn *idle_take(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	struct store_txn *t = s->idle.n ? vec_pop(&s->idle) : NULL;
	pthread_mutex_unlock(&s->lock);
	return t;
}

int store_begin(struct store *s, bool write, struct kv_txn **ret)
{
	pthread_rwlock_rdlock(&s->swap);
	struct store_txn *t = write ? NULL : idle_take(s);
	int r;
	if (t) {
		r = mdb_txn_renew(t->txn);
	} else {
		t = calloc(1, sizeof(*t));
		if (!t)
			abort();
		t->kv.ops = &lmdb_ops;
		t->store = s;
		t->write = write;
		r = mdb_txn_begin(s->env, NULL, write ? 0 : MDB_RDONLY, &t->txn);
	}
	if (r) {
		txn_free(t);
		pthread_rwlock_unlock(&s->swap);
		return store_error(r);
	}
	*ret = &t->kv;
	return 0;
}

int store_commit(struct kv_txn *kv, struct err *err)
{
	struct store_txn *t = CONTAINER_OF(kv, struct store_txn, kv);
	struct store *s = t->store;
	int r = mdb_txn_commit(TAKE(t->txn));
	if (!r)
		notes_commit(s, &t->notes);
	txn_free(t);
	pthread_rwlock_unlock(&s->swap);
	return r ? store_err(err, r, "mdb_txn_commit") : 0;
}

enum { IDLE_MAX = 16 };

void store_end(struct kv_txn *kv)
{
	if (!kv)
		return;
	struct store_txn *t = CONTAINER_OF(kv, struct store_txn, kv);
	struct store *s = t->store;
	if (!t->write) {
		mdb_txn_reset(t->txn);
		pthread_mutex_lock(&s->lock);
		if (s->idle.n < IDLE_MAX)
			*vec_push(&s->idle) = TAKE(t);
		pthread_mutex_unlock(&s->lock);
	}
	if (t)
		txn_free(t);
	pthread_rwlock_unlock(&s->swap);
}

uint64_t store_file_bytes(struct store *s)
{
	MDB_envinfo info;
	pthread_rwlock_rdlock(&s->swap);
	mdb_env_info(s->env, &info);
	pthread_rwlock_unlock(&s->swap);
	return (info.me_last_pgno + 1) * s->page_bytes;
}

void store_sizes(struct store *s, struct store_sizes *ret)
{
	ret->file_bytes = ret->used_bytes = store_file_bytes(s);
	struct kv_txn *kv;
	if (store_begin(s, false, &kv))
		return;
	struct store_txn *t = CONTAINER_OF(kv, struct store_txn, kv);
	/* Database 0 lists free pages: each value is a count and that many numbers. */
	MDB_cursor *c;
	MDB_val k, v;
	uint64_t free_pages = 0;
	if (!mdb_cursor_open(t->txn, 0, &c)) {
		for (int r = mdb_cursor_get(c, &k, &v, MDB_FIRST); !r;
		     r = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
			size_t n;
			memcpy(&n, v.mv_data, sizeof(n));
			free_pages += n;
		}
		mdb_cursor_close(c);
	}
	store_end(kv);
	ret->used_bytes -= MIN(free_pages * s->page_bytes, ret->used_bytes);
}

int store_copy(struct store *s, const char *path, struct err *err)
{
	pthread_rwlock_rdlock(&s->swap);
	int r = mdb_env_copy2(s->env, path, MDB_CP_COMPACT);
	pthread_rwlock_unlock(&s->swap);
	return r ? store_err(err, r, path) : 0;
}

void store_write_out(struct store *s)
{
	mdb_filehandle_t fd;
	if (s->no_sync)
		return;
	pthread_rwlock_rdlock(&s->swap);
	/* Only a hint: the checkpoint's sync tells of failures. */
	if (!mdb_env_get_fd(s->env, &fd))
		(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	pthread_rwlock_unlock(&s->swap);
}

int store_checkpoint_begin(struct store *s, struct store_mark mark)
{
	pthread_mutex_lock(&s->lock);
	bool busy = s->next.txn;
	pthread_mutex_unlock(&s->lock);
	if (busy)
		return -ERR_TOO_MANY_REQUESTS;
	struct pin p;
	int r = pin_now(s, mark, &p);
	if (r)
		return r;
	pthread_mutex_lock(&s->lock);
	s->next = p;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

int store_checkpoint_finish(struct store *s, struct err *err)
{
	int r = s->no_sync ? 0 : mdb_env_sync(s->env, 1);
	/* The name of a new file must not be younger than the checkpoint that names it. */
	if (!r && s->retired && !s->no_sync && fsync(s->dir_fd))
		r = errno;
	r = r ? store_err(err, r, "mdb_env_sync")
	      : checkpoint_write(s, s->generation, &s->next, err);
	pthread_mutex_lock(&s->lock);
	struct pin old = r ? s->next : s->durable;
	if (!r)
		s->durable = s->next;
	s->next = (struct pin){0};
	pthread_mutex_unlock(&s->lock);
	pin_release(&old);
	if (!r && s->retired) {
		mdb_env_close(TAKE(s->retired));
		delete_others(s);
	}
	return r;
}

struct store_mark store_durable(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	struct store_mark m = s->durable.mark;
	pthread_mutex_unlock(&s->lock);
	return m;
}

int store_swap(struct store *s, struct store *next, struct store_mark mark, struct err *err)
{
	struct pin p = {0};
	pthread_rwlock_wrlock(&s->swap);
	int r = pin_now(next, mark, &p);
	if (r)
		err_set(err, (enum err_code) - r, "cannot pin the new tables");
	/* The file's name must not be younger than the checkpoint that names it. */
	if (!r && !s->no_sync && fsync(s->dir_fd))
		r = store_err(err, errno, s->dir);
	if (!r)
		r = checkpoint_write(s, next->generation, &p, err);
	if (!r) {
		MDB_env *old = s->env;
		idle_free(s);
		pthread_mutex_lock(&s->lock);
		struct pin durable = s->durable;
		s->durable = p;
		pthread_mutex_unlock(&s->lock);
		pin_release(&durable);
		s->env = next->env;
		memcpy(s->tables, next->tables, sizeof(s->tables));
		s->generation = next->generation;
		mdb_env_close(old);
		if (s->retired)
			mdb_env_close(TAKE(s->retired));
	}
	pthread_rwlock_unlock(&s->swap);
	if (r)
		pin_release(&p);
	else
		delete_others(s);
	return r;
}

void store_remove(const struct store *s, uint64_t generation)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	db_path(s, generation, "", &path);
	unlink((char *)path.data);
	db_path(s, generation, "-lock", &path);
	unlink((char *)path.data);
}

void store_discard(struct store *s, struct store *next, bool delete)
{
	if (next->env)
		mdb_env_close(next->env);
	if (delete)
		store_remove(s, next->generation);
}

void store_replace(struct store *s, const struct store *fresh)
{
	idle_free(s);
	s->retired = s->env;
	s->env = fresh->env;
	memcpy(s->tables, fresh->tables, sizeof(s->tables));
	s->generation = fresh->generation;
}
