/* SPDX-License-Identifier: Apache-2.0 */
/* WATCH: what is there first, where that was asked for, then events, each a frame in the client's
 * format. Frames are shared with the other watchers of the same format (see storage/feed.c). */
#include "apiserver/endpoints/call.h"
#include "apiserver/endpoints/fresh.h"
#include "apiserver/endpoints/list_options.h"

#include <stdio.h>

#include "apiserver/storage/wire.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/rng.h"
#include "common/net/loop.h"
#include "proto/pb_decode.h"

enum {
	BOOKMARK_MS = 60 * 1000,
	TIMEOUT_MIN_S = 1800,
	CHUNK_BYTES = 64 << 10,
	TURN_NS = 2000000,
};

struct watch {
	struct watcher w;
	struct call *c;
	int64_t revision;  /* events up to it are not shown */
	bool initial;      /* synthetic ADDED events come first */
	bool announce_end; /* and a bookmark says when they are over */
	bool bookmarks;
	struct cacher_snapshot snap;
	struct cache_cursor cursor;
	bool showing; /* the snapshot is being sent */
	bool columns_sent;
	int64_t bookmarked; /* the revision of the last bookmark */
	struct loop_timer timeout, bookmark;
	uint32_t format; /* of frames: what they depend on but the type of the event */
};

static const char *const TYPES[] = {
    [CACHE_ADDED] = "ADDED", [CACHE_MODIFIED] = "MODIFIED", [CACHE_DELETED] = "DELETED"};

/* --- frames ---------------------------------------------------------------------------------- */

/* type and the object's encoded form, as one frame of the stream. */
static void frame(struct watch *w, const char *type, struct slice object, struct buf *out)
{
	_cleanup_buf_ struct buf event = BUF_INIT, raw = BUF_INIT;

	if (w->c->req->accept.format != MEDIA_PROTOBUF) {
		buf_printf(out, "{\"type\":\"%s\",\"object\":", type);
		buf_slice(out, object);
		buf_str(out, "}\n");
		return;
	}
	wire_put_bytes(&raw, 1, object);
	wire_put_bytes(&event, 1, slice_str(type));
	wire_put_bytes(&event, 2, buf_view(&raw));
	for (int shift = 24; shift >= 0; shift -= 8)
		buf_byte(out, (uint8_t)(event.len >> shift));
	buf_slice(out, buf_view(&event));
}

static int encode_row(struct watch *w, const struct cache_object *o, int64_t revision,
                      struct buf *out, struct err *err)
{
	struct call *c = w->c;
	struct arena *mine = c->ctx.arena;
	_cleanup_arena_ struct arena a;
	struct object obj;
	int r;

	arena_init(&a);
	r = stored_decode(c->res, blob_view(o->blob), revision, &a, &obj, err);
	if (r < 0)
		return r;
	c->ctx.arena = &a;
	table_begin(c, &(struct table_meta){.revision = revision, .remaining = -1},
	            !w->columns_sent, out);
	table_row_add(c, &obj, true, out);
	table_end(out);
	c->ctx.arena = mine;
	w->columns_sent = true;
	return 0;
}

static int encode_event(struct watch *w, const char *type, const struct cache_object *o,
                        int64_t revision, struct buf *out)
{
	_cleanup_buf_ struct buf object = BUF_INIT;
	struct err err = ERR_INIT;
	int r = w->c->req->accept.as == AS_TABLE
	            ? encode_row(w, o, revision, &object, &err)
	            : encode_stored(w->c, blob_view(o->blob), revision, false, &object, &err);

	if (r < 0) {
		log_error(&err, "Could not encode a watch event",
		          LOG_STR("resource", w->c->res->resource), LOG_STR("key", o->key));
		return r;
	}
	while (object.len && object.data[object.len - 1] == '\n')
		object.len--;
	frame(w, type, buf_view(&object), out);
	return 0;
}

/* --- the end --------------------------------------------------------------------------------- */

static void watch_end(struct watch *w)
{
	struct call *c = w->c;

	watcher_stop(&w->w);
	loop_timer_stop(&w->timeout);
	loop_timer_stop(&w->bookmark);
	cacher_snapshot_deinit(&w->snap);
	c->sink->on_closed = NULL;
	c->sink->on_writable = NULL;
	response_end(c->sink);
}

static void on_closed(void *arg)
{
	watch_end(arg);
}

static void on_ended(struct watcher *watcher, enum watcher_end why)
{
	watch_end(CONTAINER_OF(watcher, struct watch, w));
}

/* --- bookmarks ------------------------------------------------------------------------------- */

