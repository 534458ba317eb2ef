/* SPDX-License-Identifier: Apache-2.0 */
/* RequestVote (paper, figure 2) and its preliminary form (thesis, section 9.6). */
#include "raftstore/raft/core.h"

void recv_vote(struct raft *r, const struct raft_message *m)
{
	/* Paper, section 5.2: one vote a term, first come, first served. */
	bool free_vote = (r->hard.vote == 0 && r->leader == 0) || r->hard.vote == m->from ||
	                 (m->vote.pre && m->term > r->hard.term);
	/* Paper, section 5.4.1: only for a log at least as up to date as the own. */
	struct raft_mark mine = tail_last_mark(&r->tail), theirs = m->vote.last;
	bool up_to_date =
	    theirs.term > mine.term || (theirs.term == mine.term && theirs.index >= mine.index);
	bool granted = free_vote && up_to_date;
	struct raft_message out = {
	    .type = RAFT_MSG_VOTE_RESULT,
	    .to = m->from,
	    .term = granted && m->vote.pre ? m->term : r->hard.term,
	    .vote_result = {.pre = m->vote.pre, .granted = granted},
	};
	if (!granted || m->vote.pre) {
		core_send(r, out);
		return;
	}
	r->hard.vote = m->from;
	r->hard_dirty = true;
	election_reset_timer(r);
	core_send_persisted(r, out);
}

void recv_vote_result(struct raft *r, const struct raft_message *m)
{
	if (m->vote_result.pre) {
		bool of_this =
		    m->vote_result.granted ? m->term == r->hard.term + 1 : m->term == r->hard.term;
		if (r->role == RAFT_PRECANDIDATE && of_this)
			election_vote(r, m->from, m->vote_result.granted);
	} else if (r->role == RAFT_CANDIDATE) {
		election_vote(r, m->from, m->vote_result.granted);
	}
}
