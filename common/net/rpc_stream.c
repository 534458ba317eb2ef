/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of a client. Its headers are asked for at once (without that, no message ever comes);
 * one SEND_MESSAGE and one RECV_MESSAGE are in flight at a time. */
#include "common/net/rpc_channel.h"

#include <assert.h>

enum { EV_MESSAGE = 1, EV_WRITABLE = 2, EV_FINISH = 4 };

enum { SEND_HIGH_BYTES = 1 << 20 };

struct rpc_stream {
	atomic_uint refs; /* the user's until on_finish, one a batch in flight, one a pump */
	struct rpc_core *core;
	struct rpc_stream_args a;
	struct rpc_tag start_tag, headers_tag, recv_tag, send_tag, close_tag, status_tag;
	grpc_metadata_array headers;
	grpc_metadata *metadata;
	size_t n_metadata;
	grpc_byte_buffer *incoming;
	struct rpc_bytes message;
	struct rpc_outcome outcome;

	pthread_mutex_t lock;
	/* --- under lock --- */
	grpc_call *call;    /* NULL once no batch is in flight and the status has come */
	unsigned in_flight; /* batches */
	unsigned events;
	bool pumping;
	bool dropped;
	bool over;      /* the status has come */
	bool started;   /* the headers are out: messages may follow */
	bool receiving; /* RECV_MESSAGE is in flight, or its message waits for its callback */
	bool eof;
	bool want_close, sent_close;
	size_t wanted; /* messages asked for */
	struct rpc_sendq queue;
};

static void stream_unref(struct rpc_stream *st)
{
	if (atomic_fetch_sub_explicit(&st->refs, 1, memory_order_acq_rel) != 1)
		return;
	rpc_bytes_deinit(&st->message);
	rpc_outcome_deinit(&st->outcome);
	rpc_sendq_deinit(&st->queue);
	pthread_mutex_destroy(&st->lock);
	free(st);
}

static void stream_ref(struct rpc_stream *st)
{
	atomic_fetch_add_explicit(&st->refs, 1, memory_order_relaxed);
}

/* Under the lock; the call is alive. */
static void start_batch(struct rpc_stream *st, const grpc_op *op, struct rpc_tag *tag)
{
	stream_ref(st);
	st->in_flight++;
	rpc_batch(st->call, op, 1, tag);
}

static void start_recv(struct rpc_stream *st)
{
	if (!st->wanted || st->receiving || st->eof || st->over || st->dropped)
		return;
	st->wanted--;
	st->receiving = true;
	grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
	op.data.recv_message.recv_message = &st->incoming;
	start_batch(st, &op, &st->recv_tag);
}

static void send_next(struct rpc_stream *st)
{
	if (!st->started || st->over || st->queue.in_flight.buffer)
		return;
	grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};
	if (st->queue.n) {
		op.flags = st->queue.n > 1 ? GRPC_WRITE_BUFFER_HINT : 0;
		op.data.send_message.send_message = rpc_sendq_next(&st->queue);
		start_batch(st, &op, &st->send_tag);
	} else if (st->want_close && !st->sent_close) {
		st->sent_close = true;
		op.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
		start_batch(st, &op, &st->close_tag);
	}
}

/* --- callbacks of the user --- */

static unsigned take_event(struct rpc_stream *st)
{
	for (unsigned ev = EV_MESSAGE; ev <= EV_FINISH; ev <<= 1)
		if (st->events & ev) {
			st->events &= ~ev;
			return ev;
		}
	return 0;
}

static void deliver(struct rpc_stream *st, unsigned event)
{
	if (event == EV_MESSAGE)
		st->a.on_message(st, rpc_bytes_view(&st->message), st->a.arg);
	else if (event == EV_WRITABLE && st->a.on_writable)
		st->a.on_writable(st, st->a.arg);
	else if (event == EV_FINISH && st->a.on_finish)
		st->a.on_finish(st, &st->outcome.result, st->a.arg);
}

