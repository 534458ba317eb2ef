/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What must hold at every step, whatever happens: one leader a term, equal entries at equal places
 * of the logs, no committed entry lost, no vote given twice, reads that are not older than their
 * question, equal applied state at equal index; and the model, all committed revisions in order,
 * that answers to clients and watchers are held against. */
#include "raftstore/mvcc/record.h"
#include "raftstore/raft/raft.h"
#include "tests/sim/sim.h"

/* --- applied state --- */

/* A hash over all changes that entries have made, in order. What is a member's own (its id, how far
 * it has compacted) is left out. Travels with the tables. */
struct state_hash {
	uint64_t hash;
};

void state_hash_put(struct state_hash *s, enum kv_table table, struct slice key,
                    struct slice value);
void state_hash_del(struct state_hash *s, enum kv_table table, struct slice key);
/* A transaction is about to be committed on a member. */
void check_commit(struct member *m, struct kv_txn *kv, const struct state_hash *state);
void check_change(struct member *m, struct slice rev, struct slice record);
/* A snapshot is installed. */
void check_install(struct member *m, uint64_t index, const struct state_hash *state);

/* --- the model --- */

/* One change of one key, in the order of revisions. */
struct change {
	int64_t main, sub, create, version, lease;
	bool deleted;
	struct slice key, value;
	uint64_t at_us;  /* when the first member had applied it */
	size_t previous; /* the change before it of this key, from 1; 0: none */
};

struct model {
	VEC(struct change) changes;
	VEC(size_t) first; /* by main revision: its first change; 1 and below: none */
	int64_t revision;
};

extern struct model model;

/* The newest change of a key at a revision; NULL: there never was one. */
const struct change *model_find(struct slice key, int64_t revision);
/* The same, NULL also when that is a deletion. */
const struct change *model_get(struct slice key, int64_t revision);
/* The first change of this or a later revision; its place in model.changes. */
size_t model_from(int64_t revision);

/* --- the core's messages --- */

void check_send(struct member *m, const struct raft_message *msg);
/* The term of the newest leader that has been seen, and who it was. */
uint64_t check_leader(struct member **ret);
uint64_t check_committed(void);
void check_reset(void);
