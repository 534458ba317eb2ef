/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include "raftstore/raft/tail.h"

void tail_init(struct raft_tail *t, struct raft_mark mark)
{
	*t = (struct raft_tail){.mark = mark, .next_seq = 1, .persisted = mark.index};
}

void tail_deinit(struct raft_tail *t)
{
	raft_entries_deinit(&t->entries);
	vec_deinit(&t->sent);
}

uint64_t tail_last(const struct raft_tail *t)
{
	return t->mark.index + t->entries.n;
}

const struct raft_entry *tail_at(const struct raft_tail *t, uint64_t index)
{
	if (index <= t->mark.index || index > tail_last(t))
		return NULL;
	return &t->entries.at[index - t->mark.index - 1];
}

uint64_t tail_term(const struct raft_tail *t, uint64_t index)
{
	if (index == t->mark.index)
		return t->mark.term;
	const struct raft_entry *e = tail_at(t, index);
	return e ? e->term : 0;
}

struct raft_mark tail_last_mark(const struct raft_tail *t)
{
	uint64_t last = tail_last(t);
	return (struct raft_mark){last, tail_term(t, last)};
}

uint64_t tail_agree(const struct raft_tail *t, uint64_t index, uint64_t term)
{
	index = MIN(index, tail_last(t));
	while (index > t->mark.index && tail_term(t, index) > term)
		index--;
	return index;
}

void tail_append(struct raft_tail *t, const struct raft_entry *e)
{
	assert(e->index == tail_last(t) + 1);
	raft_entries_add(&t->entries, e);
}

void tail_truncate(struct raft_tail *t, uint64_t index)
{
	assert(index > t->mark.index);
	while (tail_last(t) >= index)
		blob_unref(vec_pop(&t->entries).data);
	VEC_FOREACH (&t->sent, s)
		s->last = MIN(s->last, index - 1);
	t->persisted = MIN(t->persisted, index - 1);
}

uint64_t tail_sent(struct raft_tail *t)
{
	uint64_t seq = t->next_seq++;
	*vec_push(&t->sent) = (struct raft_batch_sent){seq, tail_last(t)};
	return seq;
}

void tail_persisted(struct raft_tail *t, uint64_t seq)
{
	assert(seq < t->next_seq);
	size_t n = 0;
	for (; n < t->sent.n && t->sent.at[n].seq <= seq; n++)
		t->persisted = MAX(t->persisted, t->sent.at[n].last);
	if (n) {
		memmove(t->sent.at, t->sent.at + n, (t->sent.n - n) * sizeof(*t->sent.at));
		t->sent.n -= n;
	}
	t->persisted_seq = MAX(t->persisted_seq, seq);
}

void tail_compact(struct raft_tail *t, uint64_t index)
{
	size_t n = index - t->mark.index;
	assert(index >= t->mark.index && n <= t->entries.n);
	t->mark = (struct raft_mark){index, tail_term(t, index)};
	for (size_t i = 0; i < n; i++)
		blob_unref(t->entries.at[i].data);
	if (n)
		memmove(t->entries.at, t->entries.at + n,
		        (t->entries.n - n) * sizeof(*t->entries.at));
	t->entries.n -= n;
}

void tail_reset(struct raft_tail *t, struct raft_mark mark)
{
	raft_entries_clear(&t->entries);
	t->mark = mark;
	t->persisted = mark.index;
	VEC_FOREACH (&t->sent, s)
		s->last = mark.index;
}
