/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside of the watch hub. Everything is under the hub's lock, but for what a busy watcher's key
 * range is to the watch thread. */
#include <pthread.h>
#include "common/base/list.h"
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
	bool busy, removed; /* the watch thread works for it; it is to be freed after that */
	VEC(uint32_t) matched;
};

struct watch_stream {
	struct watch_hub *hub;
	struct rpc_call *call;
	struct list link;
	VEC(struct watcher *) watchers;
	int64_t next_id;
	bool congested, progress_wanted, closed;
	bool busy;     /* the watch thread works for one of its watchers */
	bool released; /* and frees it after that */
};

struct watch_hub {
	struct server *server;
	pthread_t thread;
	bool started, stop;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct watch_index index; /* of synced watchers */
	struct list unsynced, streams;
	VEC(struct watcher *) touched;
	struct buf out;
	int64_t published;
	size_t n_watchers, n_unsynced;
};

void watch_stream_delete(struct watch_stream *st);
/* Sends events `at[0..n)` to a watcher. */
void watcher_send(struct watcher *w, const struct events *e, const uint32_t *at, size_t n,
                  int64_t revision);
/* It has everything before `next`; synced when that is all that is published. */
void watcher_done(struct watcher *w, int64_t next);
void watcher_compacted(struct watcher *w, int64_t compacted);
void watcher_remove(struct watcher *w);
/* The watch thread has finished with it. */
void watcher_release(struct watcher *w);
