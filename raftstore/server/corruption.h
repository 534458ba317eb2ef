/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Whether the members' tables are the same, by etcd's HashKV:
 *
 *   --experimental-corrupt-check-time          the leader asks all members for the hash of its
 *                                              present revision
 *   --experimental-compact-hash-check-enabled  the same for each revision that was compacted
 *   --experimental-initial-corrupt-check       a member that starts asks the others before it
 *                                              serves, and does not start when they differ
 *
 * Hashes are compared between members that have compacted up to the same revision. Who differs from
 * a majority gets the CORRUPT alarm, member 0 when no majority agrees; with the alarm all members
 * refuse keys and leases until an operator has disarmed it. A member that cannot read its own
 * tables counts as one that differs. */
#include "raftstore/server/server.h"

struct peers_answer;

void corruption_start(struct server *s);
/* After the workers have been stopped. */
void corruption_stop(struct server *s);
/* The initial check is under way; when it has passed server_serve is called again. On the loop. */
bool corruption_holds(struct server *s);
/* A question of kind ASK_HASH_KV. */
void corruption_asked(struct server *s, int64_t revision, struct peers_answer *a);
