/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Snapshots from one member to another (paper, section 7). The leader's store is copied on a worker
 * of its own, with the mark and the configuration that this very copy holds; the bytes travel as
 * questions of kind ASK_SNAPSHOT in chunks (raft/chunks.h), go on after a break, and become the
 * receiver's tables in one step that survives a crash. What is the receiver's own (its member id)
 * stays. Everything here belongs to the loop. */
#include "raftstore/peer/peers.h"
#include "raftstore/server/server.h"

struct snapshots;

/* Before node_start. */
int snapshots_start(struct server *s, struct err *err);
/* Ends transfers, without a word to the core. When the loop turns no more, before storage_stop. */
void snapshots_stop(struct server *s);
void snapshots_free(struct server *s);

/* A RAFT_MSG_SNAPSHOT that the core wants sent: in place of peers_send. RAFT_SNAPSHOT_SENT follows,
 * when the member has all bytes or is given up. */
void snapshots_send(struct server *s, const struct raft_message *m);
/* The log must not be compacted beyond this index: a member will go on from there. UINT64_MAX: it
 * may be. */
uint64_t snapshots_hold(const struct server *s);
/* A question of kind ASK_SNAPSHOT. When all bytes are there the core gets the message by
 * RAFT_RECEIVE; the last chunk is answered when that is installed, or is not to be. */
void snapshots_chunk(struct server *s, uint64_t from, struct slice body, struct peers_answer *a);
/* The update's `install`: the storage thread installs what was received behind what it has been
 * given to apply, then the log is reset, then RAFT_SNAPSHOT_DONE follows. */
void snapshots_install(struct server *s, struct raft_mark mark, const struct raft_conf *conf);
