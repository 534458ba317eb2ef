/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The shell around the Raft core: on the loop it feeds events into raft_step and does what the
 * update says, with the durable log before it, the storage thread behind it and the other members
 * beside it. */
#include "proto/etcd_rpc.pb-c.h"
#include "raftstore/raft/raft.h"
#include "raftstore/server/server.h"

struct raftlog;
struct peers_answer;
struct members;
struct member_change;

/* Opens the log and boots the core behind the store's checkpoint. `first`: the members of a new
 * cluster, which its first entry names, or those of the cluster to join, which are only where to
 * connect; NULL: the log and the store know. */
int node_start(struct server *s, const struct members *first, bool join, struct err *err);
/* Closes the log; requests that wait are failed. Before storage_stop. */
void node_stop(struct server *s);
/* Fails all that waits, and all that comes; the rest goes on. On the loop. */
void node_give_up(struct node *n);
void node_free(struct server *s);

/* Proposes, on whichever member leads; the request is answered when it is applied here, or failed.
 * Any thread. */
void node_propose(struct node *n, struct request *q);
/* Proposes that the member has this alarm. Any thread. */
void node_raise_alarm(struct node *n, uint64_t member_id, Etcdserverpb__AlarmType alarm);
/* fn(arg, outcome) runs when a linearizable read may look at the store: at once, on this thread,
 * when this member is the only one; else later on the read worker. Any thread. */
void node_read(struct node *n, void (*fn)(void *arg, int outcome), void *arg);
/* fn(arg, outcome) runs on the loop when a quorum has confirmed, after this call, that this member
 * leads, and it has applied what was committed before; at once when it is the only one. On the
 * loop. */
void node_confirm(struct node *n, void (*fn)(void *arg, int outcome), void *arg);

/* The storage thread has applied up to here. Any thread. */
void node_applied(struct node *n, uint64_t index);
/* Entries up to here are durable in the store. Any thread. */
void node_durable(struct node *n, uint64_t index);
/* Members in the store have changed. Any thread. */
void node_members_changed(struct node *n);
/* A snapshot was installed, or not: the core is told, and all that is read from the store is read
 * again. On the loop. */
void node_installed(struct node *n, struct raft_mark mark, bool ok);
/* One event for the core; what its update says is done before this returns. On the loop, not from
 * within an update. */
_must_use_ int node_step(struct node *n, struct raft_event *e);
/* Requests on their way into the log, about. On the loop. */
size_t node_pending(struct node *n);
/* On the loop. */
struct raft_status node_status(const struct node *n);
/* As raft_progress. On the loop. */
_must_use_ bool node_progress(const struct node *n, uint64_t id, struct raft_progress *ret);

bool node_is_leader(const struct node *n);
struct raftlog *node_log(struct node *n);

/* Changes the membership on whichever member leads; done(arg, outcome) on the loop when the change
 * is applied here, or refused. What is borrowed is copied. On the loop. */
void node_change_members(struct node *n, const struct member_change *c,
                         void (*done)(void *arg, int outcome), void *arg);
/* The same for another member, which gets an outcome and the index. */
void node_change_asked(struct node *n, const struct member_change *c, struct peers_answer *a);
/* Members as applied; valid until the loop turns. On the loop. */
const struct members *node_members(const struct node *n);
/* Commands of another member: 0 or an outcome. On the loop. */
int node_propose_asked(struct node *n, uint64_t from, struct slice body);
/* Makes this voter the leader: 0, or an outcome when nothing was begun. On the loop. */
int node_transfer(struct node *n, uint64_t to);
/* Hands the leadership over when this member has it and somebody can take it; done(arg) then, or
 * when that takes too long, never before this returns. On the loop, once. */
void node_hand_over(struct node *n, loop_fn done, void *arg);
