/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/request.h"
#include "common/base/clock.h"
#include "proto/etcd_rpc.pb-c.h"
#include "proto/pb_decode.h"

static const ProtobufCMessageDescriptor *const descriptors[COMMANDS] = {
    [COMMAND_PUT] = &etcdserverpb__put_request__descriptor,
    [COMMAND_DELETE] = &etcdserverpb__delete_range_request__descriptor,
    [COMMAND_TXN] = &etcdserverpb__txn_request__descriptor,
    [COMMAND_COMPACT] = &etcdserverpb__compaction_request__descriptor,
    [COMMAND_LEASE_GRANT] = &etcdserverpb__lease_grant_request__descriptor,
    [COMMAND_LEASE_REVOKE] = &etcdserverpb__lease_revoke_request__descriptor,
    [COMMAND_LEASE_CHECKPOINT] = &etcdserverpb__lease_checkpoint_request__descriptor,
    [COMMAND_ALARM] = &etcdserverpb__alarm_request__descriptor,
};

struct request *request_new(struct rpc_call *call, enum command_kind kind)
{
	struct request *q = calloc(1, sizeof(*q));
	if (!q)
		abort();
	q->call = call;
	q->kind = kind;
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
	request_free(q);
}

void request_fail(struct request *q, int outcome)
{
	if (q->call)
		call_fail(q->call, outcome);
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

void request_set_command(struct request *q, struct slice message)
{
	q->command = blob_new(COMMAND_HEAD_BYTES + message.len);
	q->command->data[0] = COMMAND_VERSION;
	q->command->data[1] = (uint8_t)q->kind;
	if (message.len)
		memcpy(q->command->data + COMMAND_HEAD_BYTES, message.data, message.len);
}

void request_pack_command(struct request *q)
{
	q->command = blob_new(COMMAND_HEAD_BYTES + protobuf_c_message_get_packed_size(q->message));
	q->command->data[0] = COMMAND_VERSION;
	q->command->data[1] = (uint8_t)q->kind;
	protobuf_c_message_pack(q->message, q->command->data + COMMAND_HEAD_BYTES);
}

ProtobufCMessage *command_decode(struct slice command, struct arena *a, enum command_kind *kind)
{
	if (command.len < COMMAND_HEAD_BYTES || command.data[0] != COMMAND_VERSION)
		return NULL;
	unsigned k = command.data[1];
	if (!k || k >= COMMANDS)
		return NULL;
	*kind = (enum command_kind)k;
	return message_decode(descriptors[k], slice_skip(command, COMMAND_HEAD_BYTES), a);
}

void call_reply_message(struct rpc_call *call, const ProtobufCMessage *m)
{
	struct blob *b = blob_new(protobuf_c_message_get_packed_size(m));
	protobuf_c_message_pack(m, b->data);
	rpc_call_reply_blob(call, b);
	blob_unref(b);
}
