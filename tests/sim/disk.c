/* SPDX-License-Identifier: Apache-2.0 */
/* A disk with one folder behind struct log_io, for one member. What is written is there for readers
 * at once, and survives a power cut when it has been synced; of the rest any sectors may be there.
 */
#include <errno.h>
#include <stdio.h>
#include "common/base/buf.h"
#include "tests/sim/edges.h"

enum { DIR_FD = 1, LOCK_FD = 2, FILE_FD = 16, SECTOR_BYTES = 512 };

struct unsynced {
	uint64_t at, len;
	uint8_t *was; /* what stood there before */
};

struct file {
	struct buf data;
	uint64_t synced_len; /* the length that survives in any case */
	VEC(struct unsynced) unsynced;
};

struct name {
	char name[32];
	size_t file;
};

typedef VEC(struct name) names;

struct disk {
	VEC(struct file) files;
	names names, synced_names;
	VEC(names) unsynced_names; /* the folder after each change since the last sync of it */
	bool full;
	unsigned failing_syncs;
};

struct disk *disk_new(void)
{
	return calloc(1, sizeof(struct disk));
}

void disk_set_full(struct disk *d, bool full)
{
	d->full = full;
}

void disk_set_failing(struct disk *d, unsigned syncs)
{
	d->failing_syncs = syncs;
}

/* Operations take time; a member may die in any of them. */
static struct disk *operate(void *ctx, uint64_t bytes, bool sync)
{
	struct member *m = ctx;
	member_disk_operation(m, bytes, sync);
	return m->disk;
}

static struct name *find(struct disk *d, const char *name)
{
	VEC_FOREACH (&d->names, n)
		if (!strcmp(n->name, name))
			return n;
	return NULL;
}

static names names_copy(const names *from)
{
	names to = {0};
	VEC_FOREACH (from, n)
		*vec_push(&to) = *n;
	return to;
}

static void names_changed(struct disk *d)
{
	*vec_push(&d->unsynced_names) = names_copy(&d->names);
}

static int disk_open_dir(void *ctx, const char *path)
{
	return DIR_FD;
}

static int disk_lock(void *ctx, int dir, const char *name)
{
	return LOCK_FD;
}

static int disk_sync_dir(void *ctx, int dir)
{
	struct disk *d = operate(ctx, 0, true);
	VEC_FOREACH (&d->unsynced_names, n)
		vec_deinit(n);
	vec_clear(&d->unsynced_names);
	vec_deinit(&d->synced_names);
	d->synced_names = names_copy(&d->names);
	return 0;
}

static int disk_list(void *ctx, int dir, void (*each)(void *arg, const char *name), void *arg)
{
	struct disk *d = operate(ctx, 0, false);
	VEC_FOREACH (&d->names, n)
		each(arg, n->name);
	return 0;
}

static int disk_open(void *ctx, int dir, const char *name, bool create)
{
	struct disk *d = operate(ctx, 0, false);
	struct name *n = find(d, name);
	if (n)
		return create ? -EEXIST : (int)n->file + FILE_FD;
	if (!create)
		return -ENOENT;
	n = vec_push(&d->names);
	n->file = d->files.n;
	snprintf(n->name, sizeof(n->name), "%s", name);
	*vec_push(&d->files) = (struct file){.data = BUF_INIT};
	names_changed(d);
	return (int)(d->files.n - 1) + FILE_FD;
}

static void disk_close(void *ctx, int fd)
{
}

static int64_t disk_size(void *ctx, int fd)
{
	struct disk *d = operate(ctx, 0, false);
	return (int64_t)d->files.at[fd - FILE_FD].data.len;
}

static ssize_t disk_pread(void *ctx, int fd, void *p, size_t n, uint64_t at)
{
	struct disk *d = operate(ctx, n, false);
	const struct buf *f = &d->files.at[fd - FILE_FD].data;
	size_t got = at < f->len ? MIN(n, f->len - at) : 0;
	/* Short reads are allowed. */
	if (got > 1 && sim_chance(10))
		got = 1 + sim_below(got);
	if (got)
		memcpy(p, f->data + at, got);
	return (ssize_t)got;
}

