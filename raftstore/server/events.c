/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/events.h"
#include "raftstore/server/pb_out.h"

void events_deinit(struct events *e)
{
	buf_deinit(&e->bytes);
	vec_deinit(&e->list);
}

void events_clear(struct events *e)
{
	buf_clear(&e->bytes);
	vec_clear(&e->list);
}

void events_add(struct events *e, const struct record *now, const struct record *previous)
{
	struct event ev = {.revision = now->rev.main, .deleted = now->deleted};
	ev.key = e->bytes.len;
	ev.key_len = now->key.len;
	buf_slice(&e->bytes, now->key);
	ev.body = e->bytes.len;
	out_number(&e->bytes, 1, now->deleted);
	out_key_value(&e->bytes, 2, now);
	ev.body_len = e->bytes.len - ev.body;
	if (previous)
		out_key_value(&e->bytes, 3, previous);
	ev.previous_len = e->bytes.len - ev.body - ev.body_len;
	*vec_push(&e->list) = ev;
}

void out_event(struct buf *b, const struct events *e, const struct event *ev, bool previous)
{
	size_t n = ev->body_len + (previous ? ev->previous_len : 0);
	out_bytes_always(b, 11, slice_of(e->bytes.data + ev->body, n));
}
