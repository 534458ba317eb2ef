/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The shell around the Raft core: on the loop it feeds events into raft_step and does what the
 * update says, with the durable log before it and the storage thread behind it. */
#include "raftstore/server/server.h"

/* Opens the log and boots the core behind the store's checkpoint. */
int node_start(struct server *s, struct err *err);
/* Closes the log; requests that wait are failed. Before storage_stop. */
void node_stop(struct server *s);
void node_free(struct server *s);

/* Proposes; the request is answered when it is applied, or failed. Any thread. */
void node_propose(struct node *n, struct request *q);
/* fn(arg, outcome) runs when a linearizable read may look at the store: at once, on this thread,
 * when this member is the only one; else later on the read worker. Any thread. */
void node_read(struct node *n, void (*fn)(void *arg, int outcome), void *arg);

/* The storage thread has applied up to here. Any thread. */
void node_applied(struct node *n, uint64_t index);
/* Entries up to here are durable in the store. Any thread. */
void node_durable(struct node *n, uint64_t index);
bool node_is_leader(const struct node *n);

struct raftlog;
struct raftlog *node_log(struct node *n);
