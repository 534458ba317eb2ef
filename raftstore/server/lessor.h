/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Lease deadlines, on the loop. The leader alone counts them down: it proposes the revocation of
 * what has expired, and checkpoints of what is left, so that a restart or another leader goes on
 * where it was. What it proposes goes into its own log or nowhere: a deposed leader ends nobody's
 * lease. */
#include "raftstore/server/server.h"

struct lease_note;

int lessor_start(struct server *s, struct err *err);
void lessor_stop(struct server *s);
/* Grants and revocations that were applied. Storage thread. */
void lessor_note(struct server *s, const struct lease_note *notes, size_t n);
/* This member leads and has applied what was before its term, or does no longer. On the loop. */
void lessor_lead(struct server *s, bool leads);
/* The store holds other leases than before. On the loop. */
void lessor_reload(struct server *s);

/* Both are for the leader, else NOT_LEADER; on the loop, where they also call back, perhaps before
 * they return. A quorum confirms that this member leads before anything is renewed or told. */
typedef void (*lessor_renewed_fn)(void *arg, int outcome, int64_t granted_s);
typedef void (*lessor_left_fn)(void *arg, int outcome, struct slice answer);
/* The granted seconds; 0: there is no such lease. */
void lessor_renew(struct server *s, int64_t id, lessor_renewed_fn fn, void *arg);
/* Granted and remaining seconds (u64, big-endian; 0 and -1: there is no such lease), then the keys
 * as fields of LeaseTimeToLiveResponse. */
void lessor_left(struct server *s, int64_t id, bool with_keys, lessor_left_fn fn, void *arg);
