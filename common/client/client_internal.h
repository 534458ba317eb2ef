/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What client.c (connection, unary calls) and client_stream.c (lists, watches) share. */
#include "common/base/list.h"
#include "common/client/client.h"
#include "common/daemon/file_watch.h"
#include "common/net/rpc_client.h"
#include "proto/resources.pb-c.h"

struct client {
	struct rpc_core *core;
	struct loop *loop;
	const struct kubeconfig *kubeconfig;
	struct rpc_channel *channel;
	char *user_agent, *field_manager;
	uint32_t timeout_ms;
	char *token;             /* "Bearer ...", or NULL */
	struct file_watch files; /* certificate, key, CA, token */
	struct list calls, streams;
};

/* Headers that every call carries. */
size_t client_metadata(const struct client *c, struct rpc_meta out[2]);
/* The protobuf form; strings are the target's. */
Resources__Target client_pb_target(const struct client_target *t);
/* Packs into out (cleared first). */
void client_pack(const ProtobufCMessage *msg, struct buf *out);
/* Fills the error half of a result from how the RPC ended; strings go to the arena. */
void client_result_of(const struct rpc_result *r, struct arena *a, struct client_result *ret);
/* Drops all streams. */
void client_streams_drop(struct client *c);

static inline char *pb_str(const char *s)
{
	return (char *)(uintptr_t)(s ? s : "");
}
