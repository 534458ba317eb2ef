/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The nouns that the Raft core, the durable log and their shell share. */
#include <stdbool.h>
#include "common/base/buf.h"
#include "common/base/vec.h"

enum raft_entry_type {
	RAFT_ENTRY_COMMAND = 1, /* the state machine's */
	RAFT_ENTRY_CONF = 3,    /* a configuration: raft_conf_entry_encode */
	RAFT_ENTRY_NOOP = 2,    /* a new leader's first entry (thesis section 6.4, step 1) */
};

/* One entry of the log. The bytes are shared and immutable: each holder has its own reference. */
struct raft_entry {
	uint64_t index, term;
	enum raft_entry_type type;
	struct blob *data; /* NULL: empty */
};

/* Entries of consecutive indexes; usable with the macros of common/base/vec.h. */
struct raft_entries {
	struct raft_entry *at;
	size_t n, cap;
};

/* What must survive a crash besides the entries (paper, figure 2: persistent state). */
struct raft_hard_state {
	uint64_t term;
	uint64_t vote; /* the member voted for in that term; 0: none */
};

/* A position of the log that a snapshot or a compaction stands for. */
struct raft_mark {
	uint64_t index, term;
};

/* Appends a copy that holds its own reference. */
void raft_entries_add(struct raft_entries *list, const struct raft_entry *e);
/* Drops all references and keeps the memory. */
void raft_entries_clear(struct raft_entries *list);
void raft_entries_deinit(struct raft_entries *list);
#define _cleanup_raft_entries_ _cleanup_(raft_entries_deinit)
