/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The channel object, shared by rpc_channel.c, rpc_unary.c and rpc_stream.c. Nobody else includes
 * it. */
#include <pthread.h>
#include "common/base/arena.h"
#include "common/net/rpc_client.h"
#include "common/net/rpc_internal.h"

struct rpc_channel {
	atomic_uint refs;
	struct rpc_core *core;
	grpc_channel *channel;
};

/* A call on the channel's next queue. */
grpc_call *rpc_channel_call(struct rpc_channel *ch, const char *method, uint32_t timeout_ms);

/* How a call ended, owned. */
struct rpc_outcome {
	grpc_status_code code;
	grpc_slice text;
	grpc_metadata_array metadata; /* the call's; only until outcome_keep */
	struct rpc_result result;
	struct arena arena;
};

void rpc_outcome_init(struct rpc_outcome *o);
/* The operation that fills it. */
grpc_op rpc_outcome_op(struct rpc_outcome *o);
/* Copies what belongs to the call into the result. */
void rpc_outcome_keep(struct rpc_outcome *o);
void rpc_outcome_deinit(struct rpc_outcome *o);
