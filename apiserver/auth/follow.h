/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Follows one resource of the watch caches: what is there, then every change. Runs on one loop; a
 * caller's lock (NULL: none) is held for writing during the callbacks, and over a whole refill, so
 * that readers on other threads never see half of one. */
#include <pthread.h>
#include "apiserver/storage/cacher.h"

struct follow {
	struct watcher w;
	struct cacher_resource *r;
	pthread_rwlock_t *lock;
	/* Everything is about to be told anew. */
	void (*clear)(void *arg);
	/* Made or changed; `o` is borrowed. */
	void (*put)(void *arg, const struct cache_object *o);
	void (*del)(void *arg, const struct cache_object *o); /* as it was */
	/* Instead of put for what has changed, where it matters what it was. May be NULL. */
	void (*change)(void *arg, const struct cache_object *prev, const struct cache_object *o);
	void *arg;
};

/* The caller has set r, lock, clear, put, del, arg. On the loop, or before it runs. */
void follow_start(struct follow *f, struct loop *loop);
void follow_stop(struct follow *f);
