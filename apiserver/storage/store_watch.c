/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/storage/etcd_msg.h"
#include "apiserver/storage/store_client_impl.h"

enum { BACKOFF_MIN_MS = 50, BACKOFF_MAX_MS = 1000, STATUS_MS = 5000 };

struct store_watch {
	struct store_client *store;
	struct loop *loop;
	struct store_watch_options o;
	struct buf key, end;
	struct rpc_unary *status; /* asks for the version before the stream is opened */
	struct rpc_stream *stream;
	struct loop_timer reconnect;
	uint32_t backoff_ms;
	int64_t next_revision; /* to go on from */
	bool created;
	/* The server's progress answers cannot be trusted: all keys are watched, so that each
	 * revision shows itself, and those outside the range are dropped. */
	bool everything;
	struct etcd_watch_response batch; /* its events vector is kept for reuse */
};

static void watch_open(struct store_watch *w);

static void reconnect_due(void *arg)
{
	watch_open(arg);
}

void store_watch_progress(struct store_watch *w)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!w->stream || !w->created || w->everything)
		return;
	etcd_watch_progress_request(&b);
	ERR_IGNORE(rpc_stream_send(w->stream, buf_view(&b))); /* tiny; flow control is moot */
}

static void on_progress(struct store_watch *w, int64_t revision)
{
	if (w->everything || revision < w->next_revision)
		return;
	w->next_revision = revision + 1;
	w->o.events(w->o.arg, NULL, 0, revision);
}

static size_t drop_foreign(struct store_watch *w)
{
	struct store_event *ev = w->batch.events.at;
	size_t n = 0;

	for (size_t i = 0; i < w->batch.events.n; i++)
		if (slice_cmp(ev[i].kv.key, buf_view(&w->key)) >= 0 &&
		    slice_cmp(ev[i].kv.key, buf_view(&w->end)) < 0)
			ev[n++] = ev[i];
	return n;
}

static void on_events(struct store_watch *w)
{
	/* The rest of the last revision may follow in the next fragment. */
	int64_t newest = vec_last(&w->batch.events)->kv.mod_revision;
	int64_t sure = newest - (w->batch.fragment ? 1 : 0);
	size_t n = w->everything ? drop_foreign(w) : w->batch.events.n;

	w->next_revision = sure + 1;
	w->o.events(w->o.arg, w->batch.events.at, n, sure);
}

static void watch_end_compacted(struct store_watch *w)
{
	rpc_stream_drop(TAKE(w->stream));
	w->o.compacted(w->o.arg, w->batch.compact_revision);
}

static void stream_broken(struct store_watch *w, const struct err *err)
{
	if (w->created || w->backoff_ms == BACKOFF_MIN_MS)
		w->o.state(w->o.arg, err);
	w->created = false;
	loop_timer_start(&w->reconnect, w->backoff_ms);
	w->backoff_ms = MIN(w->backoff_ms * 2, (uint32_t)BACKOFF_MAX_MS);
}

static void on_message(struct rpc_stream *st, struct slice message, void *arg)
{
	struct store_watch *w = arg;
	struct err err = ERR_INIT;

	vec_clear(&w->batch.events);
	w->batch = (struct etcd_watch_response){
	    .events = {w->batch.events.at, 0, w->batch.events.cap},
	};
	if (!etcd_watch_response(message, &w->batch) ||
	    (w->batch.canceled && !w->batch.compact_revision)) {
		ERR_IGNORE(err_set(&err, ERR_UNAVAILABLE, "watch cancelled by the store: %.*s",
		                   SLICE_FMT(w->batch.cancel_reason)));
		rpc_stream_drop(TAKE(w->stream));
		stream_broken(w, &err);
		return;
	}
	if (w->batch.compact_revision) {
		watch_end_compacted(w);
		return;
	}
	if (w->batch.created) {
		w->created = true;
		w->backoff_ms = BACKOFF_MIN_MS;
		w->o.state(w->o.arg, NULL);
	} else if (w->batch.events.n) {
		on_events(w);
	} else {
		on_progress(w, w->batch.revision);
	}
	rpc_stream_next(w->stream);
}

static void on_finish(struct rpc_stream *st, const struct rpc_result *r, void *arg)
{
	struct store_watch *w = arg;
	struct err err = ERR_INIT;

	w->stream = NULL;
	if (rpc_result_err(r, &err) == 0)
		ERR_IGNORE(err_set(&err, ERR_UNAVAILABLE, "the store closed the watch"));
	stream_broken(w, &err);
}

static void stream_open(struct store_watch *w)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct slice all = slice_of("", 1); /* one zero byte: from the first key, and to the last */

	w->stream = rpc_stream_start(w->store->channel, &(struct rpc_stream_args){
	                                                    .method = "/etcdserverpb.Watch/Watch",
	                                                    .wait_for_ready = true,
	                                                    .loop = w->loop,
	                                                    .on_message = on_message,
	                                                    .on_finish = on_finish,
	                                                    .arg = w,
	                                                });
	etcd_watch_create_request(&b, w->everything ? all : buf_view(&w->key),
	                          w->everything ? all : buf_view(&w->end), w->next_revision);
	ERR_IGNORE(rpc_stream_send(w->stream, buf_view(&b))); /* the first; flow control is moot */
	rpc_stream_next(w->stream);
}

static void on_status(const struct rpc_result *r, void *arg)
{
	struct store_watch *w = arg;
	struct err err = ERR_INIT;

	w->status = NULL;
	if (rpc_result_err(r, &err) < 0) {
		stream_broken(w, &err);
		return;
	}
	w->everything = !etcd_progress_trusted(etcd_status_version(r->message));
	stream_open(w);
}

static void watch_open(struct store_watch *w)
{
	w->status =
	    rpc_unary_start(w->store->channel, &(struct rpc_unary_args){
	                                           .method = "/etcdserverpb.Maintenance/Status",
	                                           .message = SLICE_EMPTY,
	                                           .timeout_ms = STATUS_MS,
	                                           .wait_for_ready = true,
	                                           .loop = w->loop,
	                                           .done = on_status,
	                                           .arg = w,
	                                       });
}

struct store_watch *store_watch_new(struct store_client *s, struct loop *loop,
                                    const struct store_watch_options *o)
{
	struct store_watch *w = calloc(1, sizeof(*w));

	if (!w)
		abort();
	w->store = s;
	w->loop = loop;
	w->o = *o;
	buf_slice(&w->key, o->key);
	buf_slice(&w->end, o->end);
	w->next_revision = o->revision;
	w->backoff_ms = BACKOFF_MIN_MS;
	loop_timer_init(&w->reconnect, loop, reconnect_due, w);
	watch_open(w);
	return w;
}

void store_watch_free(struct store_watch *w)
{
	if (!w)
		return;
	loop_timer_stop(&w->reconnect);
	if (w->status)
		rpc_unary_drop(w->status);
	if (w->stream)
		rpc_stream_drop(w->stream);
	vec_deinit(&w->batch.events);
	buf_deinit(&w->key);
	buf_deinit(&w->end);
	free(w);
}
