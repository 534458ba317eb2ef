/* SPDX-License-Identifier: Apache-2.0 */
/* The leader's side of replication (paper, section 5.3): a peer is probed until the logs are known
 * to agree, then appends are pipelined up to a limit of unanswered ones. */
#include "raftstore/raft/core.h"

static void inflight_clear(struct peer *p)
{
	p->inflight_at = p->inflight_n = 0;
}

static void set_state(struct peer *p, enum peer_state state, uint64_t next)
{
	p->state = state;
	p->next = next;
	p->probe_sent = false;
	inflight_clear(p);
}

/* Entries from next on, none when `empty`; returns the index behind the last one sent. */
static uint64_t send_append(struct raft *r, struct peer *p, bool empty)
{
	struct raft_message m = {
	    .type = RAFT_MSG_APPEND,
	    .to = p->id,
	    .term = r->hard.term,
	    .append = {.prev = {p->next - 1, tail_term(&r->tail, p->next - 1)},
	               .commit = r->commit},
	};
	uint64_t at = p->next;
	size_t bytes = 0;
	for (; !empty && at <= tail_last(&r->tail); at++) {
		const struct raft_entry *e = tail_at(&r->tail, at);
		bytes += e->data ? e->data->len : 0;
		if (m.append.entries.n && bytes > r->opt.append_limit_bytes)
			break;
		raft_entries_add(&m.append.entries, e);
	}
	p->commit_sent = r->commit;
	core_send(r, m);
	return at;
}

static void send_snapshot(struct raft *r, struct peer *p)
{
	/* Paper, section 7: the entries that the peer needs are compacted. */
	struct raft_mark mark = {r->applied, tail_term(&r->tail, r->applied)};
	set_state(p, PEER_SNAPSHOT, mark.index + 1);
	p->snapshot_index = mark.index;
	core_send(r, (struct raft_message){
	                 .type = RAFT_MSG_SNAPSHOT,
	                 .to = p->id,
	                 .term = r->hard.term,
	                 .snapshot = {.mark = mark, .conf = raft_conf_at(r, mark.index)},
	             });
}

static void pipeline(struct raft *r, struct peer *p)
{
	while (p->inflight_n < r->opt.inflight_limit && p->next <= tail_last(&r->tail)) {
		p->next = send_append(r, p, false);
		uint32_t at = (p->inflight_at + p->inflight_n++) % r->opt.inflight_limit;
		p->inflight[at] = p->next - 1;
	}
}

void replicate_to(struct raft *r, struct peer *p)
{
	if (p->id == r->opt.id || p->state == PEER_SNAPSHOT)
		return;
	if (p->next - 1 < r->tail.mark.index) {
		send_snapshot(r, p);
	} else if (p->state == PEER_REPLICATE) {
		pipeline(r, p);
	} else if (!p->probe_sent) {
		send_append(r, p, false);
		p->probe_sent = true;
	}
}

void replicate_all(struct raft *r)
{
	for (unsigned i = 0; i < r->n_peers; i++)
		replicate_to(r, &r->peers[i]);
}

void replicate_start(struct raft *r)
{
	for (unsigned i = 0; i < r->n_peers; i++) {
		struct peer *p = &r->peers[i];
		set_state(p, PEER_PROBE, r->term_start);
		p->match = 0;
		p->commit_sent = 0;
		p->heard_ms = r->now_ms;
		p->round = 0;
	}
	replicate_all(r);
}

static uint64_t match_of(const void *arg, uint64_t id)
{
	const struct raft *r = arg;
	/* Thesis, section 10.2.1: the leader writes in parallel and counts itself when its own
	 * copy is durable. */
	return id == r->opt.id ? r->tail.persisted : core_peer((struct raft *)r, id)->match;
}

void replicate_commit(struct raft *r)
{
	uint64_t index = raft_quorum_value(&r->conf, match_of, r);
	/* Paper, section 5.4.2 and figure 8: only an entry of the own term is committed by
	 * counting; those before it are then committed with it. */
	if (index <= r->commit || tail_term(&r->tail, index) != r->hard.term)
		return;
	core_commit(r, index);
	read_advance(r);
	/* Followers learn of it at once, so that they can serve reads. */
	for (unsigned i = 0; i < r->n_peers; i++) {
		struct peer *p = &r->peers[i];
		if (p->id == r->opt.id || p->state != PEER_REPLICATE)
			continue;
		if (p->next > tail_last(&r->tail))
			send_append(r, p, true);
		else
			replicate_to(r, p);
	}
}

void replicate_ack(struct raft *r, struct peer *p, uint64_t index)
{
	if (index > tail_last(&r->tail))
		return;
	bool news = index > p->match;
	if (news)
		p->match = index;
	while (p->inflight_n && p->inflight[p->inflight_at] <= index) {
		p->inflight_at = (p->inflight_at + 1) % r->opt.inflight_limit;
		p->inflight_n--;
	}
	if (p->state == PEER_REPLICATE)
		p->next = MAX(p->next, p->match + 1);
	else if (p->state == PEER_PROBE && (news || index + 1 >= p->next))
		set_state(p, PEER_REPLICATE, p->match + 1);
	else if (p->state == PEER_SNAPSHOT && p->match >= p->snapshot_index)
		set_state(p, PEER_REPLICATE, p->match + 1);
	if (news)
		replicate_commit(r);
	replicate_to(r, p);
	/* Who answers after the commit learns of it without waiting for a heartbeat. */
	if (news && p->state == PEER_REPLICATE && p->commit_sent < r->commit)
		send_append(r, p, true);
	transfer_advance(r, p);
}

void replicate_reject(struct raft *r, struct peer *p, uint64_t index, struct raft_mark hint)
{
	if (p->state == PEER_REPLICATE) {
		if (index <= p->match)
			return;
		set_state(p, PEER_PROBE, p->match + 1);
	} else if (p->state == PEER_PROBE) {
		if (index != p->next - 1)
			return;
		uint64_t agree = tail_agree(&r->tail, hint.index, hint.term);
		p->next = MAX(p->match + 1, MIN(index, agree + 1));
		p->probe_sent = false;
	}
	replicate_to(r, p);
}

void replicate_alive(struct raft *r, struct peer *p)
{
	if (p->state == PEER_PROBE) {
		p->probe_sent = false;
		replicate_to(r, p);
	} else if (p->state == PEER_REPLICATE && p->match < tail_last(&r->tail)) {
		/* A lost append would leave a full or silent pipeline: this one is refused when
		 * something before it is missing. */
		if (p->next > tail_last(&r->tail) || p->inflight_n == r->opt.inflight_limit)
			send_append(r, p, true);
		else
			replicate_to(r, p);
	}
	transfer_advance(r, p);
}

void replicate_unreachable(struct raft *r, struct peer *p)
{
	/* The next answer to a heartbeat ends the wait. A snapshot's end is reported apart. */
	if (p->state == PEER_SNAPSHOT)
		return;
	set_state(p, PEER_PROBE, p->match + 1);
	p->probe_sent = true;
}

void replicate_snapshot_sent(struct raft *r, struct peer *p, bool ok)
{
	if (p->state != PEER_SNAPSHOT)
		return;
	/* The peer's next answer or heartbeat result tells how far it is. */
	set_state(p, PEER_PROBE, MAX(p->match + 1, ok ? p->snapshot_index + 1 : 0));
	p->probe_sent = true;
}
