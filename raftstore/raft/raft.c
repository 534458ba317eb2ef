/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include "raftstore/raft/core.h"

enum {
	COMMITTED_LIMIT_BYTES = 8 << 20, /* entries handed out by one step */
};

struct peer *core_peer(struct raft *r, uint64_t id)
{
	for (unsigned i = 0; i < r->n_peers; i++)
		if (r->peers[i].id == id)
			return &r->peers[i];
	return NULL;
}

void core_send(struct raft *r, struct raft_message m)
{
	m.from = r->opt.id;
	*vec_push(&r->out->send_now) = m;
}

bool core_hard_durable(const struct raft *r)
{
	return !r->hard_dirty && r->tail.persisted_seq >= r->hard_seq;
}

void core_send_persisted(struct raft *r, struct raft_message m)
{
	m.from = r->opt.id;
	*vec_push(&r->out->send_persisted) = m;
}

void core_append(struct raft *r, const struct raft_entry *e)
{
	tail_append(&r->tail, e);
	if (r->persist_from == 0)
		r->persist_from = e->index;
	confs_append(r, e);
}

void core_truncate(struct raft *r, uint64_t index)
{
	assert(index > r->commit);
	tail_truncate(&r->tail, index);
	confs_truncate(r, index);
	if (r->persist_from > index)
		r->persist_from = index;
}

void core_commit(struct raft *r, uint64_t index)
{
	for (uint64_t i = r->commit + 1; i <= index; i++) {
		const struct raft_entry *e = tail_at(&r->tail, i);
		uint64_t bytes = e && e->data ? e->data->len : 0;
		r->uncommitted_bytes -= MIN(bytes, r->uncommitted_bytes);
	}
	r->commit = MAX(r->commit, index);
}

bool core_alone(const struct raft *r)
{
	return r->n_peers == 0 || (r->n_peers == 1 && r->peers[0].id == r->opt.id);
}

static void set_defaults(struct raft_options *o)
{
	o->election_ms = o->election_ms ? o->election_ms : 1000;
	o->heartbeat_ms = o->heartbeat_ms ? o->heartbeat_ms : 100;
	o->append_limit_bytes = o->append_limit_bytes ? o->append_limit_bytes : 1 << 20;
	o->inflight_limit = o->inflight_limit ? o->inflight_limit : 64;
	o->inflight_limit_bytes = o->inflight_limit_bytes ? o->inflight_limit_bytes : 16 << 20;
	o->uncommitted_limit_bytes =
	    o->uncommitted_limit_bytes ? o->uncommitted_limit_bytes : 64 << 20;
	o->read_limit = o->read_limit ? o->read_limit : 65536;
}

static int check_boot(const struct raft_options *opt, const struct raft_boot *b, struct err *err)
{
	uint64_t index = b->mark.index, term = b->mark.term;
	if (opt->id == 0)
		return err_set(err, ERR_INVALID, "member id is 0");
	for (size_t i = 0; b->entries && i < b->entries->n; i++) {
		const struct raft_entry *e = &b->entries->at[i];
		if (e->index != index + 1 || e->term < term)
			return err_set(err, ERR_CORRUPT,
			               "entry %llu of term %llu follows entry %llu of term %llu",
			               (unsigned long long)e->index, (unsigned long long)e->term,
			               (unsigned long long)index, (unsigned long long)term);
		struct raft_conf conf;
		if (e->type == RAFT_ENTRY_CONF &&
		    !raft_conf_entry_decode(blob_view(e->data), &conf, NULL))
			return err_set(err, ERR_CORRUPT, "entry %llu holds no configuration",
			               (unsigned long long)e->index);
		index = e->index;
		term = e->term;
	}
	if (term > b->hard_state.term)
		return err_set(err, ERR_CORRUPT, "the log's last term %llu is beyond the term %llu",
		               (unsigned long long)term, (unsigned long long)b->hard_state.term);
	if (b->applied < b->mark.index || b->applied > index)
		return err_set(err, ERR_CORRUPT,
		               "the applied index %llu is outside of the log (%llu to %llu)",
		               (unsigned long long)b->applied, (unsigned long long)b->mark.index,
		               (unsigned long long)index);
	return 0;
}

