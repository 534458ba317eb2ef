/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/volume/atomic_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/map.h"
#include "common/base/rng.h"

void payload_add(struct payload *p, struct arena *a, const char *path, struct slice data,
                 mode_t mode)
{
	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->at[i].path, path)) {
			p->at[i] = (struct payload_file){path, data, mode};
			return;
		}
	p->at = arena_grow(a, p->at, p->n * sizeof(*p->at), (p->n + 1) * sizeof(*p->at));
	p->at[p->n++] = (struct payload_file){path, data, mode};
}

uint64_t payload_sum(const struct payload *p)
{
	uint64_t sum = p->n + 1;
	for (size_t i = 0; i < p->n; i++) {
		sum = hash_bytes(p->at[i].path, strlen(p->at[i].path), sum);
		sum = hash_bytes(p->at[i].data.data, p->at[i].data.len, sum + p->at[i].mode);
	}
	return sum;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	remove(path);
	return 0;
}

static int write_file(int dir, const struct payload_file *f, int64_t gid, struct err *err)
{
	_cleanup_arena_ struct arena a = {0};
	char *path = arena_strdup(&a, f->path);
	for (char *s = strchr(path, '/'); s; s = strchr(s + 1, '/')) {
		*s = 0;
		mkdirat(dir, path, 0755);
		if (gid >= 0) {
			ERR_IGNORE(fchownat(dir, path, (uid_t)-1, (gid_t)gid, 0)); /* best effort */
			ERR_IGNORE(fchmodat(dir, path, 02755, 0));
		}
		*s = '/';
	}
	int fd = openat(dir, f->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(err, ERR_IO, "open %s: %s", f->path, strerror(errno));
	mode_t mode = gid >= 0 ? f->mode | 0440 : f->mode;
	int r = 0;
	for (size_t at = 0; !r && at < f->data.len;) {
		ssize_t n = write(fd, f->data.data + at, f->data.len - at);
		if (n < 0 && errno != EINTR)
			r = err_set(err, ERR_IO, "write %s: %s", f->path, strerror(errno));
		at += n > 0 ? (size_t)n : 0;
	}
	if (!r && ((gid >= 0 && fchown(fd, (uid_t)-1, (gid_t)gid)) || fchmod(fd, mode)))
		r = err_set(err, ERR_IO, "chmod %s: %s", f->path, strerror(errno));
	close(fd);
	return r;
}

/* The first part of each path becomes a link through ..data; links that lead nowhere go. */
static int link_names(const char *dir, int fd, const struct payload *p, struct err *err)
{
	_cleanup_arena_ struct arena a = {0};
	for (size_t i = 0; i < p->n; i++) {
		size_t n = strcspn(p->at[i].path, "/");
		const char *name = arena_strndup(&a, p->at[i].path, n);
		if (symlinkat(arena_printf(&a, "..data/%s", name), fd, name) && errno != EEXIST)
			return err_set(err, ERR_IO, "link %s/%s: %s", dir, name, strerror(errno));
	}
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		if (!strncmp(e->d_name, "..", 2) || !strcmp(e->d_name, "."))
			continue;
		if (faccessat(fd, e->d_name, F_OK, 0) && errno == ENOENT)
			unlinkat(fd, e->d_name, 0);
	}
	if (d)
		closedir(d);
	return 0;
}

int atomic_dir_write(const char *dir, const struct payload *p, int64_t gid, struct err *err)
{
	_cleanup_arena_ struct arena a = {0};
	char stamp[64], old[256] = "";
	uint32_t random;
	time_t now = time(NULL);
	struct tm tm;
	rng_system(&random, sizeof(random));
	strftime(stamp, sizeof(stamp), "..%Y_%m_%d_%H_%M_%S", gmtime_r(&now, &tm));
	const char *name = arena_printf(&a, "%s.%u", stamp, random);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_IO, "open %s: %s", dir, strerror(errno));
	ssize_t n = readlinkat(fd, "..data", old, sizeof(old) - 1);
	old[n > 0 ? n : 0] = 0;
	int r = 0, sub = -1;
	if (mkdirat(fd, name, 0755) ||
	    (sub = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		r = err_set(err, ERR_IO, "mkdir %s/%s: %s", dir, name, strerror(errno));
	if (!r && fchmod(sub, gid >= 0 ? 02755 : 0755))
		r = err_set(err, ERR_IO, "chmod %s/%s: %s", dir, name, strerror(errno));
	if (!r && gid >= 0)
		ERR_IGNORE(fchown(sub, (uid_t)-1, (gid_t)gid)); /* the files' own groups decide */
	for (size_t i = 0; !r && i < p->n; i++)
		r = write_file(sub, &p->at[i], gid, err);
	if (!r) {
		unlinkat(fd, "..data_tmp", 0);
		if (symlinkat(name, fd, "..data_tmp") || renameat(fd, "..data_tmp", fd, "..data"))
			r = err_set(err, ERR_IO, "link %s/..data: %s", dir, strerror(errno));
	}
	if (!r)
		r = link_names(dir, fd, p, err);
	const char *stale = r ? name : old;
	if (*stale && !strchr(stale, '/'))
		nftw(arena_printf(&a, "%s/%s", dir, stale), remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	if (sub >= 0)
		close(sub);
	close(fd);
	return r;
}