static int send_bookmark(struct watch *w, int64_t revision, bool initial_end)
{
	struct call *c = w->c;
	_cleanup_buf_ struct buf object = BUF_INIT, out = BUF_INIT;
	_cleanup_arena_ struct arena a;
	struct object obj;
	MetaV1__ObjectMeta__AnnotationsEntry entry = META_V1__OBJECT_META__ANNOTATIONS_ENTRY__INIT;
	MetaV1__ObjectMeta__AnnotationsEntry *entries[] = {&entry};

	arena_init(&a);
	obj = object_of(c->res, c->res->schema, pb_new(c->res->schema, &a));
	obj.meta->resource_version = arena_printf(&a, "%lld", (long long)revision);
	if (initial_end) {
		entry.key = (char *)"k8s.io/initial-events-end";
		entry.value = (char *)"true";
		obj.meta->annotations = entries;
		obj.meta->n_annotations = 1;
	}
	encode_object(c, &obj, &object);
	while (object.len && object.data[object.len - 1] == '\n')
		object.len--;
	frame(w, "BOOKMARK", buf_view(&object), &out);
	w->bookmarked = revision;
	return response_chunk(c->sink, buf_view(&out));
}

static void bookmark_now(struct watch *w)
{
	int64_t revision = w->bookmarks && !w->showing ? watcher_caught_up(&w->w) : 0;

	if (revision > MAX(w->bookmarked, w->revision - 1))
		ERR_IGNORE(send_bookmark(w, revision, false)); /* too small to wait for room */
}

static void bookmark_due(void *arg)
{
	struct watch *w = arg;

	bookmark_now(w);
	loop_timer_start(&w->bookmark, BOOKMARK_MS);
}

static void timeout_due(void *arg)
{
	struct watch *w = arg;

	bookmark_now(w);
	watch_end(w);
}

/* --- events ---------------------------------------------------------------------------------- */

static int on_event(struct watcher *watcher, struct cache_event *e, enum cache_event_type type,
                    bool show_prev, bool shared)
{
	struct watch *w = CONTAINER_OF(watcher, struct watch, w);
	const struct cache_object *o = show_prev ? e->prev : e->object;
	uint32_t format = w->format | (uint32_t)type << 1 | show_prev;
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct blob *blob;
	int full;

	if (e->revision <= w->revision)
		return 0;
	shared = shared && w->c->req->accept.as != AS_TABLE;
	blob = shared ? blob_ref(cache_event_frame(e, format)) : NULL;
	if (!blob) {
		if (encode_event(w, TYPES[type], o, e->revision, &out) < 0)
			return 0;
		blob = blob_dup(buf_view(&out));
		if (shared)
			cache_event_frame_add(e, format, blob);
	}
	full = response_chunk_blob(w->c->sink, blob);
	blob_unref(blob);
	return full;
}

static void show_more(void *arg);

static void on_writable(void *arg)
{
	struct watch *w = arg;

	if (w->showing)
		show_more(w);
	else
		watcher_resume(&w->w);
}

/* --- the snapshot that comes first ----------------------------------------------------------- */

static void show_done(struct watch *w)
{
	int64_t revision = w->snap.revision;

	w->showing = false;
	w->revision = MAX(w->revision, revision);
	cacher_snapshot_deinit(&w->snap);
	if (w->announce_end)
		ERR_IGNORE(send_bookmark(w, revision, true)); /* too small to wait for room */
	watcher_resume(&w->w);
}

static void show_turn(void *arg)
{
	struct watch *w = arg;

	w->c->sink->on_closed = on_closed;
	if (w->c->sink->closed)
		watch_end(w);
	else
		show_more(w);
}

static struct cache_object *show_next(struct watch *w)
{
	struct cache_object *o;

	while ((o = cache_cursor_next(&w->cursor))) {
		if (!slice_has_prefix(cache_object_key(o), w->w.selection.key_prefix))
			return NULL;
		if (cache_selection_matches(&w->w.selection, o))
			return o;
	}
	return NULL;
}

static void show_more(void *arg)
{
	struct watch *w = arg;
	uint64_t until = clock_mono_ns() + TURN_NS;
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct cache_object *o;
	int full;

	while ((o = show_next(w))) {
		ERR_IGNORE(encode_event(w, "ADDED", o, o->mod_revision, &out)); /* logged there */
		if (out.len < CHUNK_BYTES && clock_mono_ns() < until)
			continue;
		full = response_chunk(w->c->sink, buf_view(&out));
		buf_clear(&out);
		if (full)
			return;
		if (clock_mono_ns() > until) {
			w->c->sink->on_closed = NULL;
			loop_post(w->c->req->loop, show_turn, w);
			return;
		}
	}
	if (out.len)
		ERR_IGNORE(response_chunk(w->c->sink, buf_view(&out))); /* events wait for room */
	show_done(w);
}

