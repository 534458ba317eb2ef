/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/storage/cacher_impl.h"

#include <malloc.h>
#include "apiserver/storage/compactor.h"
#include "common/base/clock.h"
#include "common/base/log.h"

enum {
	PAGE_LIMIT = 2000,
	RETRY_MS = 500,
	SWEEP_MS = 30000,
	KEPT_MS = 120000,
	RING_EVENTS_MIN = 128,
	RING_EVENTS_MAX = 16384,
	RING_BYTES = 32 << 20,
};

static void list_page(struct cacher *c);

/* --- resources ------------------------------------------------------------------------------- */

static struct cacher_resource *resource_new(struct cacher *c, struct slice prefix)
{
	struct cacher_resource *r = calloc(1, sizeof(*r));

	if (!r)
		abort();
	r->c = c;
	r->prefix = strndup((const char *)prefix.data, prefix.len);
	r->prefix_len = prefix.len;
	pthread_mutex_init(&r->lock, NULL);
	cache_ring_init(&r->ring,
	                &(struct cache_ring_limits){.events_min = RING_EVENTS_MIN,
	                                            .events_max = RING_EVENTS_MAX,
	                                            .bytes_max = c->ring_bytes},
	                atomic_load(&c->revision));
	r->changed_revision = atomic_load(&c->revision);
	return r;
}

static void resource_free(struct cacher_resource *r)
{
	if (!r)
		return;
	VEC_FOREACH (&r->feeds, f)
		cacher_feed_free(*f);
	vec_deinit(&r->feeds);
	for (size_t i = 0; i < KEPT_MAX; i++)
		cacher_snapshot_deinit(&r->kept[i].s);
	cache_ring_deinit(&r->ring);
	cache_tree_deinit(&r->tree);
	cache_tree_deinit(&r->fill);
	pthread_mutex_destroy(&r->lock);
	free(r->prefix);
	free(r);
}

/* Where a key (below the cacher's prefix) belongs: prefixes are one or two segments long. Under
 * c->lock. */
static struct cacher_resource *resource_of(struct cacher *c, struct slice key)
{
	struct cacher_resource *r = NULL;
	size_t at = 0;

	for (int segments = 0; segments < 2 && !r; segments++) {
		const uint8_t *slash = memchr(key.data + at, '/', key.len - at);

		if (!slash)
			break;
		at = (size_t)(slash - key.data) + 1;
		r = map_get(&c->resources, slice_of(key.data, at));
	}
	return r ? r : c->other;
}

static struct cache_object *object_make(struct cacher_resource *r, struct slice key,
                                        struct blob *blob, int64_t mod, int64_t create,
                                        struct arena *a)
{
	struct cache_object_spec spec = {
	    .key = key,
	    .mod_revision = mod,
	    .create_revision = create,
	};

	if (r->extract)
		r->extract(r->extract_arg, a, blob_view(blob), &spec);
	return cache_object_new(&spec, blob);
}

/* Makes an object anew with the resource's key and fields, and puts it into the tree. */
static void put_again(struct cacher_resource *r, struct cache_tree *t, struct slice key,
                      const struct cache_object *o, struct arena *a)
{
	struct cache_object *made =
	    object_make(r, key, o->blob, o->mod_revision, o->create_revision, a);

	cache_object_unref(cache_tree_put(t, made));
	cache_object_unref(made);
	arena_reset(a);
}

/* Moves what lies under r's prefix from a tree of `other` to one of r, extracting. */
static void tree_adopt(struct cacher_resource *r, struct cache_tree *from, struct cache_tree *to)
{
	struct slice prefix = slice_of(r->prefix, r->prefix_len);
	_cleanup_arena_ struct arena a;
	struct cache_object *o;
	struct cache_cursor cursor;

	arena_init(&a);
	for (;;) {
		cache_cursor_seek(&cursor, from, prefix);
		o = cache_cursor_next(&cursor);
		if (!o || !slice_has_prefix(cache_object_key(o), prefix))
			break;
		put_again(r, to, slice_skip(cache_object_key(o), prefix.len), o, &a);
		cache_object_unref(cache_tree_del(from, cache_object_key(o)));
	}
}

