/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where each durable entry stands on the disk, and the bytes of the newest ones. */
#include "raftstore/raft/entry.h"

struct log_slot {
	uint64_t index, term;
	struct blob *data; /* NULL: empty or only on the disk */
	uint64_t segment;
	uint32_t offset, len; /* of the record in its segment; of the entry's bytes */
	enum raft_entry_type type;
};

struct log_slots {
	struct log_slot *at;
	size_t n, cap;
};

struct log_index {
	struct raft_mark base; /* the entry before the first slot */
	struct log_slots slots;
	size_t window_from; /* slots before it have no bytes in memory */
	uint64_t window_bytes, window_limit;
};

void log_index_deinit(struct log_index *x);
struct raft_mark log_index_last(const struct log_index *x);
const struct log_slot *log_index_at(const struct log_index *x, uint64_t index);
/* Replaces what stands at the slot's index and behind it; takes over the slot's reference. */
void log_index_put(struct log_index *x, const struct log_slot *slot);
/* What is left ends with `last`. */
void log_index_truncate(struct log_index *x, struct raft_mark last);
/* Forgets slots up to index (at most the last). */
void log_index_compact(struct log_index *x, uint64_t index);
void log_index_reset(struct log_index *x, struct raft_mark base);