/* --- starting -------------------------------------------------------------------------------- */

static void begin_stream(struct watch *w)
{
	struct call *c = w->c;
	struct response_sink *sink = c->sink;
	int64_t s = c->req->options.timeout_seconds;

	if (s <= 0) {
		uint64_t random;

		rng_system(&random, sizeof(random));
		s = TIMEOUT_MIN_S + (int64_t)(random % TIMEOUT_MIN_S);
	}
	sink->arg = w;
	sink->on_closed = on_closed;
	sink->on_writable = on_writable;
	call_flush_warnings(c);
	response_status(sink, 200,
	                c->req->accept.format == MEDIA_PROTOBUF
	                    ? "application/vnd.kubernetes.protobuf;stream=watch"
	                    : call_content_type(c),
	                -1);
	loop_timer_init(&w->timeout, c->req->loop, timeout_due, w);
	loop_timer_start(&w->timeout, (uint64_t)s * 1000);
	loop_timer_init(&w->bookmark, c->req->loop, bookmark_due, w);
	if (w->bookmarks)
		loop_timer_start(&w->bookmark, BOOKMARK_MS);
}

/* The stream begins with 200 and says what is wrong in its only event. */
static void too_old(struct watch *w, int64_t floor)
{
	struct call *c = w->c;
	_cleanup_buf_ struct buf object = BUF_INIT, out = BUF_INIT;
	const struct status *s =
	    status_expired(c->a, arena_printf(c->a, "too old resource version: %lld (%lld)",
	                                      (long long)w->revision, (long long)floor));

	begin_stream(w);
	status_encode(s, c->req->accept.format, false, &object);
	while (object.len && object.data[object.len - 1] == '\n')
		object.len--;
	frame(w, "ERROR", buf_view(&object), &out);
	ERR_IGNORE(response_chunk(c->sink, buf_view(&out))); /* the only one */
	watch_end(w);
}

static void start(struct call *c, void *arg)
{
	struct watch *w = arg;
	int64_t floor;

	if (c->sink->closed) {
		response_abort(c->sink); /* nothing was begun */
		return;
	}
	if (w->initial) {
		w->revision = 0;
		watcher_start_now(&w->w, c->cache, &w->snap);
		begin_stream(w);
		w->showing = true;
		cache_cursor_seek(&w->cursor, &w->snap.tree, w->w.selection.key_prefix);
		show_more(w);
		return;
	}
	if (!w->revision)
		w->revision = cacher_revision(c->p->cacher);
	if (watcher_start(&w->w, c->cache, w->revision, &floor))
		begin_stream(w);
	else
		too_old(w, floor);
}

/* What frames depend on: the format, the shape, its version, the version of the kind. */
static uint32_t frame_format(const struct call *c)
{
	return (uint32_t)(c->res - resource_table) << 12 | (uint32_t)c->req->accept.format << 8 |
	       (uint32_t)c->req->accept.as << 4 |
	       (uint32_t)(strcmp(c->req->accept.as_version, "v1beta1") == 0) << 3;
}

static const struct status *plan(struct watch *w)
{
	struct call *c = w->c;
	const struct request_options *o = &c->req->options;
	const char *why;

	if (o->resource_version[0] &&
	    !resource_version_parse(o->resource_version, c->a, &w->revision, &why))
		return status_new(c->a, 500, "", "resourceVersion: Invalid value: \"%s\": %s",
		                  o->resource_version, why);
	w->bookmarks = o->allow_watch_bookmarks;
	w->initial = o->send_initial_events == TRISTATE_TRUE ||
	             (o->send_initial_events == TRISTATE_UNSET && w->revision == 0);
	w->announce_end = o->send_initial_events == TRISTATE_TRUE && w->bookmarks;
	return NULL;
}

void endpoint_watch(struct call *c)
{
	struct watch *w = arena_new(c->a, struct watch);
	const struct status *s;
	int64_t await;

	w->c = c;
	w->w = (struct watcher){.loop = c->req->loop, .event = on_event, .ended = on_ended};
	s = plan(w);
	if (!s)
		s = call_selection(c, &w->w.selection);
	if (s) {
		call_refuse(c, s);
		return;
	}
	w->format = frame_format(c);
	/* Only who wants the state at a revision waits for it; events are simply still to come. */
	await = !c->req->options.resource_version[0] ? FRESH_NOW
	        : w->initial && w->revision          ? w->revision
	                                             : FRESH_ANY;
	call_await(c, await, start, w);
}
