/* SPDX-License-Identifier: Apache-2.0 */
/* Watchers. Each loop has one feed a resource; the state loop wakes a feed once however many events
 * come, and the feed hands each event to those watchers whose selection may show it (the audience),
 * so that the frame which the first one encodes serves them all. A watcher whose connection is full
 * pauses and later catches up from the ring by itself; one that the ring has left behind ends. */
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
	audience_deinit(&f->audience);
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

/* --- delivering ------------------------------------------------------------------------------- */

/* Takes the watcher out of the list or audience that it is in. */
static void watcher_leave(struct watcher *w)
{
	audience_leave(&w->feed->audience, &w->member);
	list_del(&w->node);
}

static void watcher_end(struct watcher *w)
{
	watcher_stop(w);
	w->ended(w, WATCHER_TOO_OLD);
}

/* Shows the watcher one event, after which it stands at next_seq. False when it wants no more. */
static bool deliver(struct watcher *w, struct cache_event *e, uint64_t next_seq, bool shared)
{
	struct cacher_feed *f = w->feed;
	enum cache_event_type type;
	bool show_prev;

	if (!cache_selection_event(&w->selection, e, &type, &show_prev))
		return true;
	if (w->event(w, e, type, show_prev, shared) != 1 || w->feed != f)
		return w->feed == f;
	watcher_leave(w);
	w->next_seq = next_seq;
	w->behind = w->paused = true;
	return false;
}

/* A batch for a watcher that is behind its feed. False when it has ended. */
static bool catch_up(struct watcher *w)
{
	struct cacher_feed *f = w->feed;
	struct cache_event *events[BATCH];
	uint64_t next;
	size_t n;
	bool more = true;

	if (!fetch(f->r, w->next_seq, events, &n, &next)) {
		watcher_end(w);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		more = more && w->next_seq < f->next_seq;
		if (more) {
			w->next_seq++;
			more = deliver(w, events[i], w->next_seq, false);
		}
		cache_event_unref(events[i]);
	}
	return w->feed == f;
}

/* Watchers that are not in step each get a batch. */
static void feed_behind(struct cacher_feed *f)
{
	struct list now;

	list_init(&now);
	list_add_tail(&f->behind, &now);
	list_del(&f->behind);
	while (!list_empty(&now)) {
		struct watcher *w = list_first(&now, struct watcher, node);

		list_del(&w->node);
		list_add_tail(&f->behind, &w->node);
		if ((w->next_seq < f->next_seq && !catch_up(w)) || w->paused)
			continue;
		if (w->next_seq < f->next_seq) {
			feed_post(f);
		} else if (w->next_seq == f->next_seq) {
			list_del(&w->node);
			w->behind = false;
			audience_join(&f->audience, &w->member, &w->selection);
		}
	}
}

/* Events were dropped before the feed saw them: nobody will pass them, and their frames went with
 * them. Who kept step has missed them. */
static void feed_skip(struct cacher_feed *f)
{
	struct audience_member *m;

	pthread_mutex_lock(&f->r->lock);
	f->next_seq = MAX(f->next_seq, f->r->ring.first);
	pthread_mutex_unlock(&f->r->lock);
	while ((m = audience_any(&f->audience)))
		watcher_end(CONTAINER_OF(m, struct watcher, member));
}

static void feed_event(struct cacher_feed *f, struct cache_event *e, uint64_t next_seq)
{
	struct audience_walk walk;
	struct audience_member *m;

	audience_walk_begin(&walk, &f->audience, e);
	while ((m = audience_walk_next(&walk)))
		deliver(CONTAINER_OF(m, struct watcher, member), e, next_seq, true);
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
	for (size_t i = 0; i < n; i++)
		feed_event(f, events[i], seq + i + 1);
	f->next_seq = seq + n;
	for (size_t i = 0; i < n; i++) {
		cache_event_pass(events[i]);
		cache_event_unref(events[i]);
	}
	feed_behind(f);
	if (f->next_seq < next)
		feed_post(f);
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
	audience_init(&f->audience);
	list_init(&f->behind);
	*vec_push(&r->feeds) = f;
	return f;
}

/* It starts behind, even when there is nothing that it has not seen: the feed sorts it in. */
static void watcher_join(struct watcher *w, struct cacher_feed *f)
{
	w->feed = f;
	w->member = (struct audience_member){0};
	list_init(&w->member.node);
	list_init(&w->node);
	w->behind = true;
	if (!w->paused)
		list_add_tail(&f->behind, &w->node);
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
	list_add_tail(&w->feed->behind, &w->node);
	feed_post(w->feed);
}

void watcher_stop(struct watcher *w)
{
	if (!w->feed)
		return;
	watcher_leave(w);
	w->feed = NULL;
}

int64_t watcher_caught_up(struct watcher *w)
{
	struct cacher_resource *r = w->feed ? w->feed->r : NULL;
	int64_t revision;
	uint64_t seq;

	if (!r)
		return 0;
	pthread_mutex_lock(&r->lock);
	seq = w->behind ? w->next_seq : w->feed->next_seq;
	revision = seq == r->ring.next ? revision_of(r) : 0;
	pthread_mutex_unlock(&r->lock);
	return revision;
}
