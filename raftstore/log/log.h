/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The durable Raft log: one stream of checksummed records in preallocated segments, written and
 * synced by one worker.
 *
 * Batches wait in a queue; the worker takes all that wait, writes them with one pwrite and
 * makes them durable with one fdatasync (group commit), then reports them. Segments are filled
 * with zeros before use, so that the sync writes data and no file-system metadata.
 *
 * Files: "<16 hex digits>.seg", numbered 1, 2, 3, ...; "spare.tmp", the next segment in the
 * making; "lock". Mode 0600 in a folder of mode 0700.
 *
 * Bytes, all little-endian. A segment is a run of records, then zeros. A record:
 *      0  u32  crc       CRC32C over the segment number and the record's offset (two u64), then
 *                        bytes 4 to the end of the payload
 *      4  u32  length    of the payload
 *      8  u32  previous  the crc of the record before it (0 for the first of all): the chain
 *     12  u8   type
 *     13  u8   flags     1: first of a batch: all before it was durable when it was written
 *     14  u16  0
 *     16       payload, then zeros up to a multiple of 8
 *   1 header    first of each segment, durable before anything else is in it: "kubecraf", u32
 *               version (1), u32 0, u64 segment number, u64 cluster id, u64 member id, u64 term,
 *               u64 vote, u64 last index, u64 last term
 *   2 state     u64 term, u64 vote
 *   3 entry     u64 index, u64 term, u8 type, 7 zeros, the bytes
 *   4 truncate  u64 index, u64 term: the last entry that is left
 *   5 reset     u64 index, u64 term: all entries are gone; the next one is index + 1
 *
 * A record that does not check out ends the log when it stands in the last segment and no first
 * record of a batch follows it: a torn tail, which was never acknowledged; it is overwritten with
 * zeros. Anywhere else it is corruption and the log does not open.
 *
 * raftlog_append, _compact, _reset, _entries and _state may be called from any thread, but batches
 * must come in order of seq. Callbacks run on the log's worker and must not call the log. */
#include "common/base/err.h"
#include "raftstore/log/io.h"
#include "raftstore/raft/entry.h"

struct raftlog;

enum {
	RAFTLOG_ENTRY_LIMIT_BYTES = 64 << 20,
};

struct raftlog_identity {
	uint64_t cluster_id, member_id;
};

/* What became of a batch. */
struct raftlog_report {
	uint64_t seq; /* result 0: this batch and all before it are durable */
	int result;   /* -ERR_NO_SPACE: this batch and those behind it stay queued until there is
	               * room (tried again every second, after a compaction and by raftlog_retry);
	               * reported once a stall. -ERR_IO: the log has failed for good (a failed
	               * fdatasync says nothing about what is on the disk): end the process. */
	const struct err *err; /* the cause when result is not 0; valid during the call */
};

struct raftlog_options {
	const char *dir;
	/* Written into a new log; an existing one must agree (cluster 0: may be anybody's). */
	struct raftlog_identity identity;
	uint64_t segment_bytes;           /* 0: 64 MiB; a new log's first one is a sixteenth */
	uint64_t window_bytes;            /* of newest entries kept in memory; 0: 64 MiB */
	const struct log_io *io;          /* NULL: log_io_system */
	void (*report)(void *arg, const struct raftlog_report *report);
	void *arg;
};

/* What the log holds when it is opened. */
struct raftlog_boot {
	struct raft_hard_state hard_state;
	struct raft_mark mark;       /* the entry before the first */
	struct raft_entries entries; /* mark.index + 1 and on; the caller's */
	uint64_t torn_bytes;         /* cut from the tail */
};

struct raftlog_batch {
	uint64_t seq; /* greater than the one before it */
	bool has_hard_state;
	struct raft_hard_state hard_state;
	const struct raft_entry *entries; /* references are added */
	size_t n;                         /* the first may replace entries: see raft.h */
};

/* Opens or creates. -ERR_CORRUPT names file and offset; -ERR_CONFLICT: another process holds the
 * lock, or the identity is another's; -ERR_NO_SPACE, -ERR_IO. */
_must_use_ int raftlog_open(const struct raftlog_options *opt, struct raftlog **ret,
                            struct raftlog_boot *ret_boot, struct err *err);
/* Writes what is queued (when the log is well and the disk has room), ends the worker, closes. */
void raftlog_close(struct raftlog *l);
DEFINE_CLEANUP(struct raftlog, raftlog_close)

/* Queues; never blocks on the disk. -ERR_IO: the log has failed. */
_must_use_ int raftlog_append(struct raftlog *l, const struct raftlog_batch *batch);
/* 0, -ERR_NO_SPACE (stalled: refuse proposals) or -ERR_IO (failed). */
int raftlog_state(struct raftlog *l, struct err *err);
/* Tries a stalled batch again at once. */
void raftlog_retry(struct raftlog *l);
/* Forgets entries up to index and deletes the segments that hold nothing else, on the worker;
 * works also when the disk is full. After a restart the entries of segments that were kept are
 * there again. */
void raftlog_compact(struct raftlog *l, uint64_t index);
/* result: 0, or -ERR_IO and the cause. */
typedef void raftlog_reset_done(void *arg, int result, const struct err *err);
/* Replaces the whole log by a snapshot's position: after `mark` comes entry mark.index + 1. The
 * caller has made the state machine durable before. done(arg, ...) comes once, on the log's worker,
 * when the reset is durable or the log has failed; a full disk makes it wait. */
void raftlog_reset(struct raftlog *l, struct raft_mark mark, raftlog_reset_done *done, void *arg);
/* Appends durable entries of [from, to) to `list`, at least one and about limit_bytes at most; from
 * memory when they are new enough, else from the disk. -ERR_NOT_FOUND: `from` is compacted or not
 * durable yet. */
_must_use_ int raftlog_entries(struct raftlog *l, uint64_t from, uint64_t to, size_t limit_bytes,
                               struct raft_entries *list, struct err *err);

struct raftlog_stats {
	uint64_t syncs, batches, entries, bytes, segments;
	uint64_t sync_ns; /* the last fdatasync */
};
void raftlog_stats(struct raftlog *l, struct raftlog_stats *ret);
