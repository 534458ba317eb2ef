/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The entries that the core holds in memory: all behind the compaction mark, and which of them are
 * durable. Batches handed to the durable log are acknowledged by number; a batch whose suffix was
 * replaced meanwhile vouches only for what is left of it. */
#include "raftstore/raft/entry.h"

struct raft_batch_sent {
	uint64_t seq, last; /* entries up to `last` are durable once the batch is */
};

struct raft_tail {
	struct raft_mark mark; /* the entry before at[0] */
	struct raft_entries entries;
	VEC(struct raft_batch_sent) sent; /* not acknowledged, by seq */
	uint64_t next_seq, persisted_seq;
	uint64_t persisted; /* durable up to this index */
};

void tail_init(struct raft_tail *t, struct raft_mark mark);
void tail_deinit(struct raft_tail *t);

uint64_t tail_last(const struct raft_tail *t);
/* 0 when the index is compacted or beyond the last. */
uint64_t tail_term(const struct raft_tail *t, uint64_t index);
struct raft_mark tail_last_mark(const struct raft_tail *t);
/* NULL when it is not held. */
const struct raft_entry *tail_at(const struct raft_tail *t, uint64_t index);
/* The highest index <= `index` whose term is <= `term` (the mark's index at the least). */
uint64_t tail_agree(const struct raft_tail *t, uint64_t index, uint64_t term);

/* The entry's index must be last + 1. */
void tail_append(struct raft_tail *t, const struct raft_entry *e);
/* Removes the entry at index and all behind it. */
void tail_truncate(struct raft_tail *t, uint64_t index);
/* A batch with everything held so far goes to the durable log: its number. */
uint64_t tail_sent(struct raft_tail *t);
void tail_persisted(struct raft_tail *t, uint64_t seq);
/* Forgets entries up to index, which must be held. */
void tail_compact(struct raft_tail *t, uint64_t index);
/* Forgets everything: the log starts behind mark. */
void tail_reset(struct raft_tail *t, struct raft_mark mark);
