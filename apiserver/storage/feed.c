/* SPDX-License-Identifier: Apache-2.0 */
/* Watchers. Each loop has one feed a resource; the state loop wakes a feed once however many events
 * come, and the feed hands each event to its watchers in turn, so that the frame which the first
 * one encodes serves them all. A watcher whose connection is full pauses and later catches up from
 * the ring by itself; one that the ring has left behind ends. */
#include "apiserver/storage/cacher_impl.h"

enum { BATCH = 64 };

static void feed_run(void *arg);

static void feed_post(struct cacher_feed *f)
{
	if (!atomic_exchange(&f->posted, true))
		loop_post(f->loop, feed_run, f);
}

void cacher_announce(struct cacher_resource *r)
{
	pthread_mutex_lock(&r->lock);
	VEC_FOREACH (&r->feeds, f)
		feed_post(*f);
	pthread_mutex_unlock(&r->lock);
}

void cacher_feed_free(struct cacher_feed *f)
{
	free(f);
}

/* References to the events from seq on, at most BATCH. False when seq has left the ring. */
static bool fetch(struct cacher_resource *r, uint64_t seq, struct cache_event *ret[BATCH],
                  size_t *ret_n, uint64_t *ret_next)
{
	size_t n = 0;
	bool ok;

	pthread_mutex_lock(&r->lock);
	ok = seq >= r->ring.first;
	while (ok && n < BATCH && seq + n < r->ring.next) {
		ret[n] = cache_event_ref(cache_ring_get(&r->ring, seq + n));
		n++;
	}
	*ret_next = r->ring.next;
	pthread_mutex_unlock(&r->lock);
	*ret_n = n;
	return ok;
}

static void watcher_end(struct watcher *w)
{
	watcher_stop(w);
	w->ended(w, WATCHER_TOO_OLD);
}

/* Gives the watcher what of events[0..n), which start at seq, it has not seen. */
static void deliver(struct watcher *w, struct cache_event **events, size_t n, uint64_t seq,
                    bool shared)
{
	struct cacher_feed *f = w->feed;

	while (w->feed == f && !w->paused && w->next_seq < seq + n) {
		struct cache_event *e = events[w->next_seq - seq];
		enum cache_event_type type;
		bool show_prev;

		w->next_seq++;
		if (!cache_selection_event(&w->selection, e, &type, &show_prev))
			continue;
		if (w->event(w, e, type, show_prev, shared) == 1)
			w->paused = w->feed == f;
	}
}

/* A batch for a watcher that is behind its feed. */
static void catch_up(struct watcher *w)
{
	struct cache_event *events[BATCH];
	uint64_t seq = w->next_seq, next;
	size_t n;

	if (!fetch(w->feed->r, seq, events, &n, &next)) {
		watcher_end(w);
		return;
	}
	if (seq + n > w->feed->next_seq)
		feed_post(w->feed);
	deliver(w, events, (size_t)MIN((uint64_t)n, w->feed->next_seq - seq), seq, false);
	for (size_t i = 0; i < n; i++)
		cache_event_unref(events[i]);
}

/* Events that the ring dropped before the feed saw them: nobody will pass them, and their frames
 * went with them. */
static void feed_skip(struct cacher_feed *f)
{
	pthread_mutex_lock(&f->r->lock);
	f->next_seq = MAX(f->next_seq, f->r->ring.first);
	pthread_mutex_unlock(&f->r->lock);
}

/* The list may change under the callbacks: walking marks its place with a node of its own. */
static void feed_each(struct cacher_feed *f, struct cache_event **events, size_t n, uint64_t seq)
{
	struct list mark, *at;

	list_init(&mark);
	list_add_head(&f->watchers, &mark);
	while ((at = mark.next) != &f->watchers) {
		struct watcher *w = list_entry(at, struct watcher, node);

		list_del(&mark);
		list_add_head(at, &mark);
		if (w->paused)
			continue;
		if (w->next_seq < f->next_seq)
			catch_up(w);
		else
			deliver(w, events, n, seq, true);
	}
	list_del(&mark);
}