static void tree_extract(struct cacher_resource *r, struct cache_tree *t)
{
	struct cache_tree old = cache_tree_snapshot(t);
	_cleanup_arena_ struct arena a;
	struct cache_cursor cursor;
	struct cache_object *o;

	arena_init(&a);
	cache_cursor_seek(&cursor, &old, SLICE_EMPTY);
	while ((o = cache_cursor_next(&cursor)))
		put_again(r, t, cache_object_key(o), o, &a);
	cache_tree_deinit(&old);
}

/* Both under c->lock. */
static void resource_adopt(struct cacher_resource *r)
{
	struct cacher_resource *other = r->c->other;

	pthread_mutex_lock(&other->lock);
	tree_adopt(r, &other->tree, &r->tree);
	tree_adopt(r, &other->fill, &r->fill);
	pthread_mutex_unlock(&other->lock);
}

static void resource_extract(struct cacher_resource *r)
{
	pthread_mutex_lock(&r->lock);
	tree_extract(r, &r->tree);
	tree_extract(r, &r->fill);
	pthread_mutex_unlock(&r->lock);
}

struct cacher_resource *cacher_resource(struct cacher *c, const char *key_prefix,
                                        cacher_extract extract, void *arg)
{
	_cleanup_buf_ struct buf prefix = BUF_INIT;
	struct cacher_resource *r;

	buf_printf(&prefix, "%s/", key_prefix);
	pthread_mutex_lock(&c->lock);
	r = map_get(&c->resources, buf_view(&prefix));
	if (!r) {
		r = resource_new(c, buf_view(&prefix));
		r->extract = extract;
		r->extract_arg = arg;
		map_put(&c->resources, buf_view(&prefix), r);
		resource_adopt(r);
	} else if (extract && (r->extract != extract || r->extract_arg != arg)) {
		r->extract = extract;
		r->extract_arg = arg;
		resource_extract(r);
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}

void cacher_key(const struct cacher_resource *r, struct slice below, struct buf *ret)
{
	buf_add(ret, r->c->prefix, r->c->prefix_len);
	buf_add(ret, r->prefix, r->prefix_len);
	buf_slice(ret, below);
}

/* --- applying -------------------------------------------------------------------------------- */

static void ring_event(struct cacher_resource *r, int64_t revision, struct cache_object *object,
                       struct cache_object *prev)
{
	enum cache_event_type type = !object ? CACHE_DELETED : prev ? CACHE_MODIFIED : CACHE_ADDED;
	struct cache_event *e = cache_event_new(type, revision, object, prev, (unsigned)r->feeds.n);

	cache_ring_append(&r->ring, e, (int64_t)loop_now_ms(r->c->loop));
	cache_event_unref(e);
	r->changed_revision = revision;
	r->dirty = true;
}

/* Under c->lock. What was seen before (a stream that resumed inside a revision) changes nothing. */
static void apply(struct cacher *c, const struct store_event *ev, struct arena *a)
{
	struct slice key = slice_skip(ev->kv.key, c->prefix_len);
	struct cacher_resource *r = resource_of(c, key);
	struct cache_object *o = NULL, *prev;

	key = slice_skip(key, r->prefix_len);
	if (!ev->is_delete) {
		struct blob *blob = blob_dup(ev->kv.value);

		o = object_make(r, key, blob, ev->kv.mod_revision, ev->kv.create_revision, a);
		blob_unref(blob);
	}
	pthread_mutex_lock(&r->lock);
	prev = cache_tree_get(&r->tree, key);
	if (prev ? prev->mod_revision >= ev->kv.mod_revision : !o) {
		pthread_mutex_unlock(&r->lock);
		cache_object_unref(o);
		return;
	}
	prev = o ? cache_tree_put(&r->tree, o) : cache_tree_del(&r->tree, key);
	if (r != c->other)
		ring_event(r, ev->kv.mod_revision, o, prev);
	pthread_mutex_unlock(&r->lock);
	cache_object_unref(prev);
	cache_object_unref(o);
}

static void announce_all(struct cacher *c)
{
	MAP_FOREACH (&c->resources, slot) {
		struct cacher_resource *r = slot->value;

		if (r->dirty) {
			r->dirty = false;
			cacher_announce(r);
		}
	}
}

static void on_events(void *arg, const struct store_event *ev, size_t n, int64_t revision)
{
	struct cacher *c = arg;

	if (n) {
		_cleanup_arena_ struct arena a;

		arena_init(&a);
		pthread_mutex_lock(&c->lock);
		for (size_t i = 0; i < n; i++) {
			apply(c, &ev[i], &a);
			arena_reset(&a);
		}
		atomic_store(&c->revision, MAX(revision, atomic_load(&c->revision)));
		announce_all(c);
		pthread_mutex_unlock(&c->lock);
	} else {
		atomic_store(&c->revision, MAX(revision, atomic_load(&c->revision)));
	}
	cacher_fresh_check(c);
}

/* --- list and watch -------------------------------------------------------------------------- */

static void resource_fill_clear(struct cacher_resource *r)
{
	pthread_mutex_lock(&r->lock);
	cache_tree_deinit(&r->fill);
	pthread_mutex_unlock(&r->lock);
}

static void fills_clear(struct cacher *c)
{
	pthread_mutex_lock(&c->lock);
	MAP_FOREACH (&c->resources, slot)
		resource_fill_clear(slot->value);
	resource_fill_clear(c->other);
	pthread_mutex_unlock(&c->lock);
}

static void relist(void *arg)
{
	struct cacher *c = arg;

	store_watch_free(TAKE(c->watch));
	fills_clear(c);
	buf_clear(&c->list_at);
	buf_add(&c->list_at, c->prefix, c->prefix_len);
	c->list_revision = 0;
	list_page(c);
}

static void on_compacted(void *arg, int64_t compact_revision)
{
	struct cacher *c = arg;

	log_warning("Store watch fell behind the compaction, listing again",
	            LOG_INT("compactRevision", compact_revision));
	atomic_store(&c->watching, false);
	loop_timer_start(&c->retry, 0);
}

static void on_state(void *arg, const struct err *err)
{
	struct cacher *c = arg;

	atomic_store(&c->watching, !err);
	if (err)
		log_error(err, "Store watch broke, will resume",
		          LOG_INT("revision", atomic_load(&c->revision)));
}

static struct slice prefix_end(struct cacher *c, struct buf *b)
{
	buf_add(b, c->prefix, c->prefix_len);
	b->data[b->len - 1]++; /* '/' becomes '0' */
	return buf_view(b);
}

/* The list is whole: what it brought takes the place of what was there. */
static void resource_swap(struct cacher_resource *r, int64_t revision)
{
	struct cache_tree old;

	pthread_mutex_lock(&r->lock);
	old = r->tree;
	r->tree = r->fill;
	r->fill.root = NULL;
	cache_ring_reset(&r->ring, revision);
	r->changed_revision = revision;
	pthread_mutex_unlock(&r->lock);
	cache_tree_deinit(&old);
}

static void list_done(struct cacher *c)
{
	_cleanup_buf_ struct buf end = BUF_INIT;

	pthread_mutex_lock(&c->lock);
	MAP_FOREACH (&c->resources, slot) {
		resource_swap(slot->value, c->list_revision);
		cacher_announce(slot->value);
	}
	resource_swap(c->other, c->list_revision);
	atomic_store(&c->revision, c->list_revision);
	pthread_mutex_unlock(&c->lock);
	c->watch = store_watch_new(c->store, c->loop,
	                           &(struct store_watch_options){
	                               .key = slice_of(c->prefix, c->prefix_len),
	                               .end = prefix_end(c, &end),
	                               .revision = c->list_revision + 1,
	                               .events = on_events,
	                               .compacted = on_compacted,
	                               .state = on_state,
	                               .arg = c,
	                           });
	atomic_store(&c->ready, true);
	malloc_trim(0); /* the pages are through: what they took is not needed again soon */
	cacher_fresh_check(c);
	if (!c->compactor && !c->no_compaction)
		c->compactor = compactor_new(c->store, c->loop, 0);
}

static void page_apply(struct cacher *c, const struct store_result *res)
{
	_cleanup_arena_ struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < res->n_kvs; i++) {
		const struct store_kv *kv = &res->kvs[i];
		struct slice key = slice_skip(kv->key, c->prefix_len);
		struct cacher_resource *r = resource_of(c, key);
		struct blob *blob = blob_dup(kv->value);
		struct cache_object *o = object_make(r, slice_skip(key, r->prefix_len), blob,
		                                     kv->mod_revision, kv->create_revision, &a);

		pthread_mutex_lock(&r->lock);
		cache_object_unref(cache_tree_put(&r->fill, o));
		pthread_mutex_unlock(&r->lock);
		cache_object_unref(o);
		blob_unref(blob);
		arena_reset(&a);
	}
}

