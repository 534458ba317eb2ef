/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/drills/watcher.h"
#include "common/base/clock.h"
#include "proto/etcd_rpc.pb-c.h"

enum { RETRY_MS = 50, MESSAGE_BYTES = 256 };

static void note(struct drill_watcher *w, const char *text)
{
	fprintf(w->file, "# %llu %s\n", (unsigned long long)clock_mono_ns(), text);
}

static void write_event(struct drill_watcher *w, const Mvccpb__Event *e)
{
	size_t skip = strlen(DRILL_PREFIX);
	const Mvccpb__KeyValue *kv = e->kv;
	bool put = e->type == MVCCPB__EVENT__EVENT_TYPE__PUT;
	struct slice value = put ? slice_of(kv->value.data, kv->value.len) : SLICE_LIT("-");
	if (kv->key.len <= skip)
		return;
	fprintf(w->file, "%lld %c %.*s %.*s\n", (long long)kv->mod_revision, put ? 'P' : 'D',
	        (int)(kv->key.len - skip), (char *)kv->key.data + skip, SLICE_FMT(value));
	w->next = MAX(w->next, kv->mod_revision + 1);
}

static void on_message(struct rpc_stream *st, struct slice message, void *arg)
{
	struct drill_watcher *w = arg;
	Etcdserverpb__WatchResponse *r =
	    etcdserverpb__watch_response__unpack(NULL, message.len, message.data);
	if (!r) {
		note(w, "a response that is none");
		return;
	}
	for (size_t i = 0; i < r->n_events; i++)
		write_event(w, r->events[i]);
	w->refused |= r->compact_revision > 0;
	if (r->canceled) {
		note(w, r->cancel_reason);
		rpc_stream_cancel(st);
	} else {
		rpc_stream_next(st);
	}
	bool events = r->n_events > 0;
	etcdserverpb__watch_response__free_unpacked(r, NULL);
	if (events)
		w->moved(w->drill);
}

static void on_finish(struct rpc_stream *st, const struct rpc_result *r, void *arg)
{
	struct drill_watcher *w = arg;
	(void)st;
	w->stream = NULL;
	note(w, r->text);
	if (!w->refused)
		loop_timer_start(&w->retry, RETRY_MS);
}

static void open_stream(void *arg)
{
	struct drill_watcher *w = arg;
	uint8_t bytes[MESSAGE_BYTES];
	char key[] = DRILL_PREFIX, end[] = "/drill0";
	Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
	Etcdserverpb__WatchRequest q = ETCDSERVERPB__WATCH_REQUEST__INIT;
	create.key = (ProtobufCBinaryData){strlen(key), (uint8_t *)key};
	create.range_end = (ProtobufCBinaryData){strlen(end), (uint8_t *)end};
	create.start_revision = w->next;
	q.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
	q.create_request = &create;
	size_t n = etcdserverpb__watch_request__pack(&q, bytes);

	struct rpc_stream_args a = {
	    .method = "/etcdserverpb.Watch/Watch",
	    .loop = &w->drill->loop,
	    .on_message = on_message,
	    .on_finish = on_finish,
	    .arg = w,
	};
	w->stream = rpc_stream_start(w->member->channel, &a);
	rpc_stream_send(w->stream, slice_of(bytes, n));
	rpc_stream_next(w->stream);
}

void drill_watcher_start(struct drill_watcher *w, struct drill *d, struct drill_member *m,
                         FILE *file, int64_t from, void (*moved)(struct drill *d))
{
	*w = (struct drill_watcher){
	    .drill = d, .member = m, .file = file, .next = from, .moved = moved};
	loop_timer_init(&w->retry, &d->loop, open_stream, w);
	open_stream(w);
}

void drill_watcher_stop(struct drill_watcher *w)
{
	if (w->stream)
		rpc_stream_drop(w->stream);
	loop_timer_stop(&w->retry);
	w->stream = NULL;
}
