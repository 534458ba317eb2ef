/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/request.h"
#include "common/base/clock.h"
#include "proto/etcd_rpc.pb-c.h"
#include "proto/pb_decode.h"
#include "proto/raftstore.pb-c.h"
#include "raftstore/mvcc/record.h"

enum { ORIGIN_BYTES = 16 };

static const ProtobufCMessageDescriptor *const descriptors[COMMANDS] = {
    [COMMAND_PUT] = &etcdserverpb__put_request__descriptor,
    [COMMAND_DELETE] = &etcdserverpb__delete_range_request__descriptor,
    [COMMAND_TXN] = &etcdserverpb__txn_request__descriptor,
    [COMMAND_COMPACT] = &etcdserverpb__compaction_request__descriptor,
    [COMMAND_LEASE_GRANT] = &etcdserverpb__lease_grant_request__descriptor,
    [COMMAND_LEASE_REVOKE] = &etcdserverpb__lease_revoke_request__descriptor,
    [COMMAND_LEASE_CHECKPOINT] = &etcdserverpb__lease_checkpoint_request__descriptor,
    [COMMAND_ALARM] = &etcdserverpb__alarm_request__descriptor,
    [COMMAND_MEMBER_ATTRIBUTES] = &etcdserverpb__member__descriptor,
    [COMMAND_MEMBER_UPDATE] = &etcdserverpb__member_update_request__descriptor,
    [COMMAND_AUTH_ENABLE] = &etcdserverpb__auth_enable_request__descriptor,
    [COMMAND_AUTH_DISABLE] = &etcdserverpb__auth_disable_request__descriptor,
    [COMMAND_AUTHENTICATED] = &raftstorepb__authenticated__descriptor,
    [COMMAND_USER_ADD] = &etcdserverpb__auth_user_add_request__descriptor,
    [COMMAND_USER_DELETE] = &etcdserverpb__auth_user_delete_request__descriptor,
    [COMMAND_USER_CHANGE_PASSWORD] = &etcdserverpb__auth_user_change_password_request__descriptor,
    [COMMAND_USER_GRANT_ROLE] = &etcdserverpb__auth_user_grant_role_request__descriptor,
    [COMMAND_USER_REVOKE_ROLE] = &etcdserverpb__auth_user_revoke_role_request__descriptor,
    [COMMAND_ROLE_ADD] = &etcdserverpb__auth_role_add_request__descriptor,
    [COMMAND_ROLE_DELETE] = &etcdserverpb__auth_role_delete_request__descriptor,
    [COMMAND_ROLE_GRANT_PERMISSION] = &etcdserverpb__auth_role_grant_permission_request__descriptor,
    [COMMAND_ROLE_REVOKE_PERMISSION] =
        &etcdserverpb__auth_role_revoke_permission_request__descriptor,
};

struct request *request_new(struct rpc_call *call, enum command_kind kind)
{
	struct request *q = calloc(1, sizeof(*q));
	if (!q)
		abort();
	q->call = call;
	q->kind = kind;
	q->who.system = !call;
	q->started_ns = clock_mono_ns();
	arena_init(&q->arena);
	return q;
}

void request_free(struct request *q)
{
	if (!q)
		return;
	blob_unref(q->command);
	arena_deinit(&q->arena);
	free(q);
}

void call_fail(struct rpc_call *call, int outcome)
{
	rpc_call_fail(call, outcome_grpc_code(outcome), outcome_text(outcome), NULL, 0);
}

void request_reply(struct request *q, struct slice message)
{
	if (q->call)
		rpc_call_reply(q->call, message);
	if (q->done)
		q->done(q->done_arg, 0, message);
	request_free(q);
}

void request_give_up(struct request *q, int outcome)
{
	void (*done)(void *arg, int outcome, struct slice answer) = TAKE(q->done);
	if (q->call)
		call_fail(TAKE(q->call), outcome);
	if (done)
		done(q->done_arg, outcome, SLICE_EMPTY);
}

void request_fail(struct request *q, int outcome)
{
	request_give_up(q, outcome);
	request_free(q);
}

ProtobufCMessage *message_decode(const ProtobufCMessageDescriptor *desc, struct slice in,
                                 struct arena *a)
{
	if (pb_check(desc, in, NULL, NULL))
		return NULL;
	ProtobufCAllocator allocator = pb_arena_allocator(a);
	return protobuf_c_message_unpack(desc, &allocator, in.len, in.data);
}