static void on_page(void *arg, const struct store_result *res)
{
	struct cacher *c = arg;
	bool more;

	if (c->stopping)
		return;
	if (res->code < 0) {
		log_error(&res->err, "Could not list the store, will try again");
		loop_timer_start(&c->retry, RETRY_MS);
		return;
	}
	if (!c->list_revision)
		c->list_revision = res->revision;
	more = res->more && res->n_kvs;
	if (more) {
		buf_clear(&c->list_at);
		buf_slice(&c->list_at, res->kvs[res->n_kvs - 1].key);
		buf_byte(&c->list_at, 0);
		list_page(c); /* the store works on it meanwhile */
	}
	pthread_mutex_lock(&c->lock);
	page_apply(c, res);
	pthread_mutex_unlock(&c->lock);
	if (!more)
		list_done(c);
}

static void list_page(struct cacher *c)
{
	_cleanup_buf_ struct buf end = BUF_INIT;

	store_range(c->store, c->loop,
	            &(struct store_range){.key = buf_view(&c->list_at),
	                                  .end = prefix_end(c, &end),
	                                  .revision = c->list_revision,
	                                  .limit = PAGE_LIMIT},
	            on_page, c);
}

/* Lets go of snapshots that no page has asked for in a while. */
static void sweep(void *arg)
{
	struct cacher *c = arg;
	uint64_t now = loop_now_ms(c->loop);

	pthread_mutex_lock(&c->lock);
	MAP_FOREACH (&c->resources, slot) {
		struct cacher_resource *r = slot->value;

		pthread_mutex_lock(&r->lock);
		for (size_t i = 0; i < KEPT_MAX; i++)
			if (r->kept[i].s.revision && r->kept[i].used_ms + KEPT_MS < now)
				cacher_snapshot_deinit(&r->kept[i].s);
		pthread_mutex_unlock(&r->lock);
	}
	pthread_mutex_unlock(&c->lock);
	loop_timer_start(&c->sweep, SWEEP_MS);
}

