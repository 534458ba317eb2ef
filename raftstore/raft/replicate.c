/* SPDX-License-Identifier: Apache-2.0 */
/* The leader's side of replication (paper, section 5.3): a peer is probed until the logs are known
 * to agree, then appends are pipelined up to a limit of unanswered ones. */
#include "raftstore/raft/core.h"

static void inflight_clear(struct peer *p)
{
	p->inflight_at = p->inflight_n = 0;
	p->inflight_bytes = 0;
}

static bool inflight_full(const struct raft *r, const struct peer *p)
{
	return p->inflight_n == r->opt.inflight_limit ||
	       (p->inflight_n && p->inflight_bytes >= r->opt.inflight_limit_bytes);
}

static void inflight_add(struct raft *r, struct peer *p, uint64_t last, uint64_t bytes)
{
	uint32_t at = (p->inflight_at + p->inflight_n++) % r->opt.inflight_limit;
	p->inflight[at] = (struct inflight){last, bytes};
	p->inflight_bytes += bytes;
}

static void inflight_answered(struct raft *r, struct peer *p, uint64_t index)
{
	while (p->inflight_n && p->inflight[p->inflight_at].last <= index) {
		p->inflight_bytes -= p->inflight[p->inflight_at].bytes;
		p->inflight_at = (p->inflight_at + 1) % r->opt.inflight_limit;
		p->inflight_n--;
	}
}

static void set_state(struct peer *p, enum raft_progress_state state, uint64_t next)
{
	p->state = state;
	p->next = next;
	p->probe_sent = false;
	inflight_clear(p);
}

/* Entries from next on, none when `empty`; returns the index behind the last one sent. */
static uint64_t send_append(struct raft *r, struct peer *p, bool empty, uint64_t *ret_bytes)
{
	struct raft_message m = {
	    .type = RAFT_MSG_APPEND,
	    .to = p->id,
	    .term = r->hard.term,
	    .append = {.prev = {p->next - 1, tail_term(&r->tail, p->next - 1)},
	               .commit = r->commit},
	};
	uint64_t at = p->next;
	uint64_t bytes = 0;
	for (; !empty && at <= tail_last(&r->tail); at++) {
		const struct raft_entry *e = tail_at(&r->tail, at);
		size_t len = e->data ? e->data->len : 0;
		if (m.append.entries.n && bytes + len > r->opt.append_limit_bytes)
			break;
		bytes += len;
		raft_entries_add(&m.append.entries, e);
	}
	p->commit_sent = r->commit;
	core_send(r, m);
	if (ret_bytes)
		*ret_bytes = bytes;
	return at;
}

static void send_snapshot(struct raft *r, struct peer *p)
{
	/* Paper, section 7: the entries that the peer needs are compacted. */
	struct raft_mark mark = {r->applied, tail_term(&r->tail, r->applied)};
	set_state(p, RAFT_SNAPSHOT, mark.index + 1);
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
	while (!inflight_full(r, p) && p->next <= tail_last(&r->tail)) {
		uint64_t bytes;
		p->next = send_append(r, p, false, &bytes);
		inflight_add(r, p, p->next - 1, bytes);
	}
}

