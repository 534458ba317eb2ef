/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The file operations of the log, one pointer each, so that tests and the simulator can record
 * every write and sync, make them fail and replay prefixes. Results are >= 0 or -errno. Paths are
 * relative to the folder that the log was opened with. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct log_io {
	void *ctx;
	/* Creates the folder (0700) when it is missing and returns a handle of it. */
	int (*open_dir)(void *ctx, const char *path);
	/* Locks a file for this process until the returned handle is closed; -EWOULDBLOCK. */
	int (*lock)(void *ctx, int dir, const char *name);
	int (*sync_dir)(void *ctx, int dir);
	/* Calls `each` with every name in the folder, in any order. */
	int (*list)(void *ctx, int dir, void (*each)(void *arg, const char *name), void *arg);
	/* Read and write; `create`: new, 0600, fails when it exists. */
	int (*open)(void *ctx, int dir, const char *name, bool create);
	/* Any handle. */
	void (*close)(void *ctx, int fd);
	int64_t (*size)(void *ctx, int fd);
	/* Like their namesakes; may be short. */
	ssize_t (*pread)(void *ctx, int fd, void *p, size_t n, uint64_t at);
	ssize_t (*pwrite)(void *ctx, int fd, const void *p, size_t n, uint64_t at);
	int (*fdatasync)(void *ctx, int fd);
	int (*allocate)(void *ctx, int fd, uint64_t bytes);
	int (*rename)(void *ctx, int dir, const char *from, const char *to);
	int (*unlink)(void *ctx, int dir, const char *name);
};

/* The operating system. */
extern const struct log_io log_io_system;
/* The same, but nothing is changed: writes and the like are swallowed, a file or folder that is
 * missing is not made. To look at a log that nobody has open. */
extern const struct log_io log_io_read_only;
