/* SPDX-License-Identifier: Apache-2.0 */
/* AppendEntries (paper, figure 2 and section 5.3). */
#include "raftstore/raft/core.h"

/* Tells the leader what matches its log and is durable, once the term is, too: who forgot the term
 * might let a leader of before replace what is acknowledged (paper, figure 2). */
void append_acknowledge(struct raft *r)
{
	if (!r->leader || r->leader == r->opt.id || r->matched == 0 || !core_hard_durable(r))
		return;
	core_send(r, (struct raft_message){
	                 .type = RAFT_MSG_APPEND_RESULT,
	                 .to = r->leader,
	                 .term = r->hard.term,
	                 .append_result = {.index = MIN(r->matched, r->tail.persisted)},
	             });
}

static void reject(struct raft *r, const struct raft_message *m)
{
	/* Paper, section 5.3: a hint spares the leader the probing of every single entry: behind
	 * the hint no entry can agree, because terms never fall along a log. */
	uint64_t index = tail_agree(&r->tail, m->append.prev.index, m->append.prev.term);
	core_send(r, (struct raft_message){
	                 .type = RAFT_MSG_APPEND_RESULT,
	                 .to = m->from,
	                 .term = r->hard.term,
	                 .append_result =
	                     {
	                         .rejected = true,
	                         .index = m->append.prev.index,
	                         .hint = {index, tail_term(&r->tail, index)},
	                     },
	             });
}

/* The entries follow prev one by one and no term falls or is newer than the leader's. */
static bool consistent(const struct raft_message *m)
{
	struct raft_mark at = m->append.prev;
	VEC_FOREACH (&m->append.entries, e) {
		if (e->index != at.index + 1 || e->term < at.term || e->term > m->term)
			return false;
		struct raft_conf conf;
		if (e->type == RAFT_ENTRY_CONF &&
		    !raft_conf_entry_decode(blob_view(e->data), &conf, NULL))
			return false;
		at = (struct raft_mark){e->index, e->term};
	}
	return true;
}

static bool store_entries(struct raft *r, const struct raft_entries *entries)
{
	VEC_FOREACH (entries, e) {
		if (e->index <= tail_last(&r->tail)) {
			if (tail_term(&r->tail, e->index) == e->term)
				continue;
			/* A leader never contradicts what is committed: not a message of Raft. */
			if (e->index <= r->commit)
				return false;
			/* Step 3 of figure 2: a conflicting entry goes, with all that follow it. */
			core_truncate(r, e->index);
		}
		core_append(r, e);
	}
	return true;
}

void recv_append(struct raft *r, const struct raft_message *m)
{
	struct raft_mark prev = m->append.prev;
	if (r->role == RAFT_LEADER || !consistent(m))
		return;
	become_follower(r, m->term, m->from);
	if (r->installing)
		return;
	if (prev.index < r->commit) {
		r->matched = MAX(r->matched, r->commit);
		append_acknowledge(r);
		return;
	}
	/* Step 2 of figure 2: the consistency check. */
	if (prev.index > tail_last(&r->tail) || tail_term(&r->tail, prev.index) != prev.term) {
		reject(r, m);
		return;
	}
	if (!store_entries(r, &m->append.entries))
		return;
	uint64_t end = prev.index + m->append.entries.n;
	r->matched = MAX(r->matched, end);
	core_commit(r, MIN(m->append.commit, end));
	/* What is not durable yet is acknowledged when it is. */
	if (r->tail.persisted >= end)
		append_acknowledge(r);
}

void recv_append_result(struct raft *r, const struct raft_message *m)
{
	struct peer *p = core_peer(r, m->from);
	if (r->role != RAFT_LEADER)
		return;
	p->heard_ms = r->now_ms;
	if (m->append_result.rejected)
		replicate_reject(r, p, m->append_result.index, m->append_result.hint);
	else
		replicate_ack(r, p, m->append_result.index);
}
