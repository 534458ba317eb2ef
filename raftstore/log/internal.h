/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside of the log. Fields up to `lock` are the log worker's (before it starts, the opener's);
 * those behind it are shared. */
#include "common/base/worker.h"
#include "raftstore/log/index.h"
#include "raftstore/log/record.h"

struct segment {
	uint64_t number;
	uint64_t last_index; /* of the log when the segment was begun */
};

/* What waits in the queue: a batch or a reset. */
struct queued {
	uint64_t seq;
	bool has_hard_state;
	struct raft_hard_state hard_state;
	struct raft_entries entries;
	raftlog_reset_done *reset; /* not NULL: a reset to `mark` */
	void *arg;
	struct raft_mark mark;
	size_t bytes; /* an upper bound of its records */
};

struct queue {
	struct queued *at;
	size_t n, cap;
};

enum spare_state { SPARE_NONE, SPARE_WANTED, SPARE_MAKING, SPARE_READY, SPARE_FAILED };

struct raftlog {
	struct raftlog_options opt;
	struct log_io io;
	int dir, lock_fd;
	VEC(struct segment) segments; /* the last one is open */
	int fd;
	uint64_t size, at;
	uint32_t chain;
	struct raft_hard_state hard_state;
	/* The group in the making. */
	struct buf out;
	uint32_t out_chain;
	struct raft_hard_state out_hard_state;
	struct log_slots out_slots;
	struct raft_mark out_last, out_reset;
	bool out_has_reset;
	/* What was taken from the queue: [0, durable) is on the disk, [0, encoded) is that or the
	 * group in the making. */
	struct queue work;
	size_t durable, encoded;
	uint64_t compacted;
	bool stalled;      /* waits for space */
	bool retry_posted; /* another try comes by itself */

	struct worker worker, maker;
	pthread_mutex_t lock;
	bool turn_posted, closing;
	struct queue queue;
	uint64_t queued_seq, queued_last;
	uint64_t compact_to;
	bool retry;
	int state;
	struct err state_err;
	struct log_index index; /* written by the log thread alone, under the lock */
	struct raftlog_stats stats;
	enum spare_state spare;
	bool spare_awaited; /* the log goes on when it is there */
	uint64_t spare_bytes;
	int spare_fd, spare_errno;
};

enum { SEGMENT_NAME_BYTES = 24 };
#define SPARE_NAME "spare.tmp"

/* segment.c */
void segment_name(char out[SEGMENT_NAME_BYTES], uint64_t number);
/* Fills err for a failed file operation; -ERR_NO_SPACE or -ERR_IO. */
int log_errno(struct err *err, int neg_errno, const char *what, const char *name);
int log_write_all(struct raftlog *l, int fd, const void *p, size_t n, uint64_t at);
int log_read_all(struct raftlog *l, int fd, void *p, size_t n, uint64_t at);
/* Creates the spare file of this size, zeroed and durable; its handle or -errno. */
int spare_make(struct raftlog *l, uint64_t bytes);
/* Turns the spare (consumed in any case) into the next segment and goes on in it. */
int segment_begin(struct raftlog *l, int spare_fd, uint64_t bytes, struct err *err);
/* Deletes the segments that hold only entries up to index, or all but the last one. */
void segments_delete(struct raftlog *l, uint64_t index, bool all);

/* replay.c: reads all segments into index and boot; leaves the last one open. */
int log_replay(struct raftlog *l, struct raftlog_boot *boot, struct err *err);

/* writer.c: a turn of the log's worker. */
void log_turn(void *arg);
/* Posts one when none is posted. The lock is held. */
void log_wake(struct raftlog *l);
void queued_deinit(struct queued *q);
