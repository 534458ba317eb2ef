/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A command on its way: decoded and checked on the queue's thread, proposed by the loop, applied
 * by the storage thread, which answers. In the log a command is: version(1) kind(1) message; a kind
 * with COMMAND_KNOWN is followed by who asks: auth revision(8) length(4) user. When another member
 * than the leader was asked, the version is another one and followed by member(8) sequence(8). */
#include <protobuf-c/protobuf-c.h>
#include "common/base/arena.h"
#include "common/net/rpc_server.h"
#include "raftstore/auth/auth.h"
#include "raftstore/mvcc/outcome.h"

enum command_kind {
	COMMAND_PUT = 1,
	COMMAND_DELETE,
	COMMAND_TXN,
	COMMAND_COMPACT,
	COMMAND_LEASE_GRANT,
	COMMAND_LEASE_REVOKE,
	COMMAND_LEASE_CHECKPOINT,
	COMMAND_ALARM,
	COMMAND_MEMBER_ATTRIBUTES,
	COMMAND_MEMBER_UPDATE,

	COMMAND_AUTH_ENABLE = 32,
	COMMAND_AUTH_DISABLE,
	COMMAND_AUTHENTICATED, /* raftstorepb.Authenticated */
	COMMAND_USER_ADD,
	COMMAND_USER_DELETE,
	COMMAND_USER_CHANGE_PASSWORD,
	COMMAND_USER_GRANT_ROLE,
	COMMAND_USER_REVOKE_ROLE,
	COMMAND_ROLE_ADD,
	COMMAND_ROLE_DELETE,
	COMMAND_ROLE_GRANT_PERMISSION,
	COMMAND_ROLE_REVOKE_PERMISSION,
	COMMANDS,

	/* Flags beside the kind. */
	COMMAND_SYSTEM = 0x40, /* no user's: the system itself asks */
	COMMAND_KNOWN = 0x80,
	COMMAND_KIND_MASK = 0x3f,
};

enum { COMMAND_VERSION = 1, COMMAND_VERSION_FORWARDED, COMMAND_HEAD_BYTES = 2 };

struct request {
	struct request *next;
	struct rpc_call *call; /* NULL: nobody waits */
	enum command_kind kind;
	struct arena arena;
	ProtobufCMessage *message; /* in the arena */
	struct blob *command;
	uint64_t term; /* in which it was proposed */
	uint64_t started_ns;
	bool here_only;         /* is no other leader's */
	int64_t wait_compacted; /* answer when compaction has erased up to here */
	struct identity who;    /* in the arena */
	/* Told instead of a call, once, on any thread. */
	void (*done)(void *arg, int outcome, struct slice answer);
	void *done_arg;
};

/* Without a call the request is the system's own. */
struct request *request_new(struct rpc_call *call, enum command_kind kind);
void request_free(struct request *q);
/* Answers who waits, and keeps the request: what it asks for may happen all the same. */
void request_give_up(struct request *q, int outcome);
/* Ends the call (when there is one) and frees the request. */
void request_reply(struct request *q, struct slice message);
void request_fail(struct request *q, int outcome);
void call_fail(struct rpc_call *call, int outcome);

/* Decodes a message of a descriptor into the arena; NULL: it is malformed. */
ProtobufCMessage *message_decode(const ProtobufCMessageDescriptor *desc, struct slice in,
                                 struct arena *a);
/* Makes the command of bytes, of a message of the caller's, or of the request's. */
void request_set_command(struct request *q, struct slice message);
void request_pack_message(struct request *q, const ProtobufCMessage *m);
void request_pack_command(struct request *q);
/* The message of a command out of the log, and who asks (borrowed); NULL: malformed. */
ProtobufCMessage *command_decode(struct slice command, struct arena *a, enum command_kind *kind,
                                 struct identity *who);
/* The command as another member's; NULL: it is none. */
struct blob *command_forwarded(struct slice command, uint64_t member, uint64_t sequence);
/* False: the leader's own. */
bool command_origin(struct slice command, uint64_t *ret_member, uint64_t *ret_sequence);

/* Sends a protobuf-c message as the answer. */
void call_reply_message(struct rpc_call *call, const ProtobufCMessage *m);
