/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/cleanup.h"
#include "raftstore/log/io.h"

static int or_errno(int r)
{
	return r < 0 ? -errno : r;
}

/* The new folder's own name must be durable too. */
static int sync_parent(const char *path)
{
	char *copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(copy);
	if (fd < 0)
		return -errno;
	int r = or_errno(fsync(fd));
	close(fd);
	return r;
}

static int sys_open_dir(void *ctx, const char *path)
{
	if (mkdir(path, 0700) == 0) {
		int r = sync_parent(path);
		if (r < 0)
			return r;
	} else if (errno != EEXIST) {
		return -errno;
	}
	return or_errno(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int sys_lock(void *ctx, int dir, const char *name)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static int sys_sync_dir(void *ctx, int dir)
{
	return or_errno(fsync(dir));
}

static int sys_list(void *ctx, int dir, void (*each)(void *arg, const char *name), void *arg)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		int r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	errno = 0;
	for (struct dirent *e; (e = readdir(d));)
		each(arg, e->d_name);
	int r = -errno;
	closedir(d);
	return r;
}

static int sys_open(void *ctx, int dir, const char *name, bool create)
{
	int flags = O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0);
	return or_errno(openat(dir, name, flags, 0600));
}

static void sys_close(void *ctx, int fd)
{
	close(fd);
}

static int64_t sys_size(void *ctx, int fd)
{
	struct stat st;
	return fstat(fd, &st) < 0 ? -errno : st.st_size;
}

static ssize_t sys_pread(void *ctx, int fd, void *p, size_t n, uint64_t at)
{
	ssize_t r;
	do
		r = pread(fd, p, n, (off_t)at);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

static ssize_t sys_pwrite(void *ctx, int fd, const void *p, size_t n, uint64_t at)
{
	ssize_t r;
	do
		r = pwrite(fd, p, n, (off_t)at);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

static int sys_fdatasync(void *ctx, int fd)
{
	return or_errno(fdatasync(fd));
}

static int sys_allocate(void *ctx, int fd, uint64_t bytes)
{
	int r = or_errno(fallocate(fd, 0, 0, (off_t)bytes));
	/* Without support the zeros that follow allocate as well. */
	return r == -EOPNOTSUPP || r == -ENOSYS ? 0 : r;
}

static int sys_rename(void *ctx, int dir, const char *from, const char *to)
{
	return or_errno(renameat(dir, from, dir, to));
}

static int sys_unlink(void *ctx, int dir, const char *name)
{
	return or_errno(unlinkat(dir, name, 0));
}

const struct log_io log_io_system = {
    .open_dir = sys_open_dir,
    .lock = sys_lock,
    .sync_dir = sys_sync_dir,
    .list = sys_list,
    .open = sys_open,
    .close = sys_close,
    .size = sys_size,
    .pread = sys_pread,
    .pwrite = sys_pwrite,
    .fdatasync = sys_fdatasync,
    .allocate = sys_allocate,
    .rename = sys_rename,
    .unlink = sys_unlink,
};

/* --- read only --- */

static int ro_open_dir(void *ctx, const char *path)
{
	return or_errno(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int ro_sync(void *ctx, int fd)
{
	return 0;
}

static int ro_open(void *ctx, int dir, const char *name, bool create)
{
	return create ? -EROFS : or_errno(openat(dir, name, O_RDONLY | O_CLOEXEC));
}

static ssize_t ro_pwrite(void *ctx, int fd, const void *p, size_t n, uint64_t at)
{
	return (ssize_t)n;
}

static int ro_allocate(void *ctx, int fd, uint64_t bytes)
{
	return -EROFS;
}

static int ro_rename(void *ctx, int dir, const char *from, const char *to)
{
	return -EROFS;
}

static int ro_unlink(void *ctx, int dir, const char *name)
{
	return 0;
}

const struct log_io log_io_read_only = {
    .open_dir = ro_open_dir,
    .lock = sys_lock,
    .sync_dir = ro_sync,
    .list = sys_list,
    .open = ro_open,
    .close = sys_close,
    .size = sys_size,
    .pread = sys_pread,
    .pwrite = ro_pwrite,
    .fdatasync = ro_sync,
    .allocate = ro_allocate,
    .rename = ro_rename,
    .unlink = ro_unlink,
};