struct raft *raft_new(const struct raft_options *opt, const struct raft_boot *boot, struct err *err)
{
	if (check_boot(opt, boot, err) < 0)
		return NULL;
	struct raft *r = calloc(1, sizeof(*r));
	if (!r)
		abort();
	r->opt = *opt;
	set_defaults(&r->opt);
	r->now_ms = boot->now_ms;
	r->hard = boot->hard_state;
	tail_init(&r->tail, boot->mark);
	for (size_t i = 0; boot->entries && i < boot->entries->n; i++)
		tail_append(&r->tail, &boot->entries->at[i]);
	r->tail.persisted = tail_last(&r->tail);
	/* What the state machine has applied was committed. */
	r->commit = r->applied = r->handed = boot->applied;
	confs_push(r, boot->applied, &boot->conf);
	for (uint64_t i = boot->applied + 1; i <= tail_last(&r->tail); i++)
		confs_append(r, tail_at(&r->tail, i));
	election_reset_timer(r);
	if (r->conf.outgoing.n == 0 && r->conf.voters.n == 1 &&
	    raft_ids_has(&r->conf.voters, r->opt.id))
		r->election_at_ms = r->now_ms;
	return r;
}

void raft_free(struct raft *r)
{
	if (!r)
		return;
	for (unsigned i = 0; i < r->n_peers; i++)
		free(r->peers[i].inflight);
	tail_deinit(&r->tail);
	vec_deinit(&r->confs);
	vec_deinit(&r->reads);
	vec_deinit(&r->confirmed);
	free(r);
}

static void refuse_old_term(struct raft *r, const struct raft_message *m)
{
	/* Paper, section 5.1: a stale term is refused. The answer of the higher term also frees a
	 * leader that others, bound by its lease, would not vote against. */
	struct raft_message out = {.to = m->from, .term = r->hard.term};
	switch (m->type) {
	case RAFT_MSG_VOTE:
		out.type = RAFT_MSG_VOTE_RESULT;
		out.vote_result.pre = m->vote.pre;
		break;
	case RAFT_MSG_APPEND:
	case RAFT_MSG_HEARTBEAT:
	case RAFT_MSG_SNAPSHOT:
		out.type = RAFT_MSG_APPEND_RESULT;
		out.append_result.rejected = true;
		break;
	default:
		return;
	}
	core_send(r, out);
}

/* Paper, section 5.1: a higher term makes a follower, except where a pre-vote only asks (thesis,
 * section 9.6) or a living leader protects the term (thesis, section 4.2.3). False: drop it. */
static bool adopt_term(struct raft *r, const struct raft_message *m)
{
	if (m->type == RAFT_MSG_VOTE) {
		if (election_in_lease(r) && !m->vote.transfer)
			return false;
		if (m->vote.pre)
			return true;
	}
	if (m->type == RAFT_MSG_VOTE_RESULT && m->vote_result.pre && m->vote_result.granted)
		return true;
	bool from_leader = m->type == RAFT_MSG_APPEND || m->type == RAFT_MSG_HEARTBEAT ||
	                   m->type == RAFT_MSG_SNAPSHOT || m->type == RAFT_MSG_TIMEOUT_NOW;
	become_follower(r, m->term, from_leader ? m->from : 0);
	return true;
}

/* Thesis, section 4.1: leaders and candidates are heard also when the own configuration does not
 * know them. */
static bool from_anybody(enum raft_message_type type)
{
	switch (type) {
	case RAFT_MSG_VOTE:
	case RAFT_MSG_APPEND:
	case RAFT_MSG_HEARTBEAT:
	case RAFT_MSG_SNAPSHOT:
	case RAFT_MSG_TIMEOUT_NOW:
	case RAFT_MSG_READ_RESULT: /* of a leader */
		return true;
	default:
		return false;
	}
}

