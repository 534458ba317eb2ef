/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Lease deadlines, on the loop. The leader alone counts them down: it proposes the revocation of
 * what has expired, and checkpoints of what is left, so that a restart or another leader goes on
 * where it was. */
#include "raftstore/server/server.h"

struct lease_note;

int lessor_start(struct server *s, struct err *err);
void lessor_stop(struct server *s);
/* Grants and revocations that were applied. Storage thread. */
void lessor_note(struct server *s, const struct lease_note *notes, size_t n);
/* This member has become the leader, or is no longer. On the loop. */
void lessor_lead(struct server *s, bool leads);
/* On the loop. The granted seconds; 0: there is no such lease. */
int64_t lessor_renew(struct server *s, int64_t id);
/* On the loop. False: there is no such lease. */
bool lessor_left(struct server *s, int64_t id, int64_t *ret_granted_s, int64_t *ret_left_s);
