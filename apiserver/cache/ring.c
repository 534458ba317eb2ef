/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/cache/ring.h"

#include <assert.h>

/* As long as the oldest event is younger than this, a full ring grows: watchers and informers come
 * back within it. */
enum { RING_FRESH_MS = 75 * 1000 };

struct cache_event *cache_event_new(enum cache_event_type type, int64_t revision,
                                    struct cache_object *object, struct cache_object *prev,
                                    unsigned feeds)
{
	struct cache_event *e = calloc(1, sizeof(*e));

	if (!e)
		abort();
	assert((type != CACHE_ADDED) == (prev != NULL));
	assert((type != CACHE_DELETED) == (object != NULL));
	e->refs = 1;
	e->type = type;
	e->revision = revision;
	e->object = cache_object_ref(object);
	e->prev = cache_object_ref(prev);
	e->feeds = feeds;
	return e;
}

struct cache_event *cache_event_ref(struct cache_event *e)
{
	atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	return e;
}

static void frames_free(struct cache_event *e)
{
	struct cache_frame *f = atomic_exchange_explicit(&e->frames, NULL, memory_order_acq_rel);

	while (f) {
		struct cache_frame *next = f->next;

		blob_unref(f->blob);
		free(f);
		f = next;
	}
}

void cache_event_unref(struct cache_event *e)
{
	if (!e || atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1)
		return;
	frames_free(e);
	cache_object_unref(e->object);
	cache_object_unref(e->prev);
	free(e);
}

struct blob *cache_event_frame(struct cache_event *e, uint32_t format)
{
	struct cache_frame *f = atomic_load_explicit(&e->frames, memory_order_acquire);

	while (f && f->format != format)
		f = f->next;
	return f ? f->blob : NULL;
}

void cache_event_frame_add(struct cache_event *e, uint32_t format, struct blob *blob)
{
	struct cache_frame *f = malloc(sizeof(*f));

	if (!f)
		abort();
	f->format = format;
	f->blob = blob_ref(blob);
	f->next = atomic_load_explicit(&e->frames, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&e->frames, &f->next, f, memory_order_release,
	                                              memory_order_relaxed))
		;
}

void cache_event_pass(struct cache_event *e)
{
	if (atomic_fetch_sub_explicit(&e->feeds, 1, memory_order_acq_rel) == 1)
		frames_free(e);
}

/* What keeping the event costs: the states that the tree no longer holds. */
static size_t event_bytes(const struct cache_event *e)
{
	return sizeof(*e) + (e->prev ? cache_object_bytes(e->prev) : 0);
}

static struct cache_event **ring_alloc(size_t cap)
{
	struct cache_event **at = calloc(cap, sizeof(*at));

	if (!at)
		abort();
	return at;
}

void cache_ring_init(struct cache_ring *r, const struct cache_ring_limits *limits,
                     int64_t floor_revision)
{
	*r = (struct cache_ring){
	    .cap = limits->events_min,
	    .floor_revision = floor_revision,
	    .limits = *limits,
	};
	assert((r->cap & (r->cap - 1)) == 0 && r->cap);
	assert((limits->events_max & (limits->events_max - 1)) == 0);
	r->at = ring_alloc(r->cap);
}

static void ring_forget(struct cache_ring *r)
{
	struct cache_event *e = cache_ring_get(r, r->first);

	r->first++;
	r->bytes -= event_bytes(e);
	r->floor_revision = e->revision;
	cache_event_unref(e);
}

void cache_ring_deinit(struct cache_ring *r)
{
	while (r->first < r->next)
		ring_forget(r);
	free(r->at);
	r->at = NULL;
	r->cap = 0;
}

void cache_ring_reset(struct cache_ring *r, int64_t floor_revision)
{
	while (r->first < r->next)
		ring_forget(r);
	r->first = ++r->next; /* so that readers who had seen everything are behind too */
	r->floor_revision = floor_revision;
}

static void ring_grow(struct cache_ring *r)
{
	struct cache_event **at = ring_alloc(r->cap * 2);

	for (uint64_t s = r->first; s < r->next; s++)
		at[s & (r->cap * 2 - 1)] = r->at[s & (r->cap - 1)];
	free(r->at);
	r->at = at;
	r->cap *= 2;
}

uint64_t cache_ring_append(struct cache_ring *r, struct cache_event *e, int64_t now_ms)
{
	size_t bytes = event_bytes(e);

	e->come_ms = now_ms;
	while (r->next > r->first && r->bytes + bytes > r->limits.bytes_max)
		ring_forget(r);
	if (r->next - r->first == r->cap) {
		bool fresh = now_ms - cache_ring_get(r, r->first)->come_ms < RING_FRESH_MS;

		if (fresh && r->cap < r->limits.events_max)
			ring_grow(r);
		else
			ring_forget(r);
	}
	assert(r->next == r->first || cache_ring_get(r, r->next - 1)->revision <= e->revision);
	r->at[r->next & (r->cap - 1)] = cache_event_ref(e);
	r->bytes += bytes;
	return r->next++;
}

bool cache_ring_seek(const struct cache_ring *r, int64_t revision, uint64_t *ret_seq)
{
	uint64_t lo = r->first, hi = r->next;

	if (revision < r->floor_revision)
		return false;
	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (cache_ring_get(r, mid)->revision > revision)
			hi = mid;
		else
			lo = mid + 1;
	}
	*ret_seq = lo;
	return true;
}
