/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/auth/follow.h"
#include "common/net/loop.h"

static void locked(struct follow *f)
{
	if (f->lock)
		pthread_rwlock_wrlock(f->lock);
}

static void unlocked(struct follow *f)
{
	if (f->lock)
		pthread_rwlock_unlock(f->lock);
}

static int on_event(struct watcher *w, struct cache_event *e, enum cache_event_type type,
                    bool show_prev, bool shared)
{
	struct follow *f = CONTAINER_OF(w, struct follow, w);

	locked(f);
	if (type == CACHE_DELETED)
		f->del(f->arg, e->prev);
	else if (e->prev && f->change)
		f->change(f->arg, e->prev, e->object);
	else
		f->put(f->arg, e->object);
	unlocked(f);
	return 0;
}

static void refill(struct follow *f)
{
	struct cacher_snapshot snap;
	struct cache_cursor cur;
	struct cache_object *o;

	watcher_start_now(&f->w, f->r, &snap);
	locked(f);
	f->clear(f->arg);
	cache_cursor_seek(&cur, &snap.tree, SLICE_EMPTY);
	while ((o = cache_cursor_next(&cur)))
		f->put(f->arg, o);
	unlocked(f);
	cacher_snapshot_deinit(&snap);
	watcher_resume(&f->w);
}

static void on_ended(struct watcher *w, enum watcher_end why)
{
	refill(CONTAINER_OF(w, struct follow, w));
}

static void start(void *arg)
{
	refill(arg);
}

void follow_start(struct follow *f, struct loop *loop)
{
	f->w = (struct watcher){.loop = loop, .event = on_event, .ended = on_ended};
	loop_post(loop, start, f);
}

void follow_stop(struct follow *f)
{
	watcher_stop(&f->w);
}
