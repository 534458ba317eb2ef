/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/raft/chunks.h"
#include "common/base/cleanup.h"

void chunks_send_init(struct chunks_send *s, const struct chunks_options *opt, uint64_t id,
                      uint64_t size, uint64_t now_ms)
{
	*s = (struct chunks_send){
	    .opt = *opt, .id = id, .size = size, .sent_ms = now_ms, .progress_ms = now_ms};
	struct chunks_options *o = &s->opt;
	o->chunk_bytes = o->chunk_bytes ? o->chunk_bytes : 64 << 10;
	o->window_bytes = o->window_bytes ? o->window_bytes : 4 << 20;
	o->resend_ms = o->resend_ms ? o->resend_ms : 1000;
	o->give_up_ms = o->give_up_ms ? o->give_up_ms : 60000;
}

static void go_back(struct chunks_send *s, uint64_t offset)
{
	s->acked = s->next = offset;
	s->started = false;
}

bool chunks_send_next(struct chunks_send *s, uint64_t now_ms, struct chunk *ret)
{
	if (s->done)
		return false;
	if (s->started && now_ms >= s->sent_ms + s->opt.resend_ms)
		go_back(s, s->acked);
	uint64_t len = MIN(s->opt.chunk_bytes, s->size - s->next);
	/* A chunk without bytes announces an empty snapshot, or asks how far the receiver is. */
	if (s->started && (len == 0 || s->next - s->acked + len > s->opt.window_bytes))
		return false;
	*ret = (struct chunk){.id = s->id, .size = s->size, .offset = s->next, .len = len};
	s->next += len;
	s->started = true;
	s->sent_ms = now_ms;
	return true;
}

void chunks_send_result(struct chunks_send *s, const struct chunk_result *result, uint64_t now_ms)
{
	if (s->done || result->id != s->id || result->offset > s->size)
		return;
	s->done = result->offset == s->size;
	if (result->offset > s->acked || s->done) {
		s->acked = result->offset;
		s->next = MAX(s->next, s->acked);
		s->again = false;
		s->sent_ms = s->progress_ms = now_ms;
	} else if (result->offset < s->acked) {
		/* The receiver has started anew. */
		go_back(s, result->offset);
	} else if (!s->again && s->next > s->acked) {
		/* Something is missing there. What is still under way says the same again. */
		go_back(s, s->acked);
		s->again = true;
	}
}

enum chunks_state chunks_send_state(const struct chunks_send *s, uint64_t now_ms)
{
	if (s->done)
		return CHUNKS_DONE;
	return now_ms >= s->progress_ms + s->opt.give_up_ms ? CHUNKS_GIVEN_UP : CHUNKS_RUNNING;
}

uint64_t chunks_send_deadline(const struct chunks_send *s)
{
	if (s->done)
		return UINT64_MAX;
	return MIN(s->sent_ms + s->opt.resend_ms, s->progress_ms + s->opt.give_up_ms);
}

enum chunk_use chunks_receive(struct chunks_receive *r, const struct chunk *c, uint64_t *ret_skip)
{
	*ret_skip = 0;
	if (c->id == 0 || c->offset > c->size || c->len > c->size - c->offset ||
	    (c->id == r->id && c->size != r->size))
		return CHUNK_BAD;
	if (c->id != r->id) {
		if (c->offset != 0)
			return CHUNK_IGNORE;
		*r = (struct chunks_receive){.id = c->id, .size = c->size};
		return CHUNK_BEGIN;
	}
	if (c->offset > r->have || c->offset + c->len <= r->have)
		return CHUNK_IGNORE;
	*ret_skip = r->have - c->offset;
	return CHUNK_WRITE;
}

void chunks_receive_written(struct chunks_receive *r, const struct chunk *c)
{
	if (c->id == r->id)
		r->have = MAX(r->have, c->offset + c->len);
}

struct chunk_result chunks_receive_result(const struct chunks_receive *r, const struct chunk *c)
{
	return (struct chunk_result){c->id, c->id == r->id ? r->have : 0};
}

bool chunks_receive_done(const struct chunks_receive *r)
{
	return r->id && r->have == r->size;
}
