/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside of the watch hub. Everything is under the hub's lock, but for what a busy watcher's key
 * range is to the watch worker. */
#include "common/base/list.h"
#include "common/base/worker.h"
#include "raftstore/mvcc/watch_index.h"
#include "raftstore/server/watch_hub.h"

struct watcher {
	struct watch_entry entry;
	struct watch_stream *stream;
	struct list link; /* in hub->unsynced */
	uint8_t *key;
	int64_t id, next_revision;
	bool previous, fragment, progress_notify, no_put, no_delete;
	bool synced;
	bool told;          /* has got something since the last round of progress */
	bool busy, removed; /* the watch worker works for it; it is to be freed after that */
	VEC(uint32_t) matched;
};

struct watch_stream {
	struct watch_hub *hub;
	struct rpc_call *call;
	struct list link;
	VEC(struct watcher *) watchers;
	int64_t next_id;
	bool congested, progress_wanted, closed;
	bool needs_leader; /* ends when there is none */
	bool busy;     /* the watch worker works for one of its watchers */
	bool released; /* and frees it after that */
};

struct watch_hub {
	struct server *server;
	struct worker worker;
	pthread_mutex_t lock;
	bool turn_posted, stop;
	struct watch_index index; /* of synced watchers */
	struct list unsynced, streams;
	VEC(struct watcher *) touched;
	struct buf out;
	int64_t published;
	size_t n_watchers, n_unsynced;
};

/* There may be somebody to bring up to date. */
void watch_hub_wake(struct watch_hub *h);
void watch_stream_delete(struct watch_stream *st);
/* Sends events `at[0..n)` to a watcher. */
void watcher_send(struct watcher *w, const struct events *e, const uint32_t *at, size_t n,
                  int64_t revision);
/* It has everything before `next`; synced when that is all that is published. */
void watcher_done(struct watcher *w, int64_t next);
void watcher_compacted(struct watcher *w, int64_t compacted);
void watcher_remove(struct watcher *w);
/* The watch worker has finished with it. */
void watcher_release(struct watcher *w);
