/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the rpc_*.c files share: tags, live-call counts and byte buffers. Nobody else includes it.
 */
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/net/rpc_core.h"

/* Forgets cached identities; calls keep theirs. */
void rpc_peer_cache_clear(void);

/* What a completion queue hands back. */
struct rpc_tag {
	void (*done)(struct rpc_tag *tag, bool ok);
};

grpc_arg rpc_int_arg(const char *key, uint32_t value);
/* Two that switch off what each call pays for and nobody uses: packing of what is sent (what comes
 * packed is read all the same), and gRPC's own statistics. Returns how many. */
size_t rpc_lean_args(grpc_arg *to);

/* Tells ThreadSanitizer that what was written before reaches the queue's thread with the tag: gRPC
 * itself is not instrumented. Before each gRPC call that takes a tag; rpc_batch does it. */
void rpc_tag_release(struct rpc_tag *tag);
/* A queue for the next call or server; round-robin over the threads. */
grpc_completion_queue *rpc_core_next_queue(struct rpc_core *c);
size_t rpc_core_queue_count(const struct rpc_core *c);
grpc_completion_queue *rpc_core_queue(struct rpc_core *c, size_t i);
/* Every object that may still start a batch holds one; rpc_core_free waits for all to end. */
void rpc_core_hold(struct rpc_core *c);
void rpc_core_release(struct rpc_core *c);
/* Unary calls that wait for their answer: rpc_core_free cancels them. */
struct rpc_pending {
	struct list in;
	grpc_call *call;
};
void rpc_core_add(struct rpc_core *c, struct rpc_pending *p);
/* Before the call is unreferenced. false: the core is closing, nobody is called back. */
bool rpc_core_remove(struct rpc_core *c, struct rpc_pending *p);
/* Starts a batch; the library never breaks gRPC's rules for batches, so that an error is a bug. */
void rpc_batch(grpc_call *call, const grpc_op *ops, size_t n, struct rpc_tag *tag);

/* A received message as one run of bytes: in place when gRPC kept it in one piece, else copied. */
struct rpc_bytes {
	grpc_slice slice;
	bool set;
};
/* Takes the buffer (may be NULL). */
void rpc_bytes_take(struct rpc_bytes *b, grpc_byte_buffer *from);
struct slice rpc_bytes_view(const struct rpc_bytes *b);
void rpc_bytes_deinit(struct rpc_bytes *b);

/* gRPC buffers over a blob (referenced until gRPC has sent it) or over a copy of bytes. */
grpc_byte_buffer *rpc_buffer_of_blob(struct blob *b);
grpc_byte_buffer *rpc_buffer_of_slice(struct slice s);

/* Copies what is legal of the metadata into gRPC's form; free with rpc_metadata_free. */
grpc_metadata *rpc_metadata_new(const struct rpc_meta *m, size_t n, size_t *ret_n);
void rpc_metadata_free(grpc_metadata *m, size_t n);

/* Messages that wait for the one in flight. Under the owner's lock. */
struct rpc_sendq {
	struct rpc_sendq_item {
		grpc_byte_buffer *buffer;
		size_t bytes;
	} * ring, in_flight;
	size_t cap, head, n;
	size_t queued_bytes; /* in flight included */
	size_t high_bytes;
	bool was_high; /* the owner owes its user a writable event */
};

/* Takes the buffer. 1 when more than high_bytes are queued now. */
int rpc_sendq_push(struct rpc_sendq *q, grpc_byte_buffer *buffer);
/* Moves the first item to in_flight and returns it. Not when one is in flight or none waits. */
grpc_byte_buffer *rpc_sendq_next(struct rpc_sendq *q);
/* The item in flight is out. True when the user is owed a writable event (once). */
bool rpc_sendq_sent(struct rpc_sendq *q);
/* Forgets what waits; what is in flight stays. */
void rpc_sendq_drop(struct rpc_sendq *q);
void rpc_sendq_deinit(struct rpc_sendq *q);