static void pump(void *arg)
{
	struct rpc_stream *st = arg;
	bool finished = false;
	pthread_mutex_lock(&st->lock);
	for (unsigned event; !st->dropped && (event = take_event(st));) {
		pthread_mutex_unlock(&st->lock);
		deliver(st, event);
		pthread_mutex_lock(&st->lock);
		if (event == EV_MESSAGE) {
			rpc_bytes_deinit(&st->message);
			st->receiving = false;
			start_recv(st);
		}
		finished |= event == EV_FINISH;
	}
	st->pumping = false;
	/* rpc_stream_drop inside on_finish has given the user's reference back already. */
	finished &= !st->dropped;
	pthread_mutex_unlock(&st->lock);
	if (finished)
		stream_unref(st);
	stream_unref(st);
}

static void raise_and_unlock(struct rpc_stream *st, unsigned events)
{
	st->events |= events;
	bool start = st->events && !st->pumping && !st->dropped;
	if (start) {
		st->pumping = true;
		stream_ref(st);
	}
	pthread_mutex_unlock(&st->lock);
	if (!start)
		return;
	if (st->a.loop)
		loop_post(st->a.loop, pump, st);
	else
		pump(st);
}

/* A batch is back. Under the lock, unlocks; drops the batch's reference. When it was the last
 * one and the status is there, the call is over. */
static void batch_back(struct rpc_stream *st, unsigned events)
{
	grpc_call *call = NULL;
	struct rpc_core *core = st->core;
	if (--st->in_flight == 0 && st->over) {
		call = TAKE(st->call);
		rpc_outcome_keep(&st->outcome);
		grpc_metadata_array_destroy(&st->headers);
		rpc_metadata_free(TAKE(st->metadata), st->n_metadata);
		events = (events & ~(unsigned)EV_WRITABLE) | EV_FINISH;
	}
	raise_and_unlock(st, events);
	if (call) {
		grpc_call_unref(call);
		rpc_core_release(core);
	}
	stream_unref(st);
}

static void on_started(struct rpc_tag *tag, bool ok)
{
	struct rpc_stream *st = CONTAINER_OF(tag, struct rpc_stream, start_tag);
	pthread_mutex_lock(&st->lock);
	st->started = ok;
	send_next(st);
	batch_back(st, 0);
}

static void on_headers(struct rpc_tag *tag, bool ok)
{
	struct rpc_stream *st = CONTAINER_OF(tag, struct rpc_stream, headers_tag);
	pthread_mutex_lock(&st->lock);
	batch_back(st, 0);
}

static void on_recv(struct rpc_tag *tag, bool ok)
{
	struct rpc_stream *st = CONTAINER_OF(tag, struct rpc_stream, recv_tag);
	grpc_byte_buffer *incoming = TAKE(st->incoming);
	pthread_mutex_lock(&st->lock);
	if (incoming && !st->dropped) {
		rpc_bytes_take(&st->message, incoming);
		batch_back(st, EV_MESSAGE);
		return;
	}
	st->receiving = false;
	st->eof = true;
	if (incoming)
		grpc_byte_buffer_destroy(incoming);
	batch_back(st, 0);
}

static void on_sent(struct rpc_tag *tag, bool ok)
{
	struct rpc_stream *st = CONTAINER_OF(tag, struct rpc_stream, send_tag);
	pthread_mutex_lock(&st->lock);
	bool writable = rpc_sendq_sent(&st->queue);
	if (!ok)
		rpc_sendq_drop(&st->queue);
	send_next(st);
	batch_back(st, writable && ok && !st->over ? EV_WRITABLE : 0);
}

static void on_closed(struct rpc_tag *tag, bool ok)
{
	struct rpc_stream *st = CONTAINER_OF(tag, struct rpc_stream, close_tag);
	pthread_mutex_lock(&st->lock);
	batch_back(st, 0);
}

static void on_status(struct rpc_tag *tag, bool ok)
{
	struct rpc_stream *st = CONTAINER_OF(tag, struct rpc_stream, status_tag);
	pthread_mutex_lock(&st->lock);
	st->over = true;
	rpc_sendq_drop(&st->queue);
	batch_back(st, 0);
}

