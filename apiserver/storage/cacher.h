/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The watch caches of all resources, fed by one store watch on /registry/.
 *
 * The state loop alone mutates the caches. Any other loop takes snapshots without asking it, posts
 * questions that need the newest state (cacher_fresh) and subscribes feeds of events. All resources
 * share one revision: what has been seen of the store. */
#include "apiserver/cache/audience.h"
#include "apiserver/cache/ring.h"
#include "apiserver/cache/select.h"
#include "apiserver/cache/tree.h"
#include "apiserver/storage/store_client.h"
#include "common/base/arena.h"
#include "common/base/list.h"

struct cacher;
struct cacher_resource;
struct cacher_feed;
struct loop;

/* Extracts what selectors see of a stored value: fills spec's labels and fields, allocated in `a`.
 * Called on the state loop. A value that does not decode gives none. */
typedef void (*cacher_extract)(void *arg, struct arena *a, struct slice value,
                               struct cache_object_spec *spec);

struct cacher_options {
	struct store_client *store;
	struct loop *state_loop;
	const char *prefix; /* NULL: "/registry" */
	size_t ring_bytes;  /* 0: a default; a resource's limit */
	bool no_compaction; /* the store is compacted every five minutes unless this is set */
};

struct cacher *cacher_new(const struct cacher_options *o);
/* Begins to list and to watch. Before the state loop runs, or on it. */
void cacher_start(struct cacher *c);
/* On the state loop, or when no loop runs any more. */
void cacher_free(struct cacher *c);
/* The first list of the store is done: health. Any thread. */
bool cacher_ready(const struct cacher *c);
/* The newest revision of which everything was seen. Any thread. */
int64_t cacher_revision(const struct cacher *c);

/* Makes the cache of a resource, whose keys are "<prefix>/<key_prefix>/...", or finds it. Any
 * thread; objects under the prefix that are known already move into it at once. The pointer lives
 * as long as the cacher. `extract` of later calls replaces the former one (and extracts again). */
struct cacher_resource *cacher_resource(struct cacher *c, const char *key_prefix,
                                        cacher_extract extract, void *arg);

/* A snapshot and the revision that it stands for. Release it on any thread. */
struct cacher_snapshot {
	struct cache_tree tree;
	int64_t revision;
};
struct cacher_snapshot cacher_snapshot(struct cacher_resource *r);
void cacher_snapshot_deinit(struct cacher_snapshot *s);
/* A snapshot of a past revision: one that was kept (cacher_keep), or the present one when nothing
 * of the resource changed since. False: ask the store. */
bool cacher_snapshot_at(struct cacher_resource *r, int64_t revision, struct cacher_snapshot *ret);
/* Keeps a snapshot for a while, for the following pages of a list. */
void cacher_keep(struct cacher_resource *r, const struct cacher_snapshot *s);

/* Puts an object of the store (a past state, say) into a tree of the caller's, extracted as in the
 * cache; `key` is the key below the resource's prefix. */
void cacher_add(struct cacher_resource *r, struct cache_tree *t, struct slice key,
                const struct store_kv *kv);

/* Waits until the cache has at least `revision`, or, when revision is 0, everything that the store
 * had acknowledged when the call was made (one linearizable read serves all who wait). Calls back
 * on `loop` with 0, -ERR_TIMEOUT after timeout_ms, or the store's error. */
typedef void (*cacher_fresh_cb)(void *arg, int code, const struct err *err, int64_t revision);
void cacher_fresh(struct cacher *c, struct loop *loop, int64_t revision, uint32_t timeout_ms,
                  cacher_fresh_cb cb, void *arg);

/* The key of an object in the store: "<prefix>/<key_prefix>/" and the key below it. */
void cacher_key(const struct cacher_resource *r, struct slice below, struct buf *ret);

/* The state loop. */
struct loop *cacher_loop(const struct cacher *c);
/* The store client, for writes and reads of old revisions. */
struct store_client *cacher_store(struct cacher *c);

/* --- watching: everything below belongs to the watcher's loop --------------------------------- */

enum watcher_end {
	WATCHER_TOO_OLD, /* it fell out of the ring, or the caches were filled anew */
};

/* One watch. The owner embeds it, fills the first part, and starts it. */
struct watcher {
	struct loop *loop;
	struct cache_selection selection; /* what it points to is the owner's */
	/* An event that the selection shows. `show_prev`: its object is event->prev, else
	 * event->object; either way at event->revision. `shared`: frames on the event may be used
	 * and left. Returns 1 to pause: the next event follows after watcher_resume. */
	int (*event)(struct watcher *w, struct cache_event *e, enum cache_event_type type,
	             bool show_prev, bool shared);
	void (*ended)(struct watcher *w, enum watcher_end why);

	/* The feed's. A watcher keeps step with its feed (it is in the audience), or is behind at
	 * next_seq; paused, it is in no list. */
	struct cacher_feed *feed;
	struct audience_member member;
	struct list node;
	uint64_t next_seq;
	bool behind, paused;
};

/* Starts after `revision`. False when the ring does not reach back so far; *ret_floor is then the
 * oldest revision that can be started from. */
_must_use_ bool watcher_start(struct watcher *w, struct cacher_resource *r, int64_t revision,
                              int64_t *ret_floor);
/* Starts with what is there now: the snapshot first (the owner's to show and release), then what
 * follows it. The watcher is paused until watcher_resume. */
void watcher_start_now(struct watcher *w, struct cacher_resource *r, struct cacher_snapshot *ret);
void watcher_resume(struct watcher *w);
/* No callback follows. Stopping one that has ended, or is zeroed, does nothing. */
void watcher_stop(struct watcher *w);
/* The revision up to which the watcher has seen everything; 0 when events wait for it. */
int64_t watcher_caught_up(struct watcher *w);
