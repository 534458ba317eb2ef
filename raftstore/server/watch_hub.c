/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/watch_hub.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "raftstore/mvcc/watch_index.h"
#include "raftstore/server/pb_out.h"
#include "raftstore/server/watch_internal.h"

/* --- responses --- */

/* Begins a WatchResponse. */
static void out_response(struct watch_hub *h, struct buf *b, int64_t id, int64_t revision)
{
	buf_clear(b);
	out_header(b, h->server, revision);
	out_number(b, 2, id);
}

static void stream_send(struct watch_stream *st, const struct buf *b)
{
	if (!st->closed && rpc_call_send(st->call, buf_view(b)))
		st->congested = true;
}

static bool takes(const struct watcher *w, const struct event *ev)
{
	return ev->revision >= w->next_revision && !(ev->deleted ? w->no_delete : w->no_put);
}

/* The end of the response that begins with event i: all, or, for who asked for fragments, as many
 * as fit a request. */
static size_t fragment_end(const struct watcher *w, const struct events *e, const uint32_t *at,
                           size_t i, size_t n)
{
	if (!w->fragment)
		return n;
	size_t bytes = 0, from = i;
	for (; i < n; i++) {
		const struct event *ev = &e->list.at[at[i]];
		bytes += ev->body_len + (w->previous ? ev->previous_len : 0) + 8;
		if (bytes > (size_t)w->stream->hub->server->options->max_request_bytes && i > from)
			break;
	}
	return i;
}

void watcher_send(struct watcher *w, const struct events *e, const uint32_t *at, size_t n,
                  int64_t revision)
{
	struct watch_hub *h = w->stream->hub;
	for (size_t i = 0; i < n;) {
		size_t end = fragment_end(w, e, at, i, n);
		out_response(h, &h->out, w->id, revision);
		out_bool(&h->out, 7, end < n);
		for (; i < end; i++)
			out_event(&h->out, e, &e->list.at[at[i]], w->previous);
		stream_send(w->stream, &h->out);
	}
	w->told |= n > 0;
}

static void send_canceled(struct watch_stream *st, int64_t id, bool created, int64_t compacted,
                          const char *reason)
{
	struct watch_hub *h = st->hub;
	out_response(h, &h->out, id, h->published);
	out_bool(&h->out, 3, created);
	out_bool(&h->out, 4, true);
	out_number(&h->out, 5, compacted);
	out_bytes(&h->out, 6, slice_str(reason));
	stream_send(st, &h->out);
}

static void send_progress(struct watch_stream *st, int64_t id)
{
	out_response(st->hub, &st->hub->out, id, st->hub->published);
	stream_send(st, &st->hub->out);
}

static void progress_if_synced(struct watch_stream *st)
{
	if (!st->progress_wanted)
		return;
	VEC_FOREACH (&st->watchers, w) {
		if (!(*w)->synced)
			return;
	}
	st->progress_wanted = false;
	send_progress(st, -1);
}

/* --- synced and unsynced --- */

static void watcher_unsync(struct watcher *w)
{
	struct watch_hub *h = w->stream->hub;
	if (!w->synced)
		return;
	w->synced = false;
	watch_index_remove(&h->index, &w->entry);
	list_add_tail(&h->unsynced, &w->link);
	h->n_unsynced++;
	watch_hub_wake(h);
}

static void watcher_sync(struct watcher *w)
{
	struct watch_hub *h = w->stream->hub;
	w->synced = true;
	watch_index_add(&h->index, &w->entry);
	list_del(&w->link);
	h->n_unsynced--;
	progress_if_synced(w->stream);
}

static void watcher_free(struct watcher *w)
{
	free(w->key);
	vec_deinit(&w->matched);
	free(w);
}

/* Takes it out of everything; the watch worker frees one that it is working for. */
void watcher_remove(struct watcher *w)
{
	struct watch_stream *st = w->stream;
	struct watch_hub *h = st->hub;
	for (size_t i = 0; i < st->watchers.n; i++) {
		if (st->watchers.at[i] == w) {
			vec_swap_remove(&st->watchers, i);
			break;
		}
	}
	if (w->synced) {
		watch_index_remove(&h->index, &w->entry);
	} else {
		list_del(&w->link);
		h->n_unsynced--;
	}
	h->n_watchers--;
	if (w->busy)
		w->removed = true;
	else
		watcher_free(w);
}

void watcher_compacted(struct watcher *w, int64_t compacted)
{
	send_canceled(w->stream, w->id, false, compacted,
	              outcome_text(OUTCOME_COMPACTED) + strlen("etcdserver: "));
	watcher_remove(w);
}

