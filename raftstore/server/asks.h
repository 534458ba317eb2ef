/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What members ask each other (peers_ask). Numbers in bodies and answers are big-endian u64.
 * Answers have a result of 0, an outcome (mvcc/outcome.h), or -ERR_x. */
#include "raftstore/peer/peers.h"
#include "raftstore/server/server.h"

enum ask_kind {
	/* Body: none. Answer: the cluster id, then the members as changes: MEMBER_REMOVE where a
	 * change is under way, so that who belongs to the cluster may know them or not. Of anybody.
	 */
	ASK_MEMBERS = 1,
	/* Body: the term in which the asked member leads, then commands: sequence, bytes (u32),
	 * the command. Answer: index of the first in the log; none is proposed when the term is
	 * another one. */
	ASK_PROPOSE,
	/* Body: lease id. Answer: granted seconds; 0: there is no such lease. */
	ASK_LEASE_RENEW,
	/* Body: lease id, 1: with keys. Answer: granted and remaining seconds, then fields of
	 * LeaseTimeToLiveResponse. */
	ASK_LEASE_LEFT,
	/* Body: a membership change (member_change_encode). Answer: index at which it is applied.
	 */
	ASK_MEMBER_CHANGE,
	/* A chunk of a snapshot: snapshots.h. */
	ASK_SNAPSHOT,
	/* Body: a revision; 0: the present one. Answer: hash, revision, compacted and present
	 * revision (corruption.h). */
	ASK_HASH_KV,
	/* Body: MEMBER_ADD of a member that has lost its data (member_change_encode). Answer: its
	 * new id, 1: it was a voter. Of anybody: recover.h. */
	ASK_REPLACE,
};

/* peers_handler.ask */
void node_asked(void *arg, uint64_t from, uint32_t kind, struct slice body, struct peers_answer *a);
