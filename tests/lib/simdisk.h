/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A disk in memory behind `struct log_io`. It records every write, sync and name change, can run
 * full or fail, and makes the disks that a power cut may leave: of the operations before the cut,
 * those covered by a sync are there; of the others any sectors may be there (dropped, torn and
 * reordered writes), and name changes up to any one (an ordered journal). */
#include <pthread.h>
#include "common/base/buf.h"
#include "common/base/rng.h"
#include "common/base/vec.h"
#include "raftstore/log/io.h"

enum simdisk_op_kind {
	SIMDISK_WRITE,
	SIMDISK_SYNC,
	SIMDISK_CREATE,
	SIMDISK_RENAME,
	SIMDISK_UNLINK,
	SIMDISK_SYNC_DIR,
};

struct simdisk_op {
	enum simdisk_op_kind kind;
	size_t file;
	uint64_t at;
	struct blob *data;
	char from[32], to[32];
};

struct simdisk_name {
	char name[32];
	size_t file;
};

struct simdisk {
	struct log_io io;
	pthread_mutex_t lock;
	VEC(struct simdisk_op) ops;
	VEC(struct buf) files;
	VEC(struct simdisk_name) names;
	uint64_t capacity_bytes; /* of all files that have names; 0: no limit */
	bool fail_sync;
	bool locked;
	uint64_t syncs;
};

void simdisk_init(struct simdisk *d);
void simdisk_deinit(struct simdisk *d);
size_t simdisk_op_count(struct simdisk *d);
/* Initialises `ret` as `d` may look after a power cut behind the first `n_ops` operations. */
void simdisk_cut(struct simdisk *d, size_t n_ops, struct rng *rng, struct simdisk *ret);
/* The bytes of a file; NULL when there is none of that name. */
struct buf *simdisk_file(struct simdisk *d, const char *name);