void watcher_done(struct watcher *w, int64_t next)
{
	w->next_revision = MAX(w->next_revision, next);
	if (w->next_revision > w->stream->hub->published)
		watcher_sync(w);
}

void watcher_release(struct watcher *w)
{
	w->busy = false;
	if (w->removed)
		watcher_free(w);
}

struct publishing {
	struct watch_hub *hub;
	const struct events *events;
	uint32_t at;
};

static void on_match(void *arg, struct watch_entry *entry)
{
	struct publishing *p = arg;
	struct watcher *w = CONTAINER_OF(entry, struct watcher, entry);
	if (!takes(w, &p->events->list.at[p->at]))
		return;
	if (!w->matched.n)
		*vec_push(&p->hub->touched) = w;
	*vec_push(&w->matched) = p->at;
}

void watch_hub_publish(struct watch_hub *h, const struct events *events, int64_t revision)
{
	pthread_mutex_lock(&h->lock);
	struct publishing p = {h, events, 0};
	if (h->n_watchers) {
		for (; p.at < events->list.n; p.at++)
			watch_index_match(&h->index, event_key(events, &events->list.at[p.at]),
			                  on_match, &p);
	}
	h->published = revision;
	VEC_FOREACH (&h->touched, it) {
		struct watcher *w = *it;
		if (w->stream->congested) {
			w->next_revision = events->list.at[w->matched.at[0]].revision;
			watcher_unsync(w);
		} else {
			watcher_send(w, events, w->matched.at, w->matched.n, revision);
			w->next_revision = revision + 1;
		}
		vec_clear(&w->matched);
	}
	vec_clear(&h->touched);
	pthread_mutex_unlock(&h->lock);
}

void watch_hub_replaced(struct watch_hub *h, int64_t revision)
{
	pthread_mutex_lock(&h->lock);
	LIST_FOREACH (&h->streams, st, struct watch_stream, link) {
		VEC_FOREACH (&st->watchers, it) {
			struct watcher *w = *it;
			if (!w->synced)
				continue;
			w->next_revision = MAX(w->next_revision, h->published + 1);
			watcher_unsync(w);
		}
	}
	h->published = MAX(h->published, revision);
	pthread_mutex_unlock(&h->lock);
}

/* --- streams --- */

struct watch_stream *watch_stream_new(struct watch_hub *h, struct rpc_call *call)
{
	struct watch_stream *st = calloc(1, sizeof(*st));
	if (!st)
		abort();
	st->hub = h;
	st->call = rpc_call_ref(call);
	st->needs_leader = slice_eq_str(rpc_call_metadata(call, "hasleader"), "true");
	pthread_mutex_lock(&h->lock);
	list_add_tail(&h->streams, &st->link);
	pthread_mutex_unlock(&h->lock);
	return st;
}

/* Under the lock. */
static bool stream_close(struct watch_stream *st)
{
	bool first = !st->closed;
	st->closed = true;
	while (st->watchers.n)
		watcher_remove(st->watchers.at[st->watchers.n - 1]);
	if (first)
		list_del(&st->link);
	return first;
}

bool watch_stream_close(struct watch_stream *st)
{
	struct watch_hub *h = st->hub;
	pthread_mutex_lock(&h->lock);
	bool first = stream_close(st);
	pthread_mutex_unlock(&h->lock);
	return first;
}

void watch_hub_no_leader(struct watch_hub *h)
{
	VEC(struct rpc_call *) calls = {0};
	pthread_mutex_lock(&h->lock);
	LIST_FOREACH (&h->streams, st, struct watch_stream, link) {
		if (!st->needs_leader)
			continue;
		*vec_push(&calls) = rpc_call_ref(st->call);
		stream_close(st);
	}
	pthread_mutex_unlock(&h->lock);
	VEC_FOREACH (&calls, call) {
		call_fail(*call, OUTCOME_NO_LEADER);
		rpc_call_unref(*call);
	}
	vec_deinit(&calls);
}

void watch_stream_free(struct watch_stream *st)
{
	pthread_mutex_lock(&st->hub->lock);
	bool busy = st->busy;
	st->released = true;
	pthread_mutex_unlock(&st->hub->lock);
	if (!busy)
		watch_stream_delete(st);
}

void watch_stream_delete(struct watch_stream *st)
{
	rpc_call_unref(st->call);
	vec_deinit(&st->watchers);
	free(st);
}