void replicate_to(struct raft *r, struct peer *p)
{
	if (p->id == r->opt.id || p->state == RAFT_SNAPSHOT)
		return;
	if (p->next - 1 < r->tail.mark.index) {
		send_snapshot(r, p);
	} else if (p->state == RAFT_REPLICATE) {
		pipeline(r, p);
	} else if (!p->probe_sent) {
		send_append(r, p, false, NULL);
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
		set_state(p, RAFT_PROBE, r->term_start);
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

/* The only voter decides alone, up to and with the entry that gives it company: every majority of
 * what follows has it in it. So the second voter may be started after it was added. */
static uint64_t commit_alone(const struct raft *r)
{
	if (r->confs.n < 2)
		return 0;
	const struct raft_conf *before = &r->confs.at[r->confs.n - 2].conf;
	bool only =
	    before->voters.n == 1 && before->voters.at[0] == r->opt.id && !before->outgoing.n;
	return only && raft_ids_has(&r->conf.voters, r->opt.id)
	           ? MIN(r->tail.persisted, vec_last(&r->confs)->index)
	           : 0;
}

void replicate_commit(struct raft *r)
{
	uint64_t majority = raft_quorum_value(&r->conf, match_of, r), alone = commit_alone(r);
	uint64_t index = MAX(majority, alone);
	/* Paper, section 5.4.2 and figure 8: only an entry of the own term is committed by
	 * counting; those before it are then committed with it. */
	if (index <= r->commit || tail_term(&r->tail, index) != r->hard.term)
		return;
	core_commit(r, index);
	read_advance(r);
	/* Followers learn of it at once, so that they can serve reads. */
	for (unsigned i = 0; i < r->n_peers; i++) {
		struct peer *p = &r->peers[i];
		if (p->id == r->opt.id || p->state != RAFT_REPLICATE)
			continue;
		if (p->next > tail_last(&r->tail))
			send_append(r, p, true, NULL);
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
	inflight_answered(r, p, index);
	if (p->state == RAFT_REPLICATE)
		p->next = MAX(p->next, p->match + 1);
	else if (p->state == RAFT_PROBE && (news || index + 1 >= p->next))
		set_state(p, RAFT_REPLICATE, p->match + 1);
	else if (p->state == RAFT_SNAPSHOT && p->match >= p->snapshot_index)
		set_state(p, RAFT_REPLICATE, p->match + 1);
	if (news)
		replicate_commit(r);
	replicate_to(r, p);
	/* Who answers after the commit learns of it without waiting for a heartbeat. */
	if (news && p->state == RAFT_REPLICATE && p->commit_sent < r->commit)
		send_append(r, p, true, NULL);
	transfer_advance(r, p);
}

void replicate_reject(struct raft *r, struct peer *p, uint64_t index, struct raft_mark hint)
{
	if (p->state == RAFT_REPLICATE) {
		if (index <= p->match)
			return;
		set_state(p, RAFT_PROBE, p->match + 1);
	} else if (p->state == RAFT_PROBE) {
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
	if (p->state == RAFT_PROBE) {
		p->probe_sent = false;
		replicate_to(r, p);
	} else if (p->state == RAFT_REPLICATE && p->match < tail_last(&r->tail)) {
		/* A lost append would leave a full or silent pipeline: this one is refused when
		 * something before it is missing. */
		if (p->next > tail_last(&r->tail) || inflight_full(r, p))
			send_append(r, p, true, NULL);
		else
			replicate_to(r, p);
	}
	transfer_advance(r, p);
}

void replicate_unreachable(struct raft *r, struct peer *p)
{
	/* The next answer to a heartbeat ends the wait. A snapshot's end is reported apart. */
	if (p->state == RAFT_SNAPSHOT)
		return;
	set_state(p, RAFT_PROBE, p->match + 1);
	p->probe_sent = true;
}

void replicate_snapshot_sent(struct raft *r, struct peer *p, bool ok)
{
	if (p->state != RAFT_SNAPSHOT)
		return;
	/* The peer's next answer or heartbeat result tells how far it is. */
	set_state(p, RAFT_PROBE, MAX(p->match + 1, ok ? p->snapshot_index + 1 : 0));
	p->probe_sent = true;
}

bool raft_progress(const struct raft *r, uint64_t id, struct raft_progress *ret)
{
	const struct peer *p = core_peer((struct raft *)r, id);
	if (r->role != RAFT_LEADER || !p || id == r->opt.id)
		return false;
	*ret = (struct raft_progress){
	    .state = p->state,
	    .match = p->match,
	    .next = p->next,
	    .inflight = p->inflight_n,
	    .inflight_bytes = p->inflight_bytes,
	    .heard_ms = p->heard_ms,
	};
	return true;
}
