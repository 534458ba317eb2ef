/* SPDX-License-Identifier: Apache-2.0 */
/* Leadership transfer (thesis, section 3.10): take no proposals, bring the target's log up to date,
 * tell it to campaign at once; give up after a minimum election timeout. */
#include "raftstore/raft/core.h"

int transfer_start(struct raft *r, uint64_t to)
{
	if (r->role != RAFT_LEADER)
		return -ERR_UNAVAILABLE;
	/* Who is about to leave is no good choice. */
	if (!raft_ids_has(&r->conf.voters, to))
		return -ERR_INVALID;
	if (to == r->transfer_to)
		return 0;
	if (to == r->opt.id) {
		r->transfer_to = 0;
		return 0;
	}
	r->transfer_to = to;
	r->transfer_end_ms = r->now_ms + r->opt.election_ms;
	struct peer *p = core_peer(r, to);
	replicate_to(r, p);
	transfer_advance(r, p);
	return 0;
}

void transfer_advance(struct raft *r, const struct peer *p)
{
	/* Said again at each answer, because the message may be lost: in its new term the target
	 * ignores what it hears of the old one. */
	if (r->role != RAFT_LEADER || r->transfer_to != p->id || p->match != tail_last(&r->tail))
		return;
	core_send(r, (struct raft_message){
	                 .type = RAFT_MSG_TIMEOUT_NOW, .to = p->id, .term = r->hard.term});
}

void transfer_tick(struct raft *r)
{
	if (r->transfer_to && r->now_ms >= r->transfer_end_ms)
		r->transfer_to = 0;
}

void recv_timeout_now(struct raft *r, const struct raft_message *m)
{
	if (r->role == RAFT_LEADER)
		return;
	become_follower(r, m->term, m->from);
	election_at_once(r);
}
