/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Events of one resource in the order of the store's revisions, and the ring that keeps the recent
 * ones for watchers that start from a revision or lag behind.
 *
 * An event is immutable but for the encoded frames that hang on it: whoever encodes a format first
 * leaves the frame for the other watchers. Frames are used only between the append and the moment
 * when every feed (one a front loop) has passed the event; then they die, while the event lives on
 * in the ring. A watcher that lags behind its feed encodes for itself. Frames may be added from any
 * thread that has not yet passed.
 *
 * The ring is bounded in events and in bytes; it forgets its oldest events. Each event has a
 * sequence number; numbers never repeat, so that a reader's position is one number. */
#include "apiserver/cache/object.h"

enum cache_event_type { CACHE_ADDED, CACHE_MODIFIED, CACHE_DELETED };

struct cache_frame {
	struct cache_frame *next;
	uint32_t format; /* the caller's: what the bytes are, with the type that a watcher sees */
	struct blob *blob;
};

struct cache_event {
	atomic_uint refs;
	enum cache_event_type type;
	int64_t revision;            /* what every watcher sees as the resourceVersion */
	int64_t come_ms;             /* when it came into the ring */
	struct cache_object *object; /* after the change; NULL if DELETED */
	struct cache_object *prev;   /* before it; NULL if ADDED */
	atomic_uint feeds;           /* feeds that have not passed it */
	_Atomic(struct cache_frame *) frames;
};

/* One reference. Takes references of its own on both objects. */
struct cache_event *cache_event_new(enum cache_event_type type, int64_t revision,
                                    struct cache_object *object, struct cache_object *prev,
                                    unsigned feeds);
struct cache_event *cache_event_ref(struct cache_event *e);
void cache_event_unref(struct cache_event *e);
/* Borrowed until the caller's feed passes the event; NULL when nobody encoded it yet. */
struct blob *cache_event_frame(struct cache_event *e, uint32_t format);
/* Leaves a frame (takes a reference of its own). */
void cache_event_frame_add(struct cache_event *e, uint32_t format, struct blob *blob);
/* A feed passes the event; the last one frees its frames. */
void cache_event_pass(struct cache_event *e);

struct cache_ring_limits {
	size_t events_min, events_max; /* powers of two */
	size_t bytes_max;              /* weight of previous states that only the ring keeps */
};

struct cache_ring {
	struct cache_event **at;
	size_t cap;           /* a power of two */
	uint64_t first, next; /* sequence numbers: [first, next) is here */
	size_t bytes;
	int64_t floor_revision; /* events after this revision are all here */
	struct cache_ring_limits limits;
};

/* Watches may start at any revision >= floor_revision. */
void cache_ring_init(struct cache_ring *r, const struct cache_ring_limits *limits,
                     int64_t floor_revision);
void cache_ring_deinit(struct cache_ring *r);
/* Takes a reference of its own; revisions never decrease. When full, the ring doubles up to its
 * maximum as long as its oldest event is younger than 75 s, else it forgets the oldest. Returns the
 * sequence number of the event. */
uint64_t cache_ring_append(struct cache_ring *r, struct cache_event *e, int64_t now_ms);
/* Forgets everything (after a relist): every reader will find itself too old. */
void cache_ring_reset(struct cache_ring *r, int64_t floor_revision);
/* The first sequence number whose event has a revision > `revision`. False when the ring no longer
 * knows all of them. */
bool cache_ring_seek(const struct cache_ring *r, int64_t revision, uint64_t *ret_seq);
static inline struct cache_event *cache_ring_get(const struct cache_ring *r, uint64_t seq)
{
	return seq >= r->first && seq < r->next ? r->at[seq & (r->cap - 1)] : NULL;
}
