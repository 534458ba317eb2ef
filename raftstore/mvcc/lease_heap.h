/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* When leases expire: a heap by deadline with a map by id. Times are the caller's milliseconds. */
#include "common/base/map.h"
#include "common/base/vec.h"

struct lease_timer {
	int64_t id;
	int64_t granted_s;
	uint64_t expires_ms;
	int64_t saved_s; /* remaining seconds that the last checkpoint wrote; 0: all of them */
	bool saving;     /* a checkpoint is on the way */
	bool revoking;   /* its revocation is on the way */
	bool renewed;    /* somebody keeps it alive */
	size_t place;
};

struct lease_heap {
	struct map by_id;
	VEC(struct lease_timer *) heap;
};

void lease_heap_init(struct lease_heap *h, uint64_t seed);
void lease_heap_deinit(struct lease_heap *h);
struct lease_timer *lease_heap_find(const struct lease_heap *h, int64_t id);
/* Adds, or replaces what is known of the lease. */
struct lease_timer *lease_heap_put(struct lease_heap *h, int64_t id, int64_t granted_s,
                                   uint64_t expires_ms);
void lease_heap_move(struct lease_heap *h, struct lease_timer *t, uint64_t expires_ms);
/* Unknown ids are no error. */
void lease_heap_remove(struct lease_heap *h, int64_t id);
/* The one that expires first; NULL: none. */
struct lease_timer *lease_heap_first(const struct lease_heap *h);
/* 0 when expired. */
uint64_t lease_timer_left_ms(const struct lease_timer *t, uint64_t now_ms);
