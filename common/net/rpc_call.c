/* SPDX-License-Identifier: Apache-2.0 */
/* One call of a server. The order of operations is the one that C core wants: RECV_CLOSE first (it
 * tells of cancellation; of a unary call whose handler does not want to know it goes with the
 * status: a batch less), then RECV_MESSAGE, then the handler, then messages one at a time, and the
 * status last. Every batch in flight holds a reference. */
#include "common/net/rpc_call.h"

#include <assert.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <stdio.h>
#include <string.h>

static void on_close(struct rpc_tag *tag, bool ok);
static void on_recv(struct rpc_tag *tag, bool ok);
static void on_sent(struct rpc_tag *tag, bool ok);
static void on_status_sent(struct rpc_tag *tag, bool ok);

struct rpc_call *rpc_call_new(struct rpc_server *s, grpc_completion_queue *cq)
{
	struct rpc_call *c = calloc(1, sizeof *c);
	if (!c)
		abort();
	atomic_init(&c->refs, 1);
	c->server = s;
	c->cq = cq;
	c->close_tag.done = on_close;
	c->recv_tag.done = on_recv;
	c->send_tag.done = on_sent;
	c->status_tag.done = on_status_sent;
	c->queue.high_bytes = s->options.send_high_bytes;
	grpc_call_details_init(&c->details);
	grpc_metadata_array_init(&c->metadata);
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

struct rpc_call *rpc_call_ref(struct rpc_call *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void rpc_call_unref(struct rpc_call *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	struct rpc_server *s = c->server;
	rpc_bytes_deinit(&c->message);
	rpc_sendq_deinit(&c->queue);
	if (c->incoming)
		grpc_byte_buffer_destroy(c->incoming);
	if (c->reply)
		grpc_byte_buffer_destroy(c->reply);
	rpc_metadata_free(c->trailers, c->n_trailers);
	grpc_metadata_array_destroy(&c->metadata);
	grpc_call_details_destroy(&c->details);
	rpc_peer_unref(c->peer);
	gpr_free(c->peer_address);
	free(c->method_name);
	free(c->status_text);
	if (c->call)
		grpc_call_unref(c->call);
	pthread_mutex_destroy(&c->lock);
	free(c);
	rpc_server_call_gone(s);
}

/* --- callbacks of the handler --- */

static void start_recv(struct rpc_call *c);

static unsigned take_event(struct rpc_call *c)
{
	for (unsigned ev = EV_CALL; ev <= EV_CLOSED; ev <<= 1)
		if (c->events & ev) {
			c->events &= ~ev;
			return ev;
		}
	return 0;
}

static void deliver(struct rpc_call *c, unsigned event)
{
	struct slice message = rpc_bytes_view(&c->message);
	switch (event) {
	case EV_CALL:
		c->method->on_call(c, message, c->method->arg);
		break;
	case EV_MESSAGE:
		if (c->ops.on_message)
			c->ops.on_message(c, message, c->data);
		break;
	case EV_HALF_CLOSE:
		if (c->ops.on_half_close)
			c->ops.on_half_close(c, c->data);
		break;
	case EV_WRITABLE:
		if (c->ops.on_writable)
			c->ops.on_writable(c, c->data);
		break;
	case EV_CLOSED:
		if (c->ops.on_closed)
			c->ops.on_closed(c, c->cancelled != 0, c->data);
		break;
	}
}

/* After a callback, under the lock: what it makes possible. */
static void after_event(struct rpc_call *c, unsigned event)
{
	if (event == EV_MESSAGE || (event == EV_CALL && c->method->kind == RPC_STREAM)) {
		if (event == EV_MESSAGE)
			rpc_bytes_deinit(&c->message);
		c->receiving = false;
		if (!c->ops.manual_recv || event == EV_CALL)
			c->want_recv = true;
		start_recv(c);
	} else if (event == EV_CLOSED) {
		c->told_closed = true;
	}
}

/* Runs callbacks until none is due. Holds a reference that its starter took. */
static void pump(void *arg)
{
	struct rpc_call *c = arg;
	bool base = false;
	struct loop *loop = c->loop;
	pthread_mutex_lock(&c->lock);
	for (unsigned event; c->loop == loop && (event = take_event(c));) {
		pthread_mutex_unlock(&c->lock);
		deliver(c, event);
		pthread_mutex_lock(&c->lock);
		after_event(c, event);
		base |= event == EV_CLOSED && c->ended;
	}
	bool move = c->loop != loop && c->events;
	c->pumping = move;
	pthread_mutex_unlock(&c->lock);
	if (move) {
		loop_post(c->loop, pump, c);
		return;
	}
	if (base)
		rpc_call_unref(c);
	rpc_call_unref(c);
}

/* Unlocks. Called on the queue's thread. */
static void raise_and_unlock(struct rpc_call *c, unsigned events)
{
	c->events |= events;
	bool start = c->called && c->events && !c->pumping;
	if (start) {
		c->pumping = true;
		rpc_call_ref(c);
	}
	pthread_mutex_unlock(&c->lock);
	if (!start)
		return;
	if (c->loop)
		loop_post(c->loop, pump, c);
	else
		pump(c);
}

/* --- receiving --- */

static void start_recv(struct rpc_call *c)
{
	if (!c->want_recv || c->receiving || c->eof || c->closed)
		return;
	c->want_recv = false;
	c->receiving = true;
	rpc_call_ref(c);
	grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
	op.data.recv_message.recv_message = &c->incoming;
	rpc_batch(c->call, &op, 1, &c->recv_tag);
}

static void on_recv(struct rpc_tag *tag, bool ok)
{
	struct rpc_call *c = CONTAINER_OF(tag, struct rpc_call, recv_tag);
	grpc_byte_buffer *incoming = TAKE(c->incoming);
	bool failed = !incoming && (!ok || grpc_call_failed_before_recv_message(c->call));
	bool unary = c->method->kind != RPC_STREAM; /* on the way in */
	unsigned event = 0;
	bool refuse = false;
	pthread_mutex_lock(&c->lock);
	if (incoming && !c->closed) {
		rpc_bytes_take(&c->message, TAKE(incoming));
		event = unary ? EV_CALL : EV_MESSAGE;
		c->called = true;
	} else {
		c->receiving = false;
		c->eof = true;
		refuse = unary && !incoming && !failed && !c->closed;
		if (!unary && !failed && !incoming && !c->closed)
			event = EV_HALF_CLOSE;
	}
	bool never_called = !c->called;
	raise_and_unlock(c, event);
	if (incoming)
		grpc_byte_buffer_destroy(incoming);
	if (refuse)
		rpc_call_fail(c, RPC_INTERNAL, "the request has no message", NULL, 0);
	if (never_called && !refuse)
		rpc_call_fail(c, RPC_CANCELLED, "", NULL, 0);
	rpc_call_unref(c);
}

void rpc_call_recv(struct rpc_call *c)
{
	pthread_mutex_lock(&c->lock);
	c->want_recv = true;
	start_recv(c);
	pthread_mutex_unlock(&c->lock);
}

/* --- the end on the wire --- */

/* Nobody is told when the handler was never called, or has ended a unary call that has nothing to
 * be called. */
static bool ends_silently(const struct rpc_call *c)
{
	return !c->called ||
	       (c->method->kind == RPC_UNARY && !c->ops.on_closed && !c->pumping && !c->events);
}

static void on_close(struct rpc_tag *tag, bool ok)
{
	struct rpc_call *c = CONTAINER_OF(tag, struct rpc_call, close_tag);
	pthread_mutex_lock(&c->lock);
	c->closed = true;
	if (c->cancelled)
		rpc_sendq_drop(&c->queue);
	c->events &= ~(unsigned)EV_WRITABLE;
	bool silent = ends_silently(c), base = silent && c->ended;
	c->told_closed |= silent;
	raise_and_unlock(c, silent ? 0 : EV_CLOSED);
	if (base)
		rpc_call_unref(c);
	rpc_call_unref(c);
}

static grpc_op close_op(struct rpc_call *c)
{
	grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
	op.data.recv_close_on_server.cancelled = &c->cancelled;
	c->closing = true;
	return op;
}

/* Under the lock. */
static void start_close(struct rpc_call *c)
{
	if (c->closing)
		return;
	grpc_op op = close_op(c);
	rpc_call_ref(c);
	rpc_batch(c->call, &op, 1, &c->close_tag);
}

void rpc_call_begin(struct rpc_call *c, const struct rpc_method *m)
{
	c->method = m;
	c->loop = m->loop;
	pthread_mutex_lock(&c->lock);
	if (m->kind != RPC_UNARY)
		start_close(c);
	if (m->on_call && m->kind != RPC_STREAM) {
		c->want_recv = true;
		start_recv(c);
		pthread_mutex_unlock(&c->lock);
	} else if (m->on_call) {
		c->called = c->receiving = true; /* the first receive follows on_call */
		raise_and_unlock(c, EV_CALL);
	} else {
		pthread_mutex_unlock(&c->lock);
		const char *path = rpc_call_method(c), *slash = strrchr(path, '/');
		char text[256];
		snprintf(text, sizeof text, "unknown method %s for service %.*s",
		         slash ? slash + 1 : path, slash > path ? (int)(slash - path - 1) : 0,
		         path + 1);
		rpc_call_fail(c, RPC_UNIMPLEMENTED, text, NULL, 0);
	}
}

/* --- sending --- */

static size_t add_headers(struct rpc_call *c, grpc_op *op)
{
	if (c->sent_headers)
		return 0;
	c->sent_headers = true;
	*op = (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA};
	return 1;
}

/* Sends the status, and the reply of a unary call with it. */
static void send_status(struct rpc_call *c)
{
	grpc_op ops[4];
	size_t n = add_headers(c, ops);
	c->status_sent = true;
	struct rpc_tag *tag = c->closing ? &c->status_tag : &c->close_tag;
	if (!c->closing)
		ops[n++] = close_op(c);
	if (c->reply) {
		ops[n] = (grpc_op){.op = GRPC_OP_SEND_MESSAGE};
		ops[n++].data.send_message.send_message = c->reply;
	}
	grpc_slice text = grpc_slice_from_copied_string(c->status_text ? c->status_text : "");
	ops[n] = (grpc_op){.op = GRPC_OP_SEND_STATUS_FROM_SERVER};
	ops[n].data.send_status_from_server.status = (grpc_status_code)c->status;
	ops[n].data.send_status_from_server.status_details = &text;
	ops[n].data.send_status_from_server.trailing_metadata = c->trailers;
	ops[n++].data.send_status_from_server.trailing_metadata_count = c->n_trailers;
	rpc_call_ref(c);
	rpc_batch(c->call, ops, n, tag);
	grpc_slice_unref(text);
}

/* Starts the next message, or the status when it is due. */
static void send_next(struct rpc_call *c)
{
	if (c->queue.in_flight.buffer || c->status_sent)
		return;
	if (c->closed && c->cancelled)
		return;
	if (!c->queue.n) {
		if (c->ended)
			send_status(c);
		return;
	}
	grpc_op ops[2];
	size_t n = add_headers(c, ops);
	/* A hint on the batch with the headers would hold both back for ever. */
	bool more = !n && c->queue.n > 1;
	ops[n] = (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .flags = more ? GRPC_WRITE_BUFFER_HINT : 0};
	ops[n++].data.send_message.send_message = rpc_sendq_next(&c->queue);
	rpc_call_ref(c);
	rpc_batch(c->call, ops, n, &c->send_tag);
}

static void on_sent(struct rpc_tag *tag, bool ok)
{
	struct rpc_call *c = CONTAINER_OF(tag, struct rpc_call, send_tag);
	pthread_mutex_lock(&c->lock);
	bool writable = rpc_sendq_sent(&c->queue);
	if (!ok)
		rpc_sendq_drop(&c->queue);
	send_next(c);
	raise_and_unlock(c, writable && !c->ended && !c->closed ? EV_WRITABLE : 0);
	rpc_call_unref(c);
}

static void on_status_sent(struct rpc_tag *tag, bool ok)
{
	rpc_call_unref(CONTAINER_OF(tag, struct rpc_call, status_tag));
}

static int queue_buffer(struct rpc_call *c, grpc_byte_buffer *buffer)
{
	pthread_mutex_lock(&c->lock);
	assert(!c->ended);
	if (c->closed) {
		pthread_mutex_unlock(&c->lock);
		grpc_byte_buffer_destroy(buffer);
		return 0;
	}
	int high = rpc_sendq_push(&c->queue, buffer);
	send_next(c);
	pthread_mutex_unlock(&c->lock);
	return high;
}

int rpc_call_send(struct rpc_call *c, struct slice message)
{
	return queue_buffer(c, rpc_buffer_of_slice(message));
}

int rpc_call_send_blob(struct rpc_call *c, struct blob *message)
{
	return queue_buffer(c, rpc_buffer_of_blob(message));
}

size_t rpc_call_queued_bytes(struct rpc_call *c)
{
	pthread_mutex_lock(&c->lock);
	size_t n = c->queue.queued_bytes;
	pthread_mutex_unlock(&c->lock);
	return n;
}

/* The handler's one end of the call. Drops the base reference when on_closed is over, too. */
static void end_call(struct rpc_call *c, grpc_byte_buffer *reply, int status, const char *text,
                     const struct rpc_meta *trailers, size_t n_trailers)
{
	pthread_mutex_lock(&c->lock);
	assert(!c->ended);
	c->ended = true;
	c->reply = reply;
	c->status = status;
	if (!c->closed) {
		c->status_text = text && *text ? strdup(text) : NULL;
		c->trailers = rpc_metadata_new(trailers, n_trailers, &c->n_trailers);
		send_next(c);
	}
	bool base = c->told_closed;
	pthread_mutex_unlock(&c->lock);
	if (base)
		rpc_call_unref(c);
}

void rpc_call_reply(struct rpc_call *c, struct slice message)
{
	assert(c->method->kind == RPC_UNARY);
	end_call(c, rpc_buffer_of_slice(message), RPC_OK, NULL, NULL, 0);
}

void rpc_call_reply_blob(struct rpc_call *c, struct blob *message)
{
	assert(c->method->kind == RPC_UNARY);
	end_call(c, rpc_buffer_of_blob(message), RPC_OK, NULL, NULL, 0);
}

void rpc_call_fail(struct rpc_call *c, int rpc_code, const char *text,
                   const struct rpc_meta *trailers, size_t n_trailers)
{
	end_call(c, NULL, rpc_code, text, trailers, n_trailers);
}

void rpc_call_finish(struct rpc_call *c)
{
	end_call(c, NULL, RPC_OK, NULL, NULL, 0);
}

/* --- facts --- */

void rpc_call_set_ops(struct rpc_call *c, const struct rpc_call_ops *ops, void *data)
{
	pthread_mutex_lock(&c->lock);
	c->ops = *ops;
	c->data = data;
	if (ops->on_closed)
		start_close(c);
	pthread_mutex_unlock(&c->lock);
}

void *rpc_call_data(const struct rpc_call *c)
{
	return c->data;
}

void rpc_call_set_loop(struct rpc_call *c, struct loop *loop)
{
	c->loop = loop;
}

const char *rpc_call_method(const struct rpc_call *c)
{
	return c->method_name;
}

const struct rpc_peer *rpc_call_peer(struct rpc_call *c)
{
	pthread_mutex_lock(&c->lock);
	if (!c->peer)
		c->peer = rpc_peer_of(c->call);
	pthread_mutex_unlock(&c->lock);
	return c->peer;
}

const char *rpc_call_peer_address(struct rpc_call *c)
{
	pthread_mutex_lock(&c->lock);
	if (!c->peer_address)
		c->peer_address = grpc_call_get_peer(c->call);
	pthread_mutex_unlock(&c->lock);
	return c->peer_address;
}

struct slice rpc_call_metadata(const struct rpc_call *c, const char *key)
{
	for (size_t i = 0; i < c->metadata.count; i++) {
		const grpc_metadata *m = &c->metadata.metadata[i];
		if (grpc_slice_str_cmp(m->key, key) == 0)
			return slice_of(GRPC_SLICE_START_PTR(m->value),
			                GRPC_SLICE_LENGTH(m->value));
	}
	return SLICE_EMPTY;
}

bool rpc_call_metadata_at(const struct rpc_call *c, size_t i, struct slice *ret_key,
                          struct slice *ret_value)
{
	if (i >= c->metadata.count)
		return false;
	const grpc_metadata *m = &c->metadata.metadata[i];
	*ret_key = slice_of(GRPC_SLICE_START_PTR(m->key), GRPC_SLICE_LENGTH(m->key));
	*ret_value = slice_of(GRPC_SLICE_START_PTR(m->value), GRPC_SLICE_LENGTH(m->value));
	return true;
}

uint64_t rpc_call_time_left_ms(const struct rpc_call *c)
{
	gpr_timespec end = gpr_convert_clock_type(c->details.deadline, GPR_CLOCK_MONOTONIC);
	if (gpr_time_cmp(end, gpr_inf_future(GPR_CLOCK_MONOTONIC)) == 0)
		return UINT64_MAX;
	gpr_timespec left = gpr_time_sub(end, gpr_now(GPR_CLOCK_MONOTONIC));
	return left.tv_sec < 0 ? 0 : (uint64_t)gpr_time_to_millis(left);
}
