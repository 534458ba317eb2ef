/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A snapshot file: a bbolt database, and behind it the SHA-256 of it when it was streamed by a
 * server. */
#include "raftstore/bbolt/reader.h"

struct snapshot_file {
	struct slice map; /* the whole file */
	struct bbolt db;
	bool has_hash;
};

/* Maps the file read-only. */
_must_use_ int snapshot_file_open(struct snapshot_file *f, const char *path, struct err *err);
void snapshot_file_close(struct snapshot_file *f);
/* -ERR_CORRUPT with etcd's words: there is no hash, or it is not that of the database. */
_must_use_ int snapshot_file_check_hash(const struct snapshot_file *f, struct err *err);