/* --- life cycle ------------------------------------------------------------------------------ */

struct cacher *cacher_new(const struct cacher_options *o)
{
	struct cacher *c = calloc(1, sizeof(*c));
	_cleanup_buf_ struct buf prefix = BUF_INIT;

	if (!c)
		abort();
	c->store = o->store;
	c->loop = o->state_loop;
	c->no_compaction = o->no_compaction;
	c->ring_bytes = o->ring_bytes ? o->ring_bytes : RING_BYTES;
	buf_printf(&prefix, "%s/", o->prefix ? o->prefix : "/registry");
	c->prefix_len = prefix.len;
	c->prefix = buf_steal_str(&prefix);
	pthread_mutex_init(&c->lock, NULL);
	map_init(&c->resources, 0);
	c->other = resource_new(c, SLICE_LIT(""));
	loop_timer_init(&c->retry, c->loop, relist, c);
	loop_timer_init(&c->sweep, c->loop, sweep, c);
	cacher_fresh_init(c);
	return c;
}

void cacher_start(struct cacher *c)
{
	loop_timer_start(&c->sweep, SWEEP_MS);
	relist(c);
}

void cacher_free(struct cacher *c)
{
	if (!c)
		return;
	c->stopping = true;
	loop_timer_stop(&c->retry);
	loop_timer_stop(&c->sweep);
	compactor_free(c->compactor);
	store_watch_free(c->watch);
	cacher_fresh_deinit(c);
	MAP_FOREACH (&c->resources, slot)
		resource_free(slot->value);
	map_deinit(&c->resources);
	resource_free(c->other);
	pthread_mutex_destroy(&c->lock);
	buf_deinit(&c->list_at);
	free(c->prefix);
	free(c);
}

