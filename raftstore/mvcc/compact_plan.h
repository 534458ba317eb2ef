/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* When to compact by itself, and up to where, as etcd's --auto-compaction-mode does:
 *
 *   periodic  keeps what was written within a period. The revision is noted ten times a period
 *             (of a period above an hour: ten times an hour); once a whole period has passed,
 *             what lies behind the oldest note goes, then again after each period, of a longer one
 *             each hour.
 *   revision  keeps so many revisions; looked at every five minutes.
 *
 * Times are the caller's milliseconds. */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/vec.h"

struct compact_plan {
	bool by_revision;
	uint64_t retention;     /* milliseconds, or revisions */
	uint64_t every_ms;      /* how often compact_plan_tick wants to be called */
	uint64_t pause_ms;      /* between two compactions */
	uint64_t last_ms;       /* when the last one was */
	int64_t last_revision;  /* 0: none */
	VEC(int64_t) revisions; /* periodic: the notes, oldest first */
	size_t revisions_max;
};

/* retention > 0; `revision`: the present one. */
void compact_plan_init(struct compact_plan *p, bool by_revision, uint64_t retention,
                       uint64_t now_ms, int64_t revision);
void compact_plan_deinit(struct compact_plan *p);
/* The revision up to which to compact, 0: nothing to do. leads: only the leader compacts, but the
 * others note revisions too. */
int64_t compact_plan_tick(struct compact_plan *p, uint64_t now_ms, int64_t revision, bool leads);