static void receive(struct raft *r, const struct raft_message *m)
{
	static void (*const by_type[])(struct raft *, const struct raft_message *) = {
	    [RAFT_MSG_VOTE] = recv_vote,
	    [RAFT_MSG_VOTE_RESULT] = recv_vote_result,
	    [RAFT_MSG_APPEND] = recv_append,
	    [RAFT_MSG_APPEND_RESULT] = recv_append_result,
	    [RAFT_MSG_HEARTBEAT] = recv_heartbeat,
	    [RAFT_MSG_HEARTBEAT_RESULT] = recv_heartbeat_result,
	    [RAFT_MSG_SNAPSHOT] = recv_snapshot,
	    [RAFT_MSG_READ] = recv_read,
	    [RAFT_MSG_READ_RESULT] = recv_read_result,
	    [RAFT_MSG_TIMEOUT_NOW] = recv_timeout_now,
	};
	if (m->to != r->opt.id || m->from == r->opt.id || m->from == 0)
		return;
	if (!core_peer(r, m->from) && !from_anybody(m->type))
		return;
	if ((size_t)m->type >= ARRAY_LEN(by_type) || !by_type[m->type])
		return;
	if (m->term < r->hard.term) {
		refuse_old_term(r, m);
		return;
	}
	if (m->term > r->hard.term && !adopt_term(r, m))
		return;
	by_type[m->type](r, m);
}

static void persisted(struct raft *r, uint64_t seq)
{
	uint64_t before = r->tail.persisted;
	bool was_durable = core_hard_durable(r);
	tail_persisted(&r->tail, seq);
	election_persisted(r);
	if (r->role == RAFT_LEADER)
		replicate_commit(r);
	else if (r->tail.persisted > before || (!was_durable && core_hard_durable(r)))
		append_acknowledge(r);
}

static void applied(struct raft *r, uint64_t index)
{
	assert(index <= r->handed);
	r->applied = MAX(r->applied, index);
}

/* The last applied entry that nobody wants to keep. */
static uint64_t before_kept(const struct raft *r)
{
	uint64_t index = r->applied, bytes = 0;
	if (core_alone(r))
		return index;
	for (uint64_t n = 0; n < r->opt.keep_entries && index > r->tail.mark.index; n++, index--) {
		const struct raft_entry *e = tail_at(&r->tail, index);
		bytes += e && e->data ? e->data->len : 0;
		if (n && r->opt.keep_bytes && bytes > r->opt.keep_bytes)
			break;
	}
	return index;
}

static void compact(struct raft *r, uint64_t index)
{
	index = MIN(index, before_kept(r));
	if (index > r->tail.mark.index) {
		tail_compact(&r->tail, index);
		confs_compact(r, index);
	}
}

/* Fills `persist` with what this step has changed. */
static void finish_persist(struct raft *r)
{
	struct raft_update *u = r->out;
	uint64_t last = tail_last(&r->tail);
	if (r->persist_from)
		for (uint64_t i = r->persist_from; i <= last; i++)
			raft_entries_add(&u->persist.entries, tail_at(&r->tail, i));
	u->persist.has_hard_state = r->hard_dirty;
	u->persist.hard_state = r->hard;
	if (r->hard_dirty || u->persist.entries.n)
		u->persist.seq = tail_sent(&r->tail);
	if (r->hard_dirty)
		r->hard_seq = u->persist.seq;
	r->hard_dirty = false;
	r->persist_from = 0;
	assert(u->send_persisted.n == 0 || u->persist.seq);
}

/* Hands out what is committed and durable here; true when more is left. */
static bool finish_committed(struct raft *r)
{
	uint64_t end = MIN(r->commit, r->tail.persisted);
	size_t bytes = 0;
	while (!r->installing && r->handed < end) {
		const struct raft_entry *e = tail_at(&r->tail, r->handed + 1);
		bytes += e->data ? e->data->len : 0;
		if (r->out->committed.n && bytes > COMMITTED_LIMIT_BYTES)
			return true;
		raft_entries_add(&r->out->committed, e);
		r->handed++;
	}
	return false;
}