bool cacher_ready(const struct cacher *c)
{
	return atomic_load(&((struct cacher *)c)->ready);
}

int64_t cacher_revision(const struct cacher *c)
{
	return atomic_load(&((struct cacher *)c)->revision);
}

struct loop *cacher_loop(const struct cacher *c)
{
	return c->loop;
}

struct store_client *cacher_store(struct cacher *c)
{
	return c->store;
}

/* --- snapshots ------------------------------------------------------------------------------- */

/* Under r->lock. In the middle of a batch the tree may be ahead of the shared revision. */
static struct cacher_snapshot snapshot_now(struct cacher_resource *r)
{
	return (struct cacher_snapshot){
	    .tree = cache_tree_snapshot(&r->tree),
	    .revision = MAX(atomic_load(&r->c->revision), r->changed_revision),
	};
}

struct cacher_snapshot cacher_snapshot(struct cacher_resource *r)
{
	struct cacher_snapshot s;

	pthread_mutex_lock(&r->lock);
	s = snapshot_now(r);
	pthread_mutex_unlock(&r->lock);
	return s;
}

void cacher_snapshot_deinit(struct cacher_snapshot *s)
{
	cache_tree_deinit(&s->tree);
	s->revision = 0;
}

void cacher_add(struct cacher_resource *r, struct cache_tree *t, struct slice key,
                const struct store_kv *kv)
{
	struct blob *blob = blob_dup(kv->value);
	_cleanup_arena_ struct arena a;
	struct cache_object *o;

	arena_init(&a);
	o = object_make(r, key, blob, kv->mod_revision, kv->create_revision, &a);
	blob_unref(blob);
	cache_object_unref(cache_tree_put(t, o));
	cache_object_unref(o);
}

static struct kept_snapshot *kept_find(struct cacher_resource *r, int64_t revision)
{
	for (size_t i = 0; i < KEPT_MAX; i++)
		if (r->kept[i].s.revision == revision)
			return &r->kept[i];
	return NULL;
}

bool cacher_snapshot_at(struct cacher_resource *r, int64_t revision, struct cacher_snapshot *ret)
{
	struct kept_snapshot *k;
	bool found = true;

	pthread_mutex_lock(&r->lock);
	k = kept_find(r, revision);
	if (k) {
		k->used_ms = clock_mono_ms();
		ret->tree = cache_tree_snapshot(&k->s.tree);
		ret->revision = revision;
	} else if (revision >= r->changed_revision &&
	           revision <= MAX(atomic_load(&r->c->revision), r->changed_revision)) {
		*ret = snapshot_now(r);
		ret->revision = revision;
	} else {
		found = false;
	}
	pthread_mutex_unlock(&r->lock);
	return found;
}

void cacher_keep(struct cacher_resource *r, const struct cacher_snapshot *s)
{
	struct kept_snapshot *k, *oldest = &r->kept[0];

	pthread_mutex_lock(&r->lock);
	k = kept_find(r, s->revision);
	if (!k) {
		for (size_t i = 1; i < KEPT_MAX; i++)
			if (r->kept[i].used_ms < oldest->used_ms)
				oldest = &r->kept[i];
		k = oldest;
		cacher_snapshot_deinit(&k->s);
		k->s.tree = cache_tree_snapshot(&s->tree);
		k->s.revision = s->revision;
	}
	k->used_ms = clock_mono_ms();
	pthread_mutex_unlock(&r->lock);
}
