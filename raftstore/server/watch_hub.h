/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Watchers, and who gets which event when.
 *
 * A synced watcher gets events from the storage worker as they are published. One that starts in
 * the past, or whose client does not keep up, is unsynced: the watch worker reads the history for
 * it, chunk by chunk, as fast as the client takes it, until it has caught up with what is
 * published. Each watcher knows the next revision that it needs, so nothing is lost or doubled
 * between the two, and changes of one revision stay in one response (or its fragments).
 *
 * What waits for a client is bounded: the send queue of its call holds about a chunk beyond its
 * mark, everything else stays in the store. */
#include "raftstore/server/events.h"
#include "raftstore/server/server.h"

struct watch_stream;

int watch_hub_start(struct server *s, struct err *err);
void watch_hub_stop(struct server *s);
/* Storage thread: these changes were committed, up to `revision`. */
void watch_hub_publish(struct watch_hub *h, const struct events *events, int64_t revision);
/* Storage thread: the tables were replaced by others of the same history, at this revision. Whoever
 * is behind catches up from them. */
void watch_hub_replaced(struct watch_hub *h, int64_t revision);
/* There has been no leader for long: streams that demand one (metadata "hasleader") end. */
void watch_hub_no_leader(struct watch_hub *h);
void watch_hub_counts(struct watch_hub *h, size_t *ret_watchers, size_t *ret_unsynced);
/* Tells idle watchers that asked for it how far they are. */
void watch_hub_progress(struct watch_hub *h);

struct watch_create {
	struct slice key, range_end;
	int64_t start_revision, id;
	bool progress_notify, previous, fragment, no_put, no_delete;
};

/* One watch call; takes a reference of it. */
struct watch_stream *watch_stream_new(struct watch_hub *h, struct rpc_call *call);
/* Nothing is sent any more: the call may be ended. False: it was closed before. */
bool watch_stream_close(struct watch_stream *st);
/* After the close, once. */
void watch_stream_free(struct watch_stream *st);
struct server *watch_stream_server(const struct watch_stream *st);
/* A watch is not begun, for that reason. */
void watch_stream_refuse(struct watch_stream *st, const char *reason);
/* Each answers on the stream. */
void watch_stream_create(struct watch_stream *st, const struct watch_create *c);
void watch_stream_cancel(struct watch_stream *st, int64_t id);
void watch_stream_progress(struct watch_stream *st);
/* The send queue has room again. */
void watch_stream_writable(struct watch_stream *st);
