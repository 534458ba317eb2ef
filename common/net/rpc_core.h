/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* gRPC C core: its life cycle and its completion queues.
 *
 * A process makes one rpc_core, before any server or channel, after it has blocked the signals
 * that it handles (gRPC starts threads). Each queue has one thread, which runs the RPC protocol
 * and calls handlers directly or posts them to a loop. All events of one call come from one
 * queue, so that its callbacks never run at the same time. */
#include "common/base/err.h"
#include "common/base/slice.h"

struct rpc_core;

/* n_threads queues with a thread each; 1 fits all but the busiest servers. */
struct rpc_core *rpc_core_new(unsigned n_threads);
/* All servers and channels must be freed before, and no loop runs that a call belongs to. Cancels
 * unary calls that are still waiting, which are not called back, waits for the calls that are still
 * ending, then joins the threads. */
void rpc_core_free(struct rpc_core *c);

/* gRPC's status codes, as on the wire. */
enum rpc_code {
	RPC_OK = 0,
	RPC_CANCELLED = 1,
	RPC_UNKNOWN = 2,
	RPC_INVALID_ARGUMENT = 3,
	RPC_DEADLINE_EXCEEDED = 4,
	RPC_NOT_FOUND = 5,
	RPC_ALREADY_EXISTS = 6,
	RPC_PERMISSION_DENIED = 7,
	RPC_RESOURCE_EXHAUSTED = 8,
	RPC_FAILED_PRECONDITION = 9,
	RPC_ABORTED = 10,
	RPC_OUT_OF_RANGE = 11,
	RPC_UNIMPLEMENTED = 12,
	RPC_INTERNAL = 13,
	RPC_UNAVAILABLE = 14,
	RPC_DATA_LOSS = 15,
	RPC_UNAUTHENTICATED = 16,
};

/* The ERR_x that fits a status code (positive; ERR_OK for RPC_OK). */
enum err_code rpc_code_to_err(int code);
/* "DeadlineExceeded" and so on, as in Go's codes.Code. */
const char *rpc_code_name(int code);

/* One metadata element. Keys are lower case; values of "-bin" keys are raw bytes. */
struct rpc_meta {
	const char *key;
	struct slice value;
};
