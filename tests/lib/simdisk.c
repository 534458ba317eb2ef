/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/simdisk.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

enum { DIR_FD = 1, LOCK_FD = 2, FILE_FD = 16, SECTOR_BYTES = 512 };

static struct simdisk_op *record(struct simdisk *d, enum simdisk_op_kind kind, size_t file)
{
	struct simdisk_op *op = vec_push(&d->ops);
	*op = (struct simdisk_op){.kind = kind, .file = file};
	return op;
}

static struct simdisk_name *find(struct simdisk *d, const char *name)
{
	VEC_FOREACH (&d->names, n)
		if (strcmp(n->name, name) == 0)
			return n;
	return NULL;
}

static void name_set(struct simdisk *d, const char *name, size_t file)
{
	struct simdisk_name *n = find(d, name);
	n = n ? n : vec_push(&d->names);
	n->file = file;
	snprintf(n->name, sizeof(n->name), "%s", name);
}

static void name_remove(struct simdisk *d, const char *name)
{
	struct simdisk_name *n = find(d, name);
	if (n)
		vec_remove(&d->names, n - d->names.at);
}

static void file_write(struct buf *f, uint64_t at, const void *p, size_t n)
{
	if (at + n > f->len) {
		buf_reserve(f, at + n - f->len);
		memset(f->data + f->len, 0, at + n - f->len);
		f->len = at + n;
	}
	if (n)
		memcpy(f->data + at, p, n);
}

static uint64_t used_bytes(const struct simdisk *d)
{
	uint64_t sum = 0;
	VEC_FOREACH (&d->names, n)
		sum += d->files.at[n->file].len;
	return sum;
}

static int sim_open_dir(void *ctx, const char *path)
{
	return DIR_FD;
}

static int sim_lock(void *ctx, int dir, const char *name)
{
	struct simdisk *d = ctx;
	if (d->locked)
		return -EWOULDBLOCK;
	d->locked = true;
	return LOCK_FD;
}

static int sim_sync_dir(void *ctx, int dir)
{
	struct simdisk *d = ctx;
	pthread_mutex_lock(&d->lock);
	record(d, SIMDISK_SYNC_DIR, 0);
	pthread_mutex_unlock(&d->lock);
	return 0;
}

static int sim_list(void *ctx, int dir, void (*each)(void *arg, const char *name), void *arg)
{
	struct simdisk *d = ctx;
	VEC_FOREACH (&d->names, n)
		each(arg, n->name);
	return 0;
}

static int sim_open(void *ctx, int dir, const char *name, bool create)
{
	struct simdisk *d = ctx;
	int r;
	pthread_mutex_lock(&d->lock);
	struct simdisk_name *n = find(d, name);
	if (n) {
		r = create ? -EEXIST : (int)n->file + FILE_FD;
	} else if (!create) {
		r = -ENOENT;
	} else {
		size_t file = d->files.n;
		*vec_push(&d->files) = BUF_INIT;
		name_set(d, name, file);
		struct simdisk_op *op = record(d, SIMDISK_CREATE, file);
		snprintf(op->to, sizeof(op->to), "%s", name);
		r = (int)file + FILE_FD;
	}
	pthread_mutex_unlock(&d->lock);
	return r;
}

static void sim_close(void *ctx, int fd)
{
	struct simdisk *d = ctx;
	if (fd == LOCK_FD)
		d->locked = false;
}

static int64_t sim_size(void *ctx, int fd)
{
	struct simdisk *d = ctx;
	pthread_mutex_lock(&d->lock);
	int64_t n = (int64_t)d->files.at[fd - FILE_FD].len;
	pthread_mutex_unlock(&d->lock);
	return n;
}

static ssize_t sim_pread(void *ctx, int fd, void *p, size_t n, uint64_t at)
{
	struct simdisk *d = ctx;
	pthread_mutex_lock(&d->lock);
	const struct buf *f = &d->files.at[fd - FILE_FD];
	size_t got = at < f->len ? MIN(n, f->len - at) : 0;
	if (got)
		memcpy(p, f->data + at, got);
	pthread_mutex_unlock(&d->lock);
	return (ssize_t)got;
}

static ssize_t sim_pwrite(void *ctx, int fd, const void *p, size_t n, uint64_t at)
{
	struct simdisk *d = ctx;
	ssize_t r = (ssize_t)n;
	pthread_mutex_lock(&d->lock);
	struct buf *f = &d->files.at[fd - FILE_FD];
	uint64_t grows = at + n > f->len ? at + n - f->len : 0;
	if (grows && d->capacity_bytes && used_bytes(d) + grows > d->capacity_bytes) {
		r = -ENOSPC;
	} else {
		struct simdisk_op *op = record(d, SIMDISK_WRITE, (size_t)(fd - FILE_FD));
		op->at = at;
		op->data = blob_dup(slice_of(p, n));
		file_write(f, at, p, n);
	}
	pthread_mutex_unlock(&d->lock);
	return r;
}

static int sim_fdatasync(void *ctx, int fd)
{
	struct simdisk *d = ctx;
	pthread_mutex_lock(&d->lock);
	int r = d->fail_sync ? -EIO : 0;
	if (r == 0)
		record(d, SIMDISK_SYNC, (size_t)(fd - FILE_FD));
	d->syncs++;
	pthread_mutex_unlock(&d->lock);
	return r;
}

