/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the parts of the cacher share: cacher.c (list, watch, apply), cacher_fresh.c (reads that
 * wait), feed.c (watchers).
 *
 * Locks, in the order in which they are taken: cacher.lock (which resource a key belongs to; the
 * state loop holds it while it applies a batch), cacher_resource.lock (tree, ring, feeds). */
#include "apiserver/storage/cacher.h"
#include "common/base/map.h"
#include "common/net/loop.h"

enum { KEPT_MAX = 16 };

struct kept_snapshot {
	struct cacher_snapshot s;
	uint64_t used_ms;
};

struct cacher_resource {
	struct cacher *c;
	char *prefix; /* below the cacher's, with a slash at the end: "pods/" */
	size_t prefix_len;
	cacher_extract extract;
	void *extract_arg;

	pthread_mutex_t lock;
	struct cache_tree tree;
	struct cache_tree fill; /* takes the pages of a list until it is whole */
	struct cache_ring ring;
	int64_t changed_revision; /* of the last change */
	struct kept_snapshot kept[KEPT_MAX];
	VEC(struct cacher_feed *) feeds; /* one a loop, as long as the cacher */
	bool dirty;                      /* state loop: events to announce at the end of a batch */
};

/* The watchers of one resource on one loop. */
struct cacher_feed {
	struct cacher_resource *r;
	struct loop *loop;
	atomic_bool posted; /* a run is on its way */
	uint64_t next_seq;  /* events before it are passed */
	struct list behind; /* watchers that have not seen all that the feed has passed, but for
	                       those that are paused */
	struct audience audience; /* those that have; last, for it ends in an array of no length */
};

/* A read that waits for the cache. */
struct fresh {
	struct list node;
	struct cacher *c;
	struct loop *loop;
	int64_t revision; /* 0: not known yet */
	uint32_t timeout_ms;
	struct loop_timer deadline; /* on the state loop */
	cacher_fresh_cb cb;
	void *arg;
	int code;
	struct err err;
};

struct cacher {
	struct store_client *store;
	struct loop *loop;
	char *prefix; /* "/registry/" */
	size_t prefix_len;
	size_t ring_bytes;
	_Atomic int64_t revision;
	atomic_bool ready;

	pthread_mutex_t lock;
	struct map resources;
	struct cacher_resource *other; /* keys of no known resource */

	/* The state loop's. */
	struct store_watch *watch;
	struct compactor *compactor;
	bool no_compaction;
	struct loop_timer retry, sweep;
	struct buf list_at; /* where the next page of the list starts */
	int64_t list_revision;
	struct list joining, reading, waiting; /* struct fresh */
	struct loop_timer progress;
	bool reading_now;
	atomic_bool watching;
	bool stopping;
};

/* feed.c: tells the resource's feeds that the ring has grown. */
void cacher_announce(struct cacher_resource *r);
void cacher_feed_free(struct cacher_feed *f);
/* cacher_fresh.c: the revision has grown. */
void cacher_fresh_check(struct cacher *c);
void cacher_fresh_init(struct cacher *c);
void cacher_fresh_deinit(struct cacher *c);
