/* SPDX-License-Identifier: Apache-2.0 */
/* A part of a volume for one container: opened without leaving the volume, then bound to a path of
 * the kubelet's, so that what the container does to links afterwards changes nothing. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kubelet/pod/files.h"
#include "kubelet/volume/mounts.h"
#include "kubelet/volume/volume.h"

static int open_beneath(int dir, const char *path, int flags)
{
	struct open_how how = {.flags = (uint64_t)(unsigned)flags,
	                       .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

int volume_open_beneath(const char *volume_dir, const char *path, int flags)
{
	int root = open(volume_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -1;
	int fd = open_beneath(root, path, flags | O_CLOEXEC), code = errno;
	close(root);
	errno = code;
	return fd;
}

/* Makes what is missing of the path, part by part. */
static int make_beneath(int root, const char *path, struct arena *a)
{
	char *copy = arena_strdup(a, path);
	for (char *s = copy; *s;) {
		char *slash = strchr(s, '/');
		if (slash)
			*slash = 0;
		int fd = open_beneath(root, copy, O_PATH | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT) {
			char *last = strrchr(copy, '/');
			if (last)
				*last = 0;
			int parent = open_beneath(root, last ? copy : ".",
			                          O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (parent < 0)
				return -errno;
			int r = mkdirat(parent, last ? last + 1 : copy, 0755);
			int code = errno;
			close(parent);
			if (r && code != EEXIST)
				return -code;
			if (last)
				*last = '/';
		} else if (fd < 0) {
			return -errno;
		} else {
			close(fd);
		}
		if (!slash)
			break;
		*slash = '/';
		s = slash + 1;
	}
	return open_beneath(root, path, O_PATH | O_CLOEXEC);
}

/* What a bind mount needs to lie on: a folder or a file, like its source. */
static int make_target(const char *target, bool folder, struct err *err)
{
	if (mounts_is_point(target))
		umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW);
	if (folder)
		return folder_make(target, 0750, err);
	int fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return err_set(err, ERR_IO, "open %s: %s", target, strerror(errno));
	close(fd);
	return 0;
}

/* A part of the path is "..". */
static bool steps_back(const char *path)
{
	for (;;) {
		size_t n = strcspn(path, "/");
		if (n == 2 && !strncmp(path, "..", 2))
			return true;
		if (!path[n])
			return false;
		path += n + 1;
	}
}

const char *volume_subpath(struct pod *p, const char *container, size_t mount_i,
                           const char *volume_dir, const char *subpath, struct arena *a,
                           struct err *err)
{
	if (*subpath == '/') {
		err_set(err, ERR_INVALID, "error SubPath `%s` must not be an absolute path",
		        subpath);
		return NULL;
	}
	if (steps_back(subpath)) {
		err_set(err, ERR_INVALID, "unable to provision SubPath `%s`: must not contain '..'",
		        subpath);
		return NULL;
	}
	const char *volume = strrchr(volume_dir, '/') + 1;
	const char *parent =
	    pod_dir(p, a, arena_printf(a, "volume-subpaths/%s/%s", volume, container));
	const char *target = arena_printf(a, "%s/%zu", parent, mount_i);
	int root = open(volume_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = root < 0 ? -1 : open_beneath(root, subpath, O_PATH | O_CLOEXEC);
	if (root >= 0 && fd < 0 && errno == ENOENT) {
		fd = make_beneath(root, subpath, a);
		if (fd < -1) {
			errno = -fd;
			fd = -1;
		}
	}
	struct stat st;
	if (fd < 0 || fstat(fd, &st)) {
		err_set(err, ERR_IO,
		        "failed to prepare subPath for volumeMount \"%s\" of container \"%s\"",
		        volume, container);
	} else if (folder_make(parent, 0750, err) ||
	           make_target(target, S_ISDIR(st.st_mode), err)) {
		target = NULL;
	} else if (mount(arena_printf(a, "/proc/self/fd/%d", fd), target, NULL, MS_BIND | MS_REC,
	                 NULL)) {
		err_set(err, ERR_IO, "mount %s: %s", target, strerror(errno));
		target = NULL;
	}
	bool good = fd >= 0 && target;
	if (fd >= 0)
		close(fd);
	if (root >= 0)
		close(root);
	return good ? target : NULL;
}
