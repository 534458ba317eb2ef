/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Changes, encoded as mvccpb.Event once for all watchers. */
#include "common/base/vec.h"
#include "raftstore/mvcc/record.h"

struct event {
	int64_t revision;
	bool deleted;
	/* In events.bytes. An Event is `body` with or without `previous` behind it. */
	size_t key, key_len, body, body_len, previous_len;
};

struct events {
	struct buf bytes;
	VEC(struct event) list;
};

void events_deinit(struct events *e);
void events_clear(struct events *e);
/* previous may be NULL. */
void events_add(struct events *e, const struct record *now, const struct record *previous);
/* Appends WatchResponse.events. */
void out_event(struct buf *b, const struct events *e, const struct event *ev, bool previous);
static inline struct slice event_key(const struct events *e, const struct event *ev)
{
	return slice_of(e->bytes.data + ev->key, ev->key_len);
}
