/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside of the snapshots between members. Everything is the loop's, but for what a job's function
 * touches on the worker.
 *
 * The body of ASK_SNAPSHOT: u32 length of the message, the message (wire_encode_raft, of type
 * RAFT_MSG_SNAPSHOT), the chunk's id, size and offset (u64), its bytes. Its answer: id and offset
 * of struct chunk_result. Numbers are big-endian. */
#include "common/base/list.h"
#include "common/base/worker.h"
#include "common/daemon/metrics.h"
#include "raftstore/raft/chunks.h"
#include "raftstore/raft/raft.h"
#include "raftstore/server/snapshots.h"

enum {
	SNAPSHOT_CHUNK_BYTES = 256 << 10,
	SNAPSHOT_CHUNK_HEAD_BYTES = 24,
	SNAPSHOT_RESULT_BYTES = 16,
};

/* What the worker does for the loop, which then calls `back`. It stands in the list from the post
 * until then, so that it can be freed when the loop turns no more. */
struct snapshot_job {
	struct snapshots *all;
	struct list link;
	void (*run)(struct snapshot_job *j);  /* on the worker */
	void (*back)(struct snapshot_job *j); /* on the loop; frees it */
	void (*drop)(struct snapshot_job *j); /* frees it when the loop turns no more */
};

struct snapshot_counts {
	struct metric_family *inflights, *success, *failures, *seconds;
};

struct snapshots {
	struct server *server;
	struct worker worker;
	bool stopped;
	struct list jobs;
	struct list sendings;
	struct snapshot_counts sent, received;

	/* What comes in: one at a time. */
	struct chunks_receive receive;
	uint64_t receive_from, received_from_ms;
	bool installing;
	struct raft_mark install_mark;
	int install_result;               /* the storage worker's, until it posts */
	struct peers_answer *last_answer; /* owed for the last chunk */
	struct chunk_result last_result;
};

void snapshot_job_start(struct snapshots *all, struct snapshot_job *j);
uint64_t snapshots_now_ms(const struct snapshots *all);
/* One transfer with this member has begun, or ended. */
void snapshot_count_begin(const struct snapshot_counts *c, uint64_t member);
void snapshot_count_end(const struct snapshot_counts *c, struct snapshots *all, uint64_t member,
                        uint64_t began_ms, bool ok);
void sendings_stop(struct snapshots *all);
