/* SPDX-License-Identifier: Apache-2.0 */
/* Elections (paper, section 5.2) with pre-vote (thesis, section 9.6). */
#include "raftstore/raft/core.h"

void election_reset_timer(struct raft *r)
{
	/* Paper, section 5.2: randomized timeouts make split votes rare. */
	r->election_at_ms =
	    r->now_ms + r->opt.election_ms + rng_below(&r->opt.rng, r->opt.election_ms);
}

bool election_in_lease(const struct raft *r)
{
	/* Thesis, section 4.2.3: who hears a leader within the minimum timeout deposes nobody. A
	 * leader that has lost its quorum steps down by itself. */
	if (r->role == RAFT_LEADER)
		return true;
	return r->leader && r->now_ms - r->leader_heard_ms < r->opt.election_ms;
}

static enum raft_vote vote_of(const void *arg, uint64_t id)
{
	struct peer *p = core_peer((struct raft *)arg, id);
	return p ? p->vote : RAFT_VOTE_NONE;
}

bool election_may_campaign(const struct raft *r)
{
	/* Thesis, section 4.2.2: who is not in its last configuration is needed all the same until
	 * that is committed, because the others may lack the entry; it does not count its own vote.
	 */
	for (size_t i = r->confs.n; i-- > 0;) {
		if (raft_conf_is_voter(&r->confs.at[i].conf, r->opt.id))
			return !r->installing;
		if (r->confs.at[i].index <= r->commit)
			break;
	}
	return false;
}

static void vote_for_self(struct raft *r)
{
	struct peer *self = core_peer(r, r->opt.id);
	if (self)
		self->vote = RAFT_VOTE_YES;
}

static void ask_for_votes(struct raft *r, bool pre, bool transfer)
{
	for (unsigned i = 0; i < r->n_peers; i++) {
		struct peer *p = &r->peers[i];
		if (p->id == r->opt.id || !raft_conf_is_voter(&r->conf, p->id))
			continue;
		struct raft_message m = {
		    .type = RAFT_MSG_VOTE,
		    .to = p->id,
		    .term = r->hard.term + pre,
		    .vote = {.pre = pre, .transfer = transfer, .last = tail_last_mark(&r->tail)},
		};
		/* The vote for itself is durable before another member can add to it. */
		if (pre)
			core_send(r, m);
		else
			core_send_persisted(r, m);
	}
}

static void set_candidate(struct raft *r, enum raft_role role)
{
	if (r->leader)
		read_fail_all(r);
	r->role = role;
	r->leader = 0;
	for (unsigned i = 0; i < r->n_peers; i++)
		r->peers[i].vote = RAFT_VOTE_NONE;
	election_reset_timer(r);
}

static void campaign(struct raft *r, bool transfer)
{
	r->hard.term++;
	r->hard.vote = r->opt.id;
	r->hard_dirty = true;
	r->matched = 0;
	set_candidate(r, RAFT_CANDIDATE);
	r->campaign_seq = r->tail.next_seq;
	ask_for_votes(r, false, transfer);
}

static void become_leader(struct raft *r)
{
	r->role = RAFT_LEADER;
	r->leader = r->opt.id;
	r->term_start = tail_last(&r->tail) + 1;
	r->uncommitted_bytes = 0;
	for (uint64_t i = r->commit + 1; i < r->term_start; i++) {
		const struct raft_entry *e = tail_at(&r->tail, i);
		r->uncommitted_bytes += e->data ? e->data->len : 0;
	}
	/* Thesis, section 6.4: an entry of its own term lets the leader learn what is committed. */
	core_append(r, &(struct raft_entry){
	                   .index = r->term_start, .term = r->hard.term, .type = RAFT_ENTRY_NOOP});
	r->heartbeat_at_ms = r->now_ms + r->opt.heartbeat_ms;
	replicate_start(r);
}

static void decide(struct raft *r)
{
	enum raft_outcome outcome = raft_quorum_votes(&r->conf, vote_of, r);
	if (outcome == RAFT_LOST) {
		/* The timer that the campaign has set starts the next one. */
		r->role = RAFT_FOLLOWER;
	} else if (outcome == RAFT_WON) {
		if (r->role == RAFT_PRECANDIDATE)
			campaign(r, false);
		else
			become_leader(r);
	}
}

void election_tick(struct raft *r)
{
	if (r->now_ms < r->election_at_ms)
		return;
	if (!election_may_campaign(r)) {
		election_reset_timer(r);
		return;
	}
	set_candidate(r, RAFT_PRECANDIDATE);
	vote_for_self(r);
	ask_for_votes(r, true, false);
	decide(r);
}

void election_at_once(struct raft *r)
{
	/* Thesis, section 3.10: as if the timer had run out; who is told by the leader need not ask
	 * first. */
	if (election_may_campaign(r))
		campaign(r, true);
}

void election_leader_unreachable(struct raft *r)
{
	/* A broken stream says earlier than the timer what the timer would say; pre-vote keeps one
	 * that is alone with this opinion from disturbing. All followers may notice at the same
	 * moment, therefore the draw. */
	read_fail_all(r);
	r->leader = 0;
	r->election_at_ms =
	    MIN(r->election_at_ms, r->now_ms + rng_below(&r->opt.rng, r->opt.heartbeat_ms));
}

void election_persisted(struct raft *r)
{
	if (r->role != RAFT_CANDIDATE || r->tail.persisted_seq < r->campaign_seq)
		return;
	vote_for_self(r);
	decide(r);
}

void election_vote(struct raft *r, uint64_t from, bool granted)
{
	struct peer *p = core_peer(r, from);
	if (p->vote == RAFT_VOTE_NONE)
		p->vote = granted ? RAFT_VOTE_YES : RAFT_VOTE_NO;
	/* A refusal may pass soon: the other one had not noticed yet that the leader is gone, or
	 * has voted for another candidate, and where a member is missing nobody may ever win a
	 * split vote. Another try comes soon, which is drawn anew; one that wins meanwhile stops
	 * it. */
	if (!granted)
		r->election_at_ms =
		    MIN(r->election_at_ms, r->now_ms + r->opt.heartbeat_ms +
		                               rng_below(&r->opt.rng, 2 * r->opt.heartbeat_ms));
	decide(r);
}

void become_follower(struct raft *r, uint64_t term, uint64_t leader)
{
	if (r->leader && (r->leader != leader || term != r->hard.term))
		read_fail_all(r);
	if (r->role == RAFT_LEADER)
		election_reset_timer(r);
	if (term > r->hard.term) {
		r->hard = (struct raft_hard_state){.term = term};
		r->hard_dirty = true;
		r->matched = 0;
	}
	r->role = RAFT_FOLLOWER;
	r->leader = leader;
	r->transfer_to = 0;
	r->uncommitted_bytes = 0;
	if (leader) {
		r->leader_heard_ms = r->now_ms;
		election_reset_timer(r);
	}
}
