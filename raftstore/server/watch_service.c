/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/mvcc/txn.h"
#include "raftstore/server/auth.h"
#include "raftstore/server/watch_hub.h"

/* The status codes as Go's gRPC names them: clients look for them in the cancel reason. */
static const char *code_name(int outcome)
{
	switch (outcome_grpc_code(outcome)) {
	case RPC_UNAUTHENTICATED:
		return "Unauthenticated";
	case RPC_PERMISSION_DENIED:
		return "PermissionDenied";
	case RPC_INVALID_ARGUMENT:
		return "InvalidArgument";
	default:
		return "Unknown";
	}
}

/* No key stands for the least one. */
static bool may_watch(struct watch_stream *st, struct rpc_call *call, struct server *s,
                      const Etcdserverpb__WatchCreateRequest *q)
{
	struct slice key = q->key.len ? pb_slice(q->key) : slice_of("", 1);
	int r = auth_check_read(s, call, key, pb_slice(q->range_end));
	if (!r)
		return true;
	_cleanup_buf_ struct buf reason = BUF_INIT;
	buf_printf(&reason, "rpc error: code = %s desc = %s", code_name(r), outcome_text(r));
	watch_stream_refuse(st, (char *)reason.data);
	return false;
}

static void create(struct watch_stream *st, struct rpc_call *call,
                   const Etcdserverpb__WatchCreateRequest *q)
{
	if (!may_watch(st, call, watch_stream_server(st), q))
		return;
	struct watch_create c = {
	    .key = pb_slice(q->key),
	    .range_end = pb_slice(q->range_end),
	    .start_revision = q->start_revision,
	    .id = q->watch_id,
	    .progress_notify = q->progress_notify,
	    .previous = q->prev_kv,
	    .fragment = q->fragment,
	};
	for (size_t i = 0; i < q->n_filters; i++) {
		c.no_put |= q->filters[i] == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT;
		c.no_delete |=
		    q->filters[i] == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE;
	}
	watch_stream_create(st, &c);
}

static void on_message(struct rpc_call *call, struct slice message, void *data)
{
	struct watch_stream *st = data;
	struct arena arena;
	arena_init(&arena);
	const Etcdserverpb__WatchRequest *q =
	    (const void *)message_decode(&etcdserverpb__watch_request__descriptor, message, &arena);
	if (!q) {
		if (watch_stream_close(st))
			call_fail(call, OUTCOME_BAD_MESSAGE);
	} else if (q->request_union_case ==
	           ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST) {
		create(st, call, q->create_request);
	} else if (q->request_union_case ==
	           ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST) {
		watch_stream_cancel(st, q->cancel_request->watch_id);
	} else if (q->request_union_case ==
	           ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST) {
		watch_stream_progress(st);
	}
	arena_deinit(&arena);
}

static void on_half_close(struct rpc_call *call, void *data)
{
	if (watch_stream_close(data))
		rpc_call_finish(call);
}

static void on_writable(struct rpc_call *call, void *data)
{
	watch_stream_writable(data);
}

static void on_closed(struct rpc_call *call, bool cancelled, void *data)
{
	if (watch_stream_close(data))
		rpc_call_finish(call);
	watch_stream_free(data);
}

static const struct rpc_call_ops watch_ops = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_writable = on_writable,
    .on_closed = on_closed,
};

static void on_watch(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	rpc_call_set_ops(call, &watch_ops, watch_stream_new(s->hub, call));
}

void watch_service_add(struct server *s)
{
	service_add(
	    s, &(struct rpc_method){"/etcdserverpb.Watch/Watch", RPC_STREAM, on_watch, s, NULL});
}
