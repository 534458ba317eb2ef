/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What Lock and Election have in common (etcd's client package "concurrency", in the server): who
 * contends for a name puts the key NAME/LEASE, the oldest key under NAME/ holds it, everybody else
 * waits for the one before him to go. */
#include "raftstore/server/auth.h"
#include "raftstore/server/key_wait.h"

enum { CONTENDERS_MAX = 10000 };

/* --- one question or change; any thread --- */

/* All keys under NAME/. */
struct key_range contend_keys(struct slice name, struct arena *a);
/* The oldest key under NAME/, or with before > 0 the youngest that was created before that
 * revision. Slices are in the arena. 0, ELECTION_NO_LEADER: none, PERMISSION_DENIED... */
struct contend_found {
	struct record record;
	int64_t revision; /* of the store */
};
int contend_find(struct server *s, const struct identity *who, struct slice name, int64_t before,
                 struct arena *a, struct contend_found *ret);

/* Proposes for that user; done(arg, outcome, answer) as in struct request. */
void contend_propose(struct server *s, const struct identity *who, enum command_kind kind,
                     const ProtobufCMessage *m,
                     void (*done)(void *arg, int outcome, struct slice answer), void *arg);
/* If the key was created at that revision: put the value (delete it when value is NULL). */
void contend_change(struct server *s, const struct identity *who, struct slice key, int64_t created,
                    const struct slice *value,
                    void (*done)(void *arg, int outcome, struct slice answer), void *arg);
/* Reads a TxnResponse. */
bool contend_changed(struct slice answer, int64_t *ret_revision);

/* --- a call that waits until the name is its own; on the loop --- */

struct contender;

struct contend_options {
	struct slice name, value;
	int64_t lease; /* 0: one of its own */
	bool election; /* a value that is there is replaced */
	/* Appends the answer behind its header. */
	void (*answer)(const struct contender *c, struct buf *out);
};

/* In the call's handler. Ends the call. */
void contend_start(struct server *s, struct rpc_call *call, const struct contend_options *o);
struct slice contender_name(const struct contender *c);
struct slice contender_key(const struct contender *c);
int64_t contender_revision(const struct contender *c); /* at which its key was created */
int64_t contender_lease(const struct contender *c);
