/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/volume/mounts.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "common/base/log.h"
#include "common/base/vec.h"

enum { LINE_MAX_BYTES = 8192, OPEN_FOLDERS = 32 };

/* \040 and the like in mountinfo. */
static void unescape(char *s)
{
	char *to = s;
	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = 0;
}

/* Calls fn for each mount point, in the order in which they were made. */
static void each_mount(void (*fn)(const char *path, void *arg), void *arg)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = malloc(LINE_MAX_BYTES);
	if (!line)
		abort();
	while (f && fgets(line, LINE_MAX_BYTES, f)) {
		char *save = NULL, *path = strtok_r(line, " ", &save);
		for (int i = 0; path && i < 4; i++)
			path = strtok_r(NULL, " ", &save);
		if (!path)
			continue;
		unescape(path);
		fn(path, arg);
	}
	free(line);
	if (f)
		fclose(f);
}

struct search {
	const char *folder;
	bool exact;
	VEC(char *) found;
};

static void match(const char *path, void *arg)
{
	struct search *s = arg;
	size_t n = strlen(s->folder);
	if (s->exact ? !strcmp(path, s->folder) : !strncmp(path, s->folder, n) && path[n] == '/')
		*vec_push(&s->found) = strdup(path);
}

static size_t search_done(struct search *s)
{
	size_t n = s->found.n;
	VEC_FOREACH (&s->found, it)
		free(*it);
	vec_deinit(&s->found);
	return n;
}

bool mounts_is_point(const char *path)
{
	struct search s = {.folder = path, .exact = true};
	each_mount(match, &s);
	return search_done(&s) > 0;
}

bool mounts_release(const char *folder)
{
	struct search s = {.folder = folder};
	bool good = true;
	each_mount(match, &s);
	for (size_t i = s.found.n; i-- > 0;)
		if (umount2(s.found.at[i], UMOUNT_NOFOLLOW) &&
		    umount2(s.found.at[i], MNT_DETACH | UMOUNT_NOFOLLOW)) {
			log_warning("Could not unmount", LOG_STR("path", s.found.at[i]),
			            LOG_STR("err", strerror(errno)));
			good = false;
		}
	search_done(&s);
	return good;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	remove(path);
	return 0;
}

void mounts_remove_tree(const char *folder)
{
	struct search s = {.folder = folder};
	each_mount(match, &s);
	if (search_done(&s)) {
		log_warning("A folder with mounts is left alone", LOG_STR("path", folder));
		return;
	}
	nftw(folder, remove_entry, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