static void feed_idle(struct cacher_feed *f)
{
	struct list mark, *at;

	list_init(&mark);
	list_add_head(&f->watchers, &mark);
	while ((at = mark.next) != &f->watchers) {
		struct watcher *w = list_entry(at, struct watcher, node);

		list_del(&mark);
		list_add_head(at, &mark);
		if (w->paused)
			continue;
		if (w->next_seq < f->next_seq)
			feed_post(f);
		else if (w->idle)
			w->idle(w);
	}
	list_del(&mark);
}

static void feed_run(void *arg)
{
	struct cacher_feed *f = arg;
	struct cache_event *events[BATCH];
	uint64_t seq, next;
	size_t n;

	atomic_store(&f->posted, false);
	if (!fetch(f->r, f->next_seq, events, &n, &next)) {
		feed_skip(f);
		feed_post(f);
		return;
	}
	seq = f->next_seq;
	feed_each(f, events, n, seq);
	f->next_seq = seq + n;
	for (size_t i = 0; i < n; i++) {
		cache_event_pass(events[i]);
		cache_event_unref(events[i]);
	}
	if (f->next_seq < next)
		feed_post(f);
	else
		feed_idle(f);
}

/* --- watchers -------------------------------------------------------------------------------- */

/* Under r->lock. */
static struct cacher_feed *feed_of(struct cacher_resource *r, struct loop *loop)
{
	struct cacher_feed *f;

	VEC_FOREACH (&r->feeds, it)
		if ((*it)->loop == loop)
			return *it;
	f = calloc(1, sizeof(*f));
	if (!f)
		abort();
	f->r = r;
	f->loop = loop;
	f->next_seq = r->ring.next;
	list_init(&f->watchers);
	*vec_push(&r->feeds) = f;
	return f;
}

static void watcher_join(struct watcher *w, struct cacher_feed *f)
{
	w->feed = f;
	list_init(&w->node);
	list_add_tail(&f->watchers, &w->node);
}

bool watcher_start(struct watcher *w, struct cacher_resource *r, int64_t revision,
                   int64_t *ret_floor)
{
	bool ok;

	pthread_mutex_lock(&r->lock);
	ok = cache_ring_seek(&r->ring, revision, &w->next_seq);
	*ret_floor = r->ring.floor_revision;
	w->paused = false;
	if (ok)
		watcher_join(w, feed_of(r, w->loop));
	pthread_mutex_unlock(&r->lock);
	if (ok)
		feed_post(w->feed);
	return ok;
}

static int64_t revision_of(struct cacher_resource *r)
{
	return MAX(atomic_load(&r->c->revision), r->changed_revision);
}

void watcher_start_now(struct watcher *w, struct cacher_resource *r, struct cacher_snapshot *ret)
{
	pthread_mutex_lock(&r->lock);
	ret->tree = cache_tree_snapshot(&r->tree);
	ret->revision = revision_of(r);
	w->next_seq = r->ring.next;
	w->paused = true;
	watcher_join(w, feed_of(r, w->loop));
	pthread_mutex_unlock(&r->lock);
}

void watcher_resume(struct watcher *w)
{
	if (!w->feed || !w->paused)
		return;
	w->paused = false;
	feed_post(w->feed);
}

void watcher_stop(struct watcher *w)
{
	if (!w->feed)
		return;
	list_del(&w->node);
	w->feed = NULL;
}

int64_t watcher_caught_up(struct watcher *w)
{
	struct cacher_resource *r = w->feed ? w->feed->r : NULL;
	int64_t revision;

	if (!r)
		return 0;
	pthread_mutex_lock(&r->lock);
	revision = w->next_seq == r->ring.next ? revision_of(r) : 0;
	pthread_mutex_unlock(&r->lock);
	return revision;
}
