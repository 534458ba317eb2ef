/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/mvcc/compact_plan.h"
#include <string.h>

enum { HOUR_MS = 3600000, LOOK_MS = 300000, NOTES = 10 };

static void note(struct compact_plan *p, int64_t revision)
{
	*vec_push(&p->revisions) = revision;
	if (p->revisions.n <= p->revisions_max)
		return;
	p->revisions.n--;
	memmove(p->revisions.at, p->revisions.at + 1, p->revisions.n * sizeof(*p->revisions.at));
}

void compact_plan_init(struct compact_plan *p, bool by_revision, uint64_t retention,
                       uint64_t now_ms, int64_t revision)
{
	*p = (struct compact_plan){
	    .by_revision = by_revision,
	    .retention = retention,
	    .every_ms = LOOK_MS,
	    .last_ms = now_ms,
	};
	if (by_revision)
		return;
	p->every_ms = MAX(MIN(retention, (uint64_t)HOUR_MS) / NOTES, (uint64_t)1);
	p->pause_ms = retention;
	p->revisions_max = (size_t)(retention / p->every_ms) + 1;
	note(p, revision);
}

void compact_plan_deinit(struct compact_plan *p)
{
	vec_deinit(&p->revisions);
}

static int64_t tick_revision(struct compact_plan *p, int64_t revision)
{
	if (p->retention >= (uint64_t)revision)
		return 0;
	return revision - (int64_t)p->retention;
}

static int64_t tick_periodic(struct compact_plan *p, uint64_t now_ms)
{
	if (now_ms - p->last_ms < p->pause_ms)
		return 0;
	return p->revisions.at[0];
}

int64_t compact_plan_tick(struct compact_plan *p, uint64_t now_ms, int64_t revision, bool leads)
{
	int64_t to = p->by_revision ? tick_revision(p, revision) : tick_periodic(p, now_ms);
	if (!p->by_revision)
		note(p, revision);
	if (!leads || !to || to == p->last_revision)
		return 0;
	p->last_revision = to;
	p->last_ms = now_ms;
	if (!p->by_revision)
		p->pause_ms = MIN(p->retention, (uint64_t)HOUR_MS);
	return to;
}