enum { WHO_BYTES = 12 };

/* Makes the command with room for the message; returns where that goes. */
static uint8_t *command_begin(struct request *q, size_t message_len)
{
	bool known = q->who.revision > 0;
	size_t who = known ? WHO_BYTES + q->who.user.len : 0;
	q->command = blob_new(COMMAND_HEAD_BYTES + who + message_len);
	uint8_t *p = q->command->data;
	*p++ = COMMAND_VERSION;
	*p++ = (uint8_t)((unsigned)q->kind | (q->who.system ? COMMAND_SYSTEM : 0u) |
	                 (known ? COMMAND_KNOWN : 0u));
	if (!known)
		return p;
	put_be64(p, q->who.revision);
	put_be32(p + 8, (uint32_t)q->who.user.len);
	if (q->who.user.len)
		memcpy(p + WHO_BYTES, q->who.user.data, q->who.user.len);
	return p + who;
}

void request_set_command(struct request *q, struct slice message)
{
	uint8_t *p = command_begin(q, message.len);
	if (message.len)
		memcpy(p, message.data, message.len);
}

void request_pack_message(struct request *q, const ProtobufCMessage *m)
{
	protobuf_c_message_pack(m, command_begin(q, protobuf_c_message_get_packed_size(m)));
}

void request_pack_command(struct request *q)
{
	request_pack_message(q, q->message);
}

/* Takes who asks off the front of a command. */
static bool who_decode(struct slice *in, struct identity *ret)
{
	if (in->len < WHO_BYTES)
		return false;
	ret->revision = get_be64(in->data);
	size_t n = get_be32(in->data + 8);
	*in = slice_skip(*in, WHO_BYTES);
	if (n > in->len)
		return false;
	ret->user = slice_of(in->data, n);
	*in = slice_skip(*in, n);
	return true;
}

struct blob *command_forwarded(struct slice command, uint64_t member, uint64_t sequence)
{
	if (command.len < COMMAND_HEAD_BYTES || command.data[0] != COMMAND_VERSION)
		return NULL;
	unsigned k = command.data[1] & COMMAND_KIND_MASK;
	if (k >= COMMANDS || !descriptors[k])
		return NULL;
	struct blob *b = blob_new(command.len + ORIGIN_BYTES);
	b->data[0] = COMMAND_VERSION_FORWARDED;
	put_be64(b->data + 1, member);
	put_be64(b->data + 9, sequence);
	memcpy(b->data + 1 + ORIGIN_BYTES, command.data + 1, command.len - 1);
	return b;
}

bool command_origin(struct slice command, uint64_t *ret_member, uint64_t *ret_sequence)
{
	if (command.len < COMMAND_HEAD_BYTES + ORIGIN_BYTES ||
	    command.data[0] != COMMAND_VERSION_FORWARDED)
		return false;
	*ret_member = get_be64(command.data + 1);
	*ret_sequence = get_be64(command.data + 9);
	return true;
}

ProtobufCMessage *command_decode(struct slice command, struct arena *a, enum command_kind *kind,
                                 struct identity *who)
{
	uint64_t member, sequence;
	if (command_origin(command, &member, &sequence))
		command = slice_skip(command, ORIGIN_BYTES);
	else if (command.len < COMMAND_HEAD_BYTES || command.data[0] != COMMAND_VERSION)
		return NULL;
	unsigned flags = command.data[1], k = flags & COMMAND_KIND_MASK;
	if (k >= COMMANDS || !descriptors[k])
		return NULL;
	command = slice_skip(command, COMMAND_HEAD_BYTES);
	*who = (struct identity){.system = flags & COMMAND_SYSTEM};
	if (flags & COMMAND_KNOWN && !who_decode(&command, who))
		return NULL;
	*kind = (enum command_kind)k;
	return message_decode(descriptors[k], command, a);
}

void call_reply_message(struct rpc_call *call, const ProtobufCMessage *m)
{
	struct blob *b = blob_new(protobuf_c_message_get_packed_size(m));
	protobuf_c_message_pack(m, b->data);
	rpc_call_reply_blob(call, b);
	blob_unref(b);
}