static int sim_allocate(void *ctx, int fd, uint64_t bytes)
{
	struct simdisk *d = ctx;
	pthread_mutex_lock(&d->lock);
	int r = d->capacity_bytes && used_bytes(d) + bytes > d->capacity_bytes ? -ENOSPC : 0;
	pthread_mutex_unlock(&d->lock);
	return r;
}

static int sim_rename(void *ctx, int dir, const char *from, const char *to)
{
	struct simdisk *d = ctx;
	pthread_mutex_lock(&d->lock);
	struct simdisk_name *n = find(d, from);
	if (n) {
		size_t file = n->file;
		struct simdisk_op *op = record(d, SIMDISK_RENAME, file);
		snprintf(op->from, sizeof(op->from), "%s", from);
		snprintf(op->to, sizeof(op->to), "%s", to);
		name_remove(d, from);
		name_set(d, to, file);
	}
	pthread_mutex_unlock(&d->lock);
	return n ? 0 : -ENOENT;
}

static int sim_unlink(void *ctx, int dir, const char *name)
{
	struct simdisk *d = ctx;
	pthread_mutex_lock(&d->lock);
	bool found = find(d, name);
	if (found) {
		struct simdisk_op *op = record(d, SIMDISK_UNLINK, 0);
		snprintf(op->from, sizeof(op->from), "%s", name);
		name_remove(d, name);
	}
	pthread_mutex_unlock(&d->lock);
	return found ? 0 : -ENOENT;
}

void simdisk_init(struct simdisk *d)
{
	*d = (struct simdisk){
	    .io =
	        {
	            .ctx = d,
	            .open_dir = sim_open_dir,
	            .lock = sim_lock,
	            .sync_dir = sim_sync_dir,
	            .list = sim_list,
	            .open = sim_open,
	            .close = sim_close,
	            .size = sim_size,
	            .pread = sim_pread,
	            .pwrite = sim_pwrite,
	            .fdatasync = sim_fdatasync,
	            .allocate = sim_allocate,
	            .rename = sim_rename,
	            .unlink = sim_unlink,
	        },
	};
	pthread_mutex_init(&d->lock, NULL);
}

void simdisk_deinit(struct simdisk *d)
{
	VEC_FOREACH (&d->ops, op)
		blob_unref(op->data);
	VEC_FOREACH (&d->files, f)
		buf_deinit(f);
	vec_deinit(&d->ops);
	vec_deinit(&d->files);
	vec_deinit(&d->names);
	pthread_mutex_destroy(&d->lock);
}

size_t simdisk_op_count(struct simdisk *d)
{
	pthread_mutex_lock(&d->lock);
	size_t n = d->ops.n;
	pthread_mutex_unlock(&d->lock);
	return n;
}

struct buf *simdisk_file(struct simdisk *d, const char *name)
{
	struct simdisk_name *n = find(d, name);
	return n ? &d->files.at[n->file] : NULL;
}

static bool synced_later(const struct simdisk *d, size_t i, size_t n_ops)
{
	for (size_t k = i + 1; k < n_ops; k++)
		if (d->ops.at[k].kind == SIMDISK_SYNC && d->ops.at[k].file == d->ops.at[i].file)
			return true;
	return false;
}

/* Of an unsynced write any sectors may have reached the disk. */
static void write_torn(struct buf *f, const struct simdisk_op *op, struct rng *rng)
{
	uint64_t mode = rng_below(rng, 4); /* all, none, a prefix, any sectors */
	uint64_t cut = rng_below(rng, op->data->len + 1);
	for (uint64_t at = 0; at < op->data->len;) {
		uint64_t n = SECTOR_BYTES - (op->at + at) % SECTOR_BYTES;
		n = MIN(n, op->data->len - at);
		bool there =
		    mode == 0 || (mode == 2 && at + n <= cut) || (mode == 3 && rng_below(rng, 2));
		if (there)
			file_write(f, op->at + at, op->data->data + at, n);
		at += n;
	}
}

void simdisk_cut(struct simdisk *d, size_t n_ops, struct rng *rng, struct simdisk *ret)
{
	assert(n_ops <= d->ops.n);
	simdisk_init(ret);
	for (size_t i = 0; i < d->files.n; i++)
		*vec_push(&ret->files) = BUF_INIT;
	size_t names_synced = 0, names_after = 0;
	for (size_t i = 0; i < n_ops; i++)
		if (d->ops.at[i].kind == SIMDISK_SYNC_DIR)
			names_synced = i;
	for (size_t i = names_synced; i < n_ops; i++)
		names_after += d->ops.at[i].kind >= SIMDISK_CREATE;
	size_t names_kept = rng_below(rng, names_after + 1);
	for (size_t i = 0; i < n_ops; i++) {
		const struct simdisk_op *op = &d->ops.at[i];
		struct buf *f = &ret->files.at[op->file];
		bool name_there = i < names_synced;
		if (op->kind >= SIMDISK_CREATE && !name_there)
			name_there = names_kept ? names_kept-- : false;
		if (op->kind == SIMDISK_WRITE && synced_later(d, i, n_ops))
			file_write(f, op->at, op->data->data, op->data->len);
		else if (op->kind == SIMDISK_WRITE)
			write_torn(f, op, rng);
		else if (op->kind == SIMDISK_CREATE && name_there)
			name_set(ret, op->to, op->file);
		else if (op->kind == SIMDISK_RENAME && name_there) {
			name_remove(ret, op->from);
			name_set(ret, op->to, op->file);
		} else if (op->kind == SIMDISK_UNLINK && name_there)
			name_remove(ret, op->from);
	}
}
