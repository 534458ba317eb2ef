/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Applies commands to a transaction of the store and encodes what the client gets. Storage thread.
 *
 * Everything here depends on the command and the tables alone, so that members agree; what is a
 * member's own (quota, disk) is decided before a command enters the log. */
#include "raftstore/auth/tokens.h"
#include "raftstore/server/events.h"
#include "raftstore/server/server.h"

/* What other threads have to be told once the transaction has been committed. */
struct lease_note {
	int64_t id, granted_s, remaining_s;
	bool gone, checkpoint;
};

/* A token that stands for a user from now on. */
struct token_note {
	uint8_t hash[TOKEN_HASH_BYTES];
	struct blob *user;
	uint64_t stamp;
};

struct applier {
	struct server *server;
	struct mvcc mvcc;
	struct arena arena; /* of one command */
	struct events events;
	VEC(struct lease_note) leases;
	VEC(struct token_note) tokens;
	struct auth_view *auth; /* as the transaction has it */
	unsigned alarms;        /* as s->alarms will be */
	bool compacted;
	bool members; /* others, or changed ones */
};

void applier_init(struct applier *ap, struct server *s);
void applier_deinit(struct applier *ap);
/* Begins on a new writing transaction. */
int applier_open(struct applier *ap, struct kv_txn *kv);
/* 0 and the answer appended to out, an outcome (nothing was changed), or -ERR_x: the whole
 * transaction must be abandoned. */
int apply(struct applier *ap, enum command_kind kind, const struct identity *who,
          const ProtobufCMessage *m, struct buf *out);

/* The same for an entry that changes the configuration. */
int apply_conf(struct applier *ap, struct slice entry);
/* The commands of members: COMMAND_MEMBER_x. */
int apply_member(struct applier *ap, enum command_kind kind, const ProtobufCMessage *m,
                 struct buf *out);

/* Alarms as bits, out of the tables. */
int alarms_read(struct kv_txn *kv, unsigned *ret);
int alarm_write(struct kv_txn *kv, uint64_t member, unsigned alarm);
/* Calls each alarm with its member. */
int alarms_each(struct kv_txn *kv, int (*each)(void *arg, uint64_t member, unsigned alarm),
                void *arg);