static struct watcher *find(struct watch_stream *st, int64_t id)
{
	VEC_FOREACH (&st->watchers, w) {
		if ((*w)->id == id)
			return *w;
	}
	return NULL;
}

static struct watcher *watcher_new(struct watch_stream *st, const struct watch_create *c)
{
	struct watcher *w = calloc(1, sizeof(*w));
	size_t key_len = MAX(c->key.len, (size_t)1);
	uint8_t *key = malloc(key_len + c->range_end.len);
	if (!w || !key)
		abort();
	/* No key stands for the least one. */
	key[0] = 0;
	if (c->key.len)
		memcpy(key, c->key.data, c->key.len);
	if (c->range_end.len)
		memcpy(key + key_len, c->range_end.data, c->range_end.len);
	w->key = key;
	w->entry.keys =
	    key_range_of(slice_of(key, key_len), slice_of(key + key_len, c->range_end.len));
	w->stream = st;
	w->id = c->id;
	w->previous = c->previous;
	w->fragment = c->fragment;
	w->progress_notify = c->progress_notify;
	w->no_put = c->no_put;
	w->no_delete = c->no_delete;
	list_init(&w->link);
	return w;
}

static void create(struct watch_stream *st, struct watch_create *c)
{
	struct watch_hub *h = st->hub;
	if (c->range_end.len && !(c->range_end.len == 1 && !c->range_end.data[0]) &&
	    slice_cmp(c->key, c->range_end) >= 0) {
		send_canceled(st, -1, true, 0, "mvcc: watcher range is empty");
		return;
	}
	if (c->id && find(st, c->id)) {
		send_canceled(st, -1, true, 0,
		              "mvcc: duplicate watch ID provided on the WatchStream");
		return;
	}
	if (!c->id) {
		while (find(st, st->next_id))
			st->next_id++;
		c->id = st->next_id++;
	}
	struct watcher *w = watcher_new(st, c);
	*vec_push(&st->watchers) = w;
	h->n_watchers++;
	out_response(h, &h->out, w->id, h->published);
	out_bool(&h->out, 3, true);
	stream_send(st, &h->out);
	w->next_revision = c->start_revision > 0 ? c->start_revision : h->published + 1;
	h->n_unsynced++;
	list_add_tail(&h->unsynced, &w->link);
	if (w->next_revision > h->published)
		watcher_sync(w);
	else
		watch_hub_wake(h);
}

void watch_stream_create(struct watch_stream *st, const struct watch_create *c)
{
	struct watch_create copy = *c;
	pthread_mutex_lock(&st->hub->lock);
	if (!st->closed)
		create(st, &copy);
	pthread_mutex_unlock(&st->hub->lock);
}

struct server *watch_stream_server(const struct watch_stream *st)
{
	return st->hub->server;
}

void watch_stream_refuse(struct watch_stream *st, const char *reason)
{
	pthread_mutex_lock(&st->hub->lock);
	if (!st->closed)
		send_canceled(st, -1, true, 0, reason);
	pthread_mutex_unlock(&st->hub->lock);
}

void watch_stream_cancel(struct watch_stream *st, int64_t id)
{
	pthread_mutex_lock(&st->hub->lock);
	struct watcher *w = find(st, id);
	if (w) {
		watcher_remove(w);
		send_canceled(st, id, false, 0, "");
	}
	pthread_mutex_unlock(&st->hub->lock);
}

void watch_stream_progress(struct watch_stream *st)
{
	pthread_mutex_lock(&st->hub->lock);
	st->progress_wanted = true;
	progress_if_synced(st);
	pthread_mutex_unlock(&st->hub->lock);
}

void watch_stream_writable(struct watch_stream *st)
{
	pthread_mutex_lock(&st->hub->lock);
	st->congested = false;
	watch_hub_wake(st->hub);
	pthread_mutex_unlock(&st->hub->lock);
}

void watch_hub_progress(struct watch_hub *h)
{
	pthread_mutex_lock(&h->lock);
	LIST_FOREACH (&h->streams, st, struct watch_stream, link) {
		VEC_FOREACH (&st->watchers, it) {
			struct watcher *w = *it;
			if (w->progress_notify && w->synced && !w->told && !st->congested)
				send_progress(st, w->id);
			w->told = false;
		}
	}
	pthread_mutex_unlock(&h->lock);
}

void watch_hub_counts(struct watch_hub *h, size_t *ret_watchers, size_t *ret_unsynced)
{
	pthread_mutex_lock(&h->lock);
	*ret_watchers = h->n_watchers;
	*ret_unsynced = h->n_unsynced;
	pthread_mutex_unlock(&h->lock);
}
