/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include "raftstore/log/index.h"

void log_index_deinit(struct log_index *x)
{
	log_index_reset(x, x->base);
	vec_deinit(&x->slots);
}

struct raft_mark log_index_last(const struct log_index *x)
{
	if (x->slots.n == 0)
		return x->base;
	const struct log_slot *s = vec_last(&x->slots);
	return (struct raft_mark){s->index, s->term};
}

const struct log_slot *log_index_at(const struct log_index *x, uint64_t index)
{
	if (index <= x->base.index || index - x->base.index > x->slots.n)
		return NULL;
	return &x->slots.at[index - x->base.index - 1];
}

static void drop_data(struct log_index *x, struct log_slot *s)
{
	if (s->data)
		x->window_bytes -= s->data->len;
	s->data = blob_unref(s->data);
}

void log_index_truncate(struct log_index *x, struct raft_mark last)
{
	while (x->slots.n && vec_last(&x->slots)->index > last.index) {
		drop_data(x, vec_last(&x->slots));
		x->slots.n--;
	}
	x->window_from = MIN(x->window_from, x->slots.n);
	/* Segments before the first were deleted: the base itself is replaced. */
	if (x->base.index > last.index)
		x->base = last;
}

void log_index_put(struct log_index *x, const struct log_slot *slot)
{
	assert(slot->index == log_index_last(x).index + 1);
	*vec_push(&x->slots) = *slot;
	if (slot->data)
		x->window_bytes += slot->data->len;
	while (x->window_bytes > x->window_limit && x->window_from + 1 < x->slots.n)
		drop_data(x, &x->slots.at[x->window_from++]);
}

void log_index_compact(struct log_index *x, uint64_t index)
{
	const struct log_slot *at = log_index_at(x, index);
	if (!at)
		return;
	size_t n = index - x->base.index;
	x->base = (struct raft_mark){at->index, at->term};
	for (size_t i = 0; i < n; i++)
		drop_data(x, &x->slots.at[i]);
	memmove(x->slots.at, x->slots.at + n, (x->slots.n - n) * sizeof(*x->slots.at));
	x->slots.n -= n;
	x->window_from -= MIN(n, x->window_from);
}

void log_index_reset(struct log_index *x, struct raft_mark base)
{
	log_index_truncate(x, (struct raft_mark){0, 0});
	x->base = base;
}
