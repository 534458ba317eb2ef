/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/log.h"
#include "common/base/rng.h"
#include "raftstore/server/watch_internal.h"

enum {
	CHUNK_EVENTS = 1000,
	CHUNK_BYTES = 1 << 20,
	CHUNK_SCANNED = 50000, /* changes looked at before others get their turn */
};

/* One chunk of history for one watcher. */
struct chunk {
	struct kv_txn *kv;
	struct key_range keys;
	bool previous, no_put, no_delete;
	struct events events;
	size_t scanned;
	int64_t main; /* of the change looked at last */
	int64_t next; /* the watcher has everything before it */
};

enum { CHUNK_FULL = 1 };

static int chunk_add(void *arg, const struct record *rec)
{
	struct chunk *c = arg;
	/* Changes of one revision stay together. */
	if (rec->rev.main != c->main &&
	    (c->events.list.n >= CHUNK_EVENTS || c->events.bytes.len >= CHUNK_BYTES ||
	     c->scanned >= CHUNK_SCANNED)) {
		c->next = rec->rev.main;
		return CHUNK_FULL;
	}
	c->main = rec->rev.main;
	c->scanned++;
	if (!key_range_has(&c->keys, rec->key) || (rec->deleted ? c->no_delete : c->no_put))
		return 0;
	struct record previous;
	int r = -ERR_NOT_FOUND;
	if (c->previous)
		r = mvcc_previous(c->kv, rec, &previous);
	if (r && r != -ERR_NOT_FOUND)
		return r;
	events_add(&c->events, rec, r ? NULL : &previous);
	return 0;
}

/* Reads what comes at and after `from`. COMPACTED: that is gone, *ret is the oldest left. */
static int chunk_read(struct watch_hub *h, struct chunk *c, int64_t from, int64_t *ret)
{
	int r = store_begin(h->server->store, false, &c->kv);
	if (r)
		return r;
	_cleanup_mvcc_ struct mvcc m = {0};
	r = mvcc_open(&m, c->kv);
	*ret = m.compacted;
	if (!r && from < m.compacted)
		r = OUTCOME_COMPACTED;
	c->next = m.revision + 1;
	if (!r)
		r = mvcc_changes(c->kv, from, chunk_add, c);
	if (r == CHUNK_FULL)
		r = 0;
	store_end(c->kv);
	return r;
}

/* The next watcher that can be helped, moved to the end of the line. */
static struct watcher *next_unsynced(struct watch_hub *h)
{
	LIST_FOREACH (&h->unsynced, w, struct watcher, link) {
		if (w->stream->congested)
			continue;
		list_del(&w->link);
		list_add_tail(&h->unsynced, &w->link);
		return w;
	}
	return NULL;
}

static void chunk_deliver(struct watch_hub *h, struct watcher *w, struct chunk *c, int r,
                          int64_t compacted)
{
	if (r == OUTCOME_COMPACTED) {
		watcher_compacted(w, compacted);
		return;
	}
	if (r) {
		log_error(NULL, "Could not read history for a watcher",
		          LOG_STR("err", err_name(r)));
		watcher_remove(w);
		return;
	}
	uint32_t at[CHUNK_EVENTS], *list = at;
	size_t n = c->events.list.n;
	_cleanup_(free_p) uint32_t *many = NULL;
	if (n > CHUNK_EVENTS) {
		many = malloc(n * sizeof(*many));
		if (!many)
			abort();
		list = many;
	}
	for (uint32_t i = 0; i < n; i++)
		list[i] = i;
	watcher_send(w, &c->events, list, n, MAX(h->published, c->next - 1));
	watcher_done(w, c->next);
}

/* Called and returns under the lock. */
static void catch_up(struct watch_hub *h, struct watcher *w)
{
	struct watch_stream *st = w->stream;
	struct chunk c = {
	    .keys = w->entry.keys,
	    .previous = w->previous,
	    .no_put = w->no_put,
	    .no_delete = w->no_delete,
	};
	int64_t from = w->next_revision, compacted = 0;
	w->busy = st->busy = true;
	pthread_mutex_unlock(&h->lock);
	int r = chunk_read(h, &c, from, &compacted);
	pthread_mutex_lock(&h->lock);
	if (!w->removed)
		chunk_deliver(h, w, &c, r, compacted);
	watcher_release(w);
	st->busy = false;
	if (st->released)
		watch_stream_delete(st);
	events_deinit(&c.events);
}

/* One chunk for one watcher; others get their turn before its next one. */
static void watch_turn(void *arg)
{
	struct watch_hub *h = arg;
	pthread_mutex_lock(&h->lock);
	h->turn_posted = false;
	struct watcher *w = h->stop ? NULL : next_unsynced(h);
	if (w) {
		catch_up(h, w);
		watch_hub_wake(h);
	}
	pthread_mutex_unlock(&h->lock);
}

void watch_hub_wake(struct watch_hub *h)
{
	if (h->turn_posted || h->stop)
		return;
	h->turn_posted = true;
	worker_post(&h->worker, watch_turn, h);
}

int watch_hub_start(struct server *s, struct err *err)
{
	struct watch_hub *h = calloc(1, sizeof(*h));
	if (!h)
		abort();
	s->hub = h;
	h->server = s;
	h->published = s->revision;
	pthread_mutex_init(&h->lock, NULL);
	list_init(&h->unsynced);
	list_init(&h->streams);
	uint64_t seed;
	rng_system(&seed, sizeof(seed));
	watch_index_init(&h->index, seed);
	if (worker_start(&h->worker, "watch"))
		return err_set(err, ERR_INTERNAL, "cannot start the watch worker");
	return 0;
}

void watch_hub_stop(struct server *s)
{
	struct watch_hub *h = TAKE(s->hub);
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	h->stop = true;
	pthread_mutex_unlock(&h->lock);
	worker_stop(&h->worker);
	watch_index_deinit(&h->index);
	vec_deinit(&h->touched);
	buf_deinit(&h->out);
	pthread_mutex_destroy(&h->lock);
	free(h);
}