static ssize_t disk_pwrite(void *ctx, int fd, const void *p, size_t n, uint64_t at)
{
	struct disk *d = operate(ctx, n, false);
	struct file *f = &d->files.at[fd - FILE_FD];
	bool grows = at + n > f->data.len;
	if (grows && d->full)
		return -ENOSPC;
	if (n > 1 && sim_chance(10))
		n = 1 + sim_below(n);
	if (at + n > f->data.len) {
		buf_reserve(&f->data, at + n - f->data.len);
		memset(f->data.data + f->data.len, 0, at + n - f->data.len);
		f->data.len = at + n;
	}
	struct unsynced *u = vec_push(&f->unsynced);
	*u = (struct unsynced){at, n, malloc(n + 1)};
	memcpy(u->was, f->data.data + at, n);
	memcpy(f->data.data + at, p, n);
	return (ssize_t)n;
}

static int disk_fdatasync(void *ctx, int fd)
{
	struct disk *d = operate(ctx, 0, true);
	if (d->failing_syncs) {
		d->failing_syncs--;
		return -EIO;
	}
	struct file *f = &d->files.at[fd - FILE_FD];
	VEC_FOREACH (&f->unsynced, u)
		free(u->was);
	vec_clear(&f->unsynced);
	f->synced_len = f->data.len;
	return 0;
}

static int disk_allocate(void *ctx, int fd, uint64_t bytes)
{
	struct disk *d = operate(ctx, 0, false);
	return d->full ? -ENOSPC : 0;
}

static int disk_rename(void *ctx, int dir, const char *from, const char *to)
{
	struct disk *d = operate(ctx, 0, false);
	struct name *n = find(d, from), *old = find(d, to);
	if (!n)
		return -ENOENT;
	if (old) {
		old->file = n->file;
		vec_remove(&d->names, n - d->names.at);
	} else {
		snprintf(n->name, sizeof(n->name), "%s", to);
	}
	names_changed(d);
	return 0;
}

static int disk_unlink(void *ctx, int dir, const char *name)
{
	struct disk *d = operate(ctx, 0, false);
	struct name *n = find(d, name);
	if (!n)
		return -ENOENT;
	vec_remove(&d->names, n - d->names.at);
	names_changed(d);
	return 0;
}

/* The context is the member. */
void disk_io(struct disk *d, struct log_io *ret)
{
	*ret = (struct log_io){
	    .ctx = sim_member(),
	    .open_dir = disk_open_dir,
	    .lock = disk_lock,
	    .sync_dir = disk_sync_dir,
	    .list = disk_list,
	    .open = disk_open,
	    .close = disk_close,
	    .size = disk_size,
	    .pread = disk_pread,
	    .pwrite = disk_pwrite,
	    .fdatasync = disk_fdatasync,
	    .allocate = disk_allocate,
	    .rename = disk_rename,
	    .unlink = disk_unlink,
	};
}

/* --- power cuts --- */

/* Takes unsynced writes back: all, none, those after some moment, or any sectors. */
static void file_crash(struct file *f)
{
	uint64_t mode = sim_below(4);
	size_t kept = sim_below(f->unsynced.n + 1);
	for (size_t i = f->unsynced.n; i-- > 0;) {
		struct unsynced *u = &f->unsynced.at[i];
		for (uint64_t at = 0; at < u->len;) {
			uint64_t n = SECTOR_BYTES - (u->at + at) % SECTOR_BYTES;
			n = MIN(n, u->len - at);
			bool there =
			    mode == 0 || (mode == 2 && i < kept) || (mode == 3 && sim_below(2));
			if (!there)
				memcpy(f->data.data + u->at + at, u->was + at, n);
			at += n;
		}
		free(u->was);
	}
	vec_clear(&f->unsynced);
	if (mode == 1)
		f->data.len = f->synced_len;
	f->synced_len = f->data.len;
}

void disk_crash(struct disk *d)
{
	VEC_FOREACH (&d->files, f)
		file_crash(f);
	/* The folder is as after any one of its changes. */
	size_t kept = sim_below(d->unsynced_names.n + 1);
	vec_deinit(&d->names);
	d->names = names_copy(kept ? &d->unsynced_names.at[kept - 1] : &d->synced_names);
	VEC_FOREACH (&d->unsynced_names, n)
		vec_deinit(n);
	vec_clear(&d->unsynced_names);
	vec_deinit(&d->synced_names);
	d->synced_names = names_copy(&d->names);
	d->failing_syncs = 0;
}
