/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A queue of keys (client-go util/workqueue).
 *
 * Guarantees:
 *   - Fair: keys are handed out in the order in which they were added.
 *   - Stingy: a key that is added many times before it is handed out is handed out once.
 *   - One hand: a key is never in two hands. One that is added while it is in a hand is queued
 * again when that hand is done.
 *   - Nothing is lost: after an add, or the time of a delayed add, a key will be handed out; of
 *     several delays the earliest counts.
 *   - Failures are retried after 5 ms, 10 ms, ... up to 1000 s; a success begins anew.
 *
 * The core takes the time by parameter and is pure (workqueue_core_*); struct workqueue runs one on
 * a loop: it calls `process` for up to `workers` keys at a time. A process function ends its key
 * with exactly one workqueue_done or workqueue_retry, at once or later. */
#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/net/loop.h"

struct workqueue_item; /* one key */

struct workqueue_core {
	struct map items;                   /* key -> item */
	VEC(struct workqueue_item *) ready; /* a ring: first in, first out */
	size_t head;
	VEC(struct workqueue_item *) waiting; /* a heap by due time */
	uint64_t base_ms, max_ms;
	uint64_t sequence;
	/* What metrics tell: set now_ms before a call that changes something. */
	uint64_t now_ms;
	uint64_t adds, retries;        /* of all time */
	uint64_t waited_ms, worked_ms; /* of the key that was taken, was done last */
};

void workqueue_core_init(struct workqueue_core *q);
void workqueue_core_deinit(struct workqueue_core *q);
void workqueue_core_add(struct workqueue_core *q, const char *key);
void workqueue_core_add_after(struct workqueue_core *q, const char *key, uint64_t now_ms,
                              uint64_t delay_ms);
/* Waits for the key's back-off, which doubles. */
void workqueue_core_add_rate_limited(struct workqueue_core *q, const char *key, uint64_t now_ms);
/* The key's back-off starts again. */
void workqueue_core_forget(struct workqueue_core *q, const char *key);
unsigned workqueue_core_requeues(const struct workqueue_core *q, const char *key);
/* Moves what is due to the ready ones; the next due time, or UINT64_MAX. */
uint64_t workqueue_core_tick(struct workqueue_core *q, uint64_t now_ms);
/* Hands the next key out, or NULL; it lives until its done. */
const char *workqueue_core_take(struct workqueue_core *q);
void workqueue_core_done(struct workqueue_core *q, const char *key);
size_t workqueue_core_length(const struct workqueue_core *q); /* ready ones */

struct workqueue;
struct metrics;

typedef void (*workqueue_fn)(struct workqueue *q, const char *key, void *arg);

struct workqueue *workqueue_new(struct loop *loop, unsigned workers, workqueue_fn process,
                                void *arg);
/* Counts in upstream's families workqueue_*, under this name; both must outlive the queue. */
void workqueue_measure(struct workqueue *q, struct metrics *m, const char *name);
/* Only when no key is being processed any more. */
void workqueue_free(struct workqueue *q);
/* Starts handing out; before that keys only gather (until informers are synced). */
void workqueue_start(struct workqueue *q);
void workqueue_add(struct workqueue *q, const char *key);
void workqueue_add_after(struct workqueue *q, const char *key, uint64_t delay_ms);
void workqueue_add_rate_limited(struct workqueue *q, const char *key);
/* Ends a key: it went well, its back-off starts again. */
void workqueue_done(struct workqueue *q, const char *key);
/* Ends a key that failed: it comes again after its back-off. */
void workqueue_retry(struct workqueue *q, const char *key);
size_t workqueue_length(const struct workqueue *q);
unsigned workqueue_requeues(const struct workqueue *q, const char *key);
