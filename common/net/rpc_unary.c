/* SPDX-License-Identifier: Apache-2.0 */
/* A unary call of a client: one batch with all its operations. */
#include "common/net/rpc_channel.h"

struct rpc_unary {
	struct rpc_tag tag;
	struct rpc_core *core;
	struct rpc_pending pending;
	struct loop *loop;
	rpc_done_fn done;
	void *arg;
	pthread_mutex_t lock;
	grpc_call *call; /* under lock; NULL once it is over */
	bool dropped;    /* under lock */
	grpc_byte_buffer *request, *incoming;
	grpc_metadata_array headers;
	grpc_metadata *metadata;
	size_t n_metadata;
	struct rpc_bytes message;
	struct rpc_outcome outcome;
};

static void unary_free(struct rpc_unary *u)
{
	rpc_bytes_deinit(&u->message);
	rpc_outcome_deinit(&u->outcome);
	pthread_mutex_destroy(&u->lock);
	free(u);
}

static void unary_tell(void *arg)
{
	struct rpc_unary *u = arg;
	/* rpc_unary_drop runs on this thread: it has come before, or comes no more. */
	if (!u->dropped && u->done)
		u->done(&u->outcome.result, u->arg);
	unary_free(u);
}

static void on_unary_done(struct rpc_tag *tag, bool ok)
{
	struct rpc_unary *u = CONTAINER_OF(tag, struct rpc_unary, tag);
	struct rpc_core *core = u->core;
	bool open = rpc_core_remove(core, &u->pending);
	grpc_byte_buffer *incoming = TAKE(u->incoming);
	rpc_outcome_keep(&u->outcome);
	if (u->outcome.result.code == RPC_OK && !incoming) {
		u->outcome.result.code = RPC_INTERNAL;
		u->outcome.result.text = "the answer has no message";
	}
	rpc_bytes_take(&u->message, incoming);
	u->outcome.result.message = rpc_bytes_view(&u->message);
	grpc_byte_buffer_destroy(u->request);
	grpc_metadata_array_destroy(&u->headers);
	rpc_metadata_free(u->metadata, u->n_metadata);
	pthread_mutex_lock(&u->lock);
	grpc_call *call = TAKE(u->call);
	bool dropped = u->dropped;
	pthread_mutex_unlock(&u->lock);
	grpc_call_unref(call);
	if (dropped || !open)
		unary_free(u);
	else if (u->loop)
		loop_post(u->loop, unary_tell, u);
	else
		unary_tell(u);
	rpc_core_release(core);
}

struct rpc_unary *rpc_unary_start(struct rpc_channel *ch, const struct rpc_unary_args *a)
{
	struct rpc_unary *u = calloc(1, sizeof *u);
	if (!u)
		abort();
	u->tag.done = on_unary_done;
	u->core = ch->core;
	u->loop = a->loop;
	u->done = a->done;
	u->arg = a->arg;
	pthread_mutex_init(&u->lock, NULL);
	u->call = rpc_channel_call(ch, a->method, a->timeout_ms);
	u->request = a->blob ? rpc_buffer_of_blob(a->blob) : rpc_buffer_of_slice(a->message);
	u->metadata = rpc_metadata_new(a->metadata, a->n_metadata, &u->n_metadata);
	grpc_metadata_array_init(&u->headers);
	rpc_outcome_init(&u->outcome);
	rpc_core_hold(u->core);
	u->pending.call = u->call;
	rpc_core_add(u->core, &u->pending);

	grpc_op ops[6] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}};
	if (a->wait_for_ready)
		ops[0].flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY |
		               GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET;
	ops[0].data.send_initial_metadata.metadata = u->metadata;
	ops[0].data.send_initial_metadata.count = u->n_metadata;
	ops[1].op = GRPC_OP_SEND_MESSAGE;
	ops[1].data.send_message.send_message = u->request;
	ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
	ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
	ops[3].data.recv_initial_metadata.recv_initial_metadata = &u->headers;
	ops[4].op = GRPC_OP_RECV_MESSAGE;
	ops[4].data.recv_message.recv_message = &u->incoming;
	ops[5] = rpc_outcome_op(&u->outcome);
	rpc_batch(u->call, ops, ARRAY_LEN(ops), &u->tag);
	return u;
}

void rpc_unary_cancel(struct rpc_unary *u)
{
	pthread_mutex_lock(&u->lock);
	if (u->call)
		grpc_call_cancel(u->call, NULL);
	pthread_mutex_unlock(&u->lock);
}

void rpc_unary_drop(struct rpc_unary *u)
{
	pthread_mutex_lock(&u->lock);
	u->dropped = true;
	if (u->call)
		grpc_call_cancel(u->call, NULL);
	pthread_mutex_unlock(&u->lock);
}
