/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/peer/internal.h"

static void frame_close(struct outbox *o)
{
	wire_end(&o->frame);
	*vec_push(&o->ready) = blob_dup(buf_view(&o->frame));
	o->ready_bytes += o->frame.len;
	buf_clear(&o->frame);
}

struct buf *outbox_frame(struct outbox *o, size_t bytes)
{
	if (o->frame.len > WIRE_HEAD_BYTES && o->frame.len + bytes > FRAME_BYTES)
		frame_close(o);
	if (!o->frame.len)
		wire_begin(&o->frame);
	return &o->frame;
}

size_t outbox_bytes(const struct outbox *o)
{
	return o->ready_bytes + o->frame.len;
}

struct blob *outbox_take(struct outbox *o)
{
	if (!o->ready.n && o->frame.len)
		frame_close(o);
	if (!o->ready.n)
		return NULL;
	struct blob *b = o->ready.at[0];
	vec_remove(&o->ready, 0);
	o->ready_bytes -= b->len;
	return b;
}

void outbox_clear(struct outbox *o)
{
	VEC_FOREACH (&o->ready, b)
		blob_unref(*b);
	vec_clear(&o->ready);
	o->ready_bytes = 0;
	buf_clear(&o->frame);
}

void outbox_deinit(struct outbox *o)
{
	outbox_clear(o);
	vec_deinit(&o->ready);
	buf_deinit(&o->frame);
}
