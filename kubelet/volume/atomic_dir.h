/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Files that change all at once: they lie in a folder of their own that the link ..data points to,
 * and each name is a link through ..data. A reader sees all of the old or all of the new. */
#include <sys/types.h>
#include "common/base/arena.h"
#include "common/base/err.h"

struct payload_file {
	const char *path; /* relative, without ".." */
	struct slice data;
	mode_t mode;
};

struct payload {
	struct payload_file *at;
	size_t n;
};

void payload_add(struct payload *p, struct arena *a, const char *path, struct slice data,
                 mode_t mode);
uint64_t payload_sum(const struct payload *p);

/* gid -1: root's. Files get the group's right to read, folders to enter. */
int atomic_dir_write(const char *dir, const struct payload *p, int64_t gid, struct err *err);