static uint64_t next_deadline(const struct raft *r)
{
	if (r->role != RAFT_LEADER) {
		uint64_t at = election_may_campaign(r) ? r->election_at_ms : UINT64_MAX;
		return r->read_asked ? MIN(at, r->read_asked_ms + r->opt.heartbeat_ms) : at;
	}
	if (core_alone(r))
		return UINT64_MAX;
	uint64_t heard = heartbeat_quorum_heard(r);
	uint64_t at =
	    MIN(r->heartbeat_at_ms, heard == UINT64_MAX ? UINT64_MAX : heard + r->opt.election_ms);
	return r->transfer_to ? MIN(at, r->transfer_end_ms) : at;
}

static void unreachable(struct raft *r, uint64_t id)
{
	struct peer *p = core_peer(r, id);
	if (r->role == RAFT_LEADER && p && id != r->opt.id)
		replicate_unreachable(r, p);
	else if (r->role == RAFT_FOLLOWER && id && id == r->leader)
		election_leader_unreachable(r);
}

static int dispatch(struct raft *r, const struct raft_event *e)
{
	switch (e->type) {
	case RAFT_TICK:
		break;
	case RAFT_RECEIVE:
		receive(r, e->message);
		break;
	case RAFT_PROPOSE:
		return propose(r, e->propose.data, e->propose.n);
	case RAFT_READ:
		return read_start(r, e->read_context);
	case RAFT_PERSISTED:
		persisted(r, e->persisted_seq);
		break;
	case RAFT_APPLIED:
		applied(r, e->applied_index);
		break;
	case RAFT_SNAPSHOT_DONE:
		snapshot_done(r, e->snapshot_done.mark, e->snapshot_done.ok);
		break;
	case RAFT_SNAPSHOT_SENT: {
		struct peer *p = core_peer(r, e->snapshot_sent.to);
		if (r->role == RAFT_LEADER && p)
			replicate_snapshot_sent(r, p, e->snapshot_sent.ok);
		break;
	}
	case RAFT_COMPACT:
		compact(r, e->compact_index);
		break;
	case RAFT_TRANSFER:
		return transfer_start(r, e->transfer_to);
	case RAFT_CHANGE:
		return change_start(r, e->change);
	case RAFT_PEER_UNREACHABLE:
		unreachable(r, e->unreachable);
		break;
	default:
		return -ERR_INVALID;
	}
	return 0;
}

int raft_step(struct raft *r, const struct raft_event *e, struct raft_update *ret)
{
	uint64_t term = r->hard.term, leader = r->leader;
	enum raft_role role = r->role;
	uint64_t now_ms = r->now_ms;
	r->out = ret;
	r->now_ms = MAX(r->now_ms, e->now_ms);
	int res = dispatch(r, e);
	if (res < 0) {
		r->now_ms = now_ms;
		r->out = NULL;
		return res;
	}
	/* Time passes with every event, so that a busy shell needs no extra ticks. */
	if (r->role == RAFT_LEADER)
		heartbeat_tick(r);
	else
		election_tick(r);
	read_tick(r);
	change_advance(r);
	finish_persist(r);
	bool more = finish_committed(r);
	read_applied(r);
	ret->deadline_ms = more ? r->now_ms : next_deadline(r);
	ret->status_changed = term != r->hard.term || leader != r->leader || role != r->role;
	r->out = NULL;
	return 0;
}

struct raft_status raft_status(const struct raft *r)
{
	return (struct raft_status){
	    .id = r->opt.id,
	    .leader = r->leader,
	    .role = r->role,
	    .term = r->hard.term,
	    .first = r->tail.mark.index + 1,
	    .last = tail_last(&r->tail),
	    .commit = r->commit,
	    .applied = r->applied,
	    .persisted = r->tail.persisted,
	    .uncommitted_bytes = r->uncommitted_bytes,
	    .transfer_to = r->transfer_to,
	};
}
