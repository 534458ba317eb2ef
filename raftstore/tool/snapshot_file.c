/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/tool/snapshot_file.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Pages are a multiple of this, so that what is over tells of a hash. */
enum { SECTOR_BYTES = 512 };

static int map_file(struct snapshot_file *f, int fd, const char *path, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st))
		return err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || !st.st_size)
		return err_set(err, ERR_CORRUPT, "%s: not a snapshot", path);
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
	madvise(p, (size_t)st.st_size, MADV_SEQUENTIAL);
	f->map = slice_of(p, (size_t)st.st_size);
	return 0;
}

int snapshot_file_open(struct snapshot_file *f, const char *path, struct err *err)
{
	*f = (struct snapshot_file){.has_hash = false};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", path,
		               strerror(errno));
	int r = map_file(f, fd, path, err);
	close(fd);
	if (r)
		return r;
	f->has_hash = f->map.len % SECTOR_BYTES == SHA256_DIGEST_LENGTH;
	size_t len = f->map.len - (f->has_hash ? SHA256_DIGEST_LENGTH : 0);
	r = bbolt_open(&f->db, slice_of(f->map.data, len), err);
	if (!r)
		return 0;
	snapshot_file_close(f);
	return err_prefix(err, "%s", path);
}

void snapshot_file_close(struct snapshot_file *f)
{
	if (f->map.data)
		munmap((void *)f->map.data, f->map.len);
	f->map = SLICE_EMPTY;
}

static void hex(const uint8_t *p, char out[2 * SHA256_DIGEST_LENGTH + 1])
{
	for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++)
		snprintf(out + 2 * i, 3, "%02x", p[i]);
}

int snapshot_file_check_hash(const struct snapshot_file *f, struct err *err)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];
	char want[2 * SHA256_DIGEST_LENGTH + 1], got[2 * SHA256_DIGEST_LENGTH + 1];
	if (!f->has_hash)
		return err_set(err, ERR_CORRUPT,
		               "snapshot missing hash but --skip-hash-check=false");
	size_t len = f->map.len - sizeof(hash);
	SHA256(f->map.data, len, hash);
	if (!memcmp(hash, f->map.data + len, sizeof(hash)))
		return 0;
	hex(f->map.data + len, want);
	hex(hash, got);
	return err_set(err, ERR_CORRUPT, "expected sha256 %s, got %s", want, got);
}
