/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeats in numbered rounds: a quorum's answers to a round prove that this was still the leader
 * when the round began (thesis, section 6.4), and any answers keep it one (check-quorum). */
#include "raftstore/raft/core.h"

static uint64_t round_of(const void *arg, uint64_t id)
{
	const struct raft *r = arg;
	return id == r->opt.id ? UINT64_MAX : core_peer((struct raft *)r, id)->round;
}

static uint64_t heard_of(const void *arg, uint64_t id)
{
	const struct raft *r = arg;
	return id == r->opt.id ? UINT64_MAX : core_peer((struct raft *)r, id)->heard_ms;
}

uint64_t heartbeat_quorum_round(const struct raft *r)
{
	return raft_quorum_value(&r->conf, round_of, r);
}

uint64_t heartbeat_quorum_heard(const struct raft *r)
{
	return raft_quorum_value(&r->conf, heard_of, r);
}

void heartbeat_round(struct raft *r)
{
	r->round++;
	for (unsigned i = 0; i < r->n_peers; i++) {
		struct peer *p = &r->peers[i];
		if (p->id == r->opt.id)
			continue;
		core_send(r,
		          (struct raft_message){
		              .type = RAFT_MSG_HEARTBEAT,
		              .to = p->id,
		              .term = r->hard.term,
		              /* Beyond match the peer's log may be another one. */
		              .heartbeat = {.commit = MIN(p->match, r->commit), .round = r->round},
		          });
	}
}

void heartbeat_tick(struct raft *r)
{
	uint64_t heard = heartbeat_quorum_heard(r);
	if (heard != UINT64_MAX && r->now_ms >= heard + r->opt.election_ms) {
		/* Thesis, section 6.2: a leader without a quorum steps down, so that clients try
		 * elsewhere. */
		become_follower(r, r->hard.term, 0);
		return;
	}
	transfer_tick(r);
	if (!core_alone(r) && r->now_ms >= r->heartbeat_at_ms) {
		heartbeat_round(r);
		r->heartbeat_at_ms = r->now_ms + r->opt.heartbeat_ms;
	}
}

void recv_heartbeat(struct raft *r, const struct raft_message *m)
{
	if (r->role == RAFT_LEADER)
		return;
	become_follower(r, m->term, m->from);
	core_commit(r, MIN(m->heartbeat.commit, tail_last(&r->tail)));
	core_send(r, (struct raft_message){
	                 .type = RAFT_MSG_HEARTBEAT_RESULT,
	                 .to = m->from,
	                 .term = r->hard.term,
	                 .heartbeat_result = {.round = m->heartbeat.round},
	             });
}

void recv_heartbeat_result(struct raft *r, const struct raft_message *m)
{
	if (r->role != RAFT_LEADER || m->heartbeat_result.round > r->round)
		return;
	struct peer *p = core_peer(r, m->from);
	p->heard_ms = r->now_ms;
	p->round = MAX(p->round, m->heartbeat_result.round);
	replicate_alive(r, p);
	read_advance(r);
}
