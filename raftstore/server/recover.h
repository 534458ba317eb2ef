/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A member whose log or tables are damaged, and which is not the only one. What it has acknowledged
 * may be gone, so it must not count as the voter that it was ("Protocol-Aware Recovery for
 * Consensus-Based Storage", Alagappan and others, FAST 2018). It is taken in anew instead:
 *
 *   1. The process begins again as "raftstore recover" with the same flags, which has nothing open.
 *      It asks another member (ASK_REPLACE), which removes the member of these peer URLs and adds a
 *      learner with the same URLs and another id. Until that is done nothing of its data changes.
 *   2. Its folder "member" becomes "member.damaged-<time>", for who wants to look at it; an
 *      older one goes.
 *   3. The process begins again as one that joins, and takes everything from the others.
 *   4. When it has caught up it asks to be a voter (the file "member/promote" remembers that). */
#include "raftstore/server/server.h"

struct node;
struct peers_answer;

/* Others are named by the flags, and may be asked. */
bool recover_possible(const struct server_options *o);
/* Is this "raftstore recover"? The word is taken out. */
bool recover_wanted(int *argc, char **argv);
/* The first two steps in place of server_start; runs the daemon's loop. 0: the process is to begin
 * again as one that joins. -ERR_UNAVAILABLE: nobody took it in, or it was told to stop; nothing has
 * changed. */
_must_use_ int recover_run(struct server *s, struct daemon *d, const struct server_options *o,
                           struct err *err);
/* The daemon is told to stop. On the loop. */
void recover_stop(struct server *s);
/* The same program with the same arguments, to recover or to join. Returns, 1, only when it cannot.
 */
int recover_exec(int argc, char **argv, bool recover);

/* On a running member: ASK_REPLACE. */
void recover_asked(struct node *n, struct slice body, struct peers_answer *a);
/* Does this member want to be promoted? Read at start. */
bool recover_wants_promotion(const struct server_options *o);
/* Asks for it, once a second until it is a voter. On the loop, often. */
void recover_sweep(struct node *n);