/* --- the user's side --- */

struct rpc_stream *rpc_stream_start(struct rpc_channel *ch, const struct rpc_stream_args *a)
{
	struct rpc_stream *st = calloc(1, sizeof *st);
	if (!st)
		abort();
	atomic_init(&st->refs, 1);
	st->core = ch->core;
	st->a = *a;
	st->start_tag.done = on_started;
	st->headers_tag.done = on_headers;
	st->recv_tag.done = on_recv;
	st->send_tag.done = on_sent;
	st->close_tag.done = on_closed;
	st->status_tag.done = on_status;
	st->queue.high_bytes = SEND_HIGH_BYTES;
	pthread_mutex_init(&st->lock, NULL);
	grpc_metadata_array_init(&st->headers);
	rpc_outcome_init(&st->outcome);
	st->metadata = rpc_metadata_new(a->metadata, a->n_metadata, &st->n_metadata);
	st->call = rpc_channel_call(ch, a->method, a->timeout_ms);
	rpc_core_hold(st->core);

	grpc_op headers = {.op = GRPC_OP_RECV_INITIAL_METADATA};
	headers.data.recv_initial_metadata.recv_initial_metadata = &st->headers;
	grpc_op status = rpc_outcome_op(&st->outcome);
	grpc_op start = {.op = GRPC_OP_SEND_INITIAL_METADATA};
	if (a->wait_for_ready)
		start.flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY |
		              GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET;
	start.data.send_initial_metadata.metadata = st->metadata;
	start.data.send_initial_metadata.count = st->n_metadata;
	pthread_mutex_lock(&st->lock);
	start_batch(st, &start, &st->start_tag);
	start_batch(st, &headers, &st->headers_tag);
	start_batch(st, &status, &st->status_tag);
	pthread_mutex_unlock(&st->lock);
	return st;
}

void rpc_stream_next(struct rpc_stream *st)
{
	pthread_mutex_lock(&st->lock);
	st->wanted++;
	start_recv(st);
	pthread_mutex_unlock(&st->lock);
}

static int queue_buffer(struct rpc_stream *st, grpc_byte_buffer *buffer)
{
	pthread_mutex_lock(&st->lock);
	assert(!st->want_close);
	if (st->over || st->dropped) {
		pthread_mutex_unlock(&st->lock);
		grpc_byte_buffer_destroy(buffer);
		return 0;
	}
	int high = rpc_sendq_push(&st->queue, buffer);
	send_next(st);
	pthread_mutex_unlock(&st->lock);
	return high;
}

int rpc_stream_send(struct rpc_stream *st, struct slice message)
{
	return queue_buffer(st, rpc_buffer_of_slice(message));
}

int rpc_stream_send_blob(struct rpc_stream *st, struct blob *message)
{
	return queue_buffer(st, rpc_buffer_of_blob(message));
}

size_t rpc_stream_queued_bytes(struct rpc_stream *st)
{
	pthread_mutex_lock(&st->lock);
	size_t n = st->queue.queued_bytes;
	pthread_mutex_unlock(&st->lock);
	return n;
}

void rpc_stream_half_close(struct rpc_stream *st)
{
	pthread_mutex_lock(&st->lock);
	st->want_close = true;
	send_next(st);
	pthread_mutex_unlock(&st->lock);
}

void rpc_stream_cancel(struct rpc_stream *st)
{
	pthread_mutex_lock(&st->lock);
	if (st->call)
		grpc_call_cancel(st->call, NULL);
	pthread_mutex_unlock(&st->lock);
}

void rpc_stream_drop(struct rpc_stream *st)
{
	pthread_mutex_lock(&st->lock);
	bool again = st->dropped;
	st->dropped = true;
	rpc_sendq_drop(&st->queue);
	if (st->call)
		grpc_call_cancel(st->call, NULL);
	pthread_mutex_unlock(&st->lock);
	if (!again)
		stream_unref(st);
}
