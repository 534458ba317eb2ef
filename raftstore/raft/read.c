/* SPDX-License-Identifier: Apache-2.0 */
/* Linearizable reads by read index (thesis, section 6.4). Reads that arrive at the leader while a
 * round is unanswered share the next one; those that arrive at a follower while it waits for an
 * answer of the leader share the next question. */
#include "raftstore/raft/core.h"

/* The answer for a read whose index a leader has confirmed. */
static void confirm(struct raft *r, const struct read_waiting *w)
{
	if (w->from == r->opt.id) {
		*vec_push(&r->confirmed) = (struct raft_read_result){w->context, w->index};
		return;
	}
	core_send(r, (struct raft_message){
	                 .type = RAFT_MSG_READ_RESULT,
	                 .to = w->from,
	                 .term = r->hard.term,
	                 .read_result = {.context = w->context, .index = w->index},
	             });
}

static bool next_round_wanted(const struct raft *r)
{
	return r->reads.n && vec_last(&r->reads)->round > r->round &&
	       heartbeat_quorum_round(r) >= r->round;
}

void read_queue(struct raft *r, uint64_t context, uint64_t from)
{
	/* Step 1: an entry of this term must be committed, else older commits may be unknown.
	 * Step 2: remember the commit index of this moment. */
	*vec_push(&r->reads) = (struct read_waiting){
	    .context = context,
	    .from = from,
	    .index = r->commit >= r->term_start ? r->commit : 0,
	    .round = r->round + 1,
	};
	if (next_round_wanted(r))
		heartbeat_round(r);
	read_advance(r);
}

void read_advance(struct raft *r)
{
	uint64_t round = heartbeat_quorum_round(r);
	size_t n = 0;
	for (; n < r->reads.n; n++) {
		struct read_waiting *w = &r->reads.at[n];
		if (w->index == 0 && r->commit >= r->term_start)
			w->index = r->commit;
		/* Step 3: a round that began after the read was answered by a quorum. */
		if (w->index == 0 || w->round > round)
			break;
		confirm(r, w);
	}
	if (n) {
		memmove(r->reads.at, r->reads.at + n, (r->reads.n - n) * sizeof(*r->reads.at));
		r->reads.n -= n;
	}
	if (next_round_wanted(r))
		heartbeat_round(r);
}

static void send_question(struct raft *r)
{
	r->read_asked_ms = r->now_ms;
	core_send(r, (struct raft_message){
	                 .type = RAFT_MSG_READ,
	                 .to = r->leader,
	                 .term = r->hard.term,
	                 .read = {.context = r->read_question},
	             });
}

/* Asks for all reads that no question has asked for. */
static void ask_leader(struct raft *r)
{
	if (r->read_asked || r->reads.n == 0)
		return;
	/* An answer to a question of before a restart must not look like one to this: it would be
	 * older than the read. */
	if (r->read_question == 0)
		r->read_question = rng_next(&r->opt.rng) | 1;
	r->read_question++;
	r->read_asked = true;
	VEC_FOREACH (&r->reads, w)
		w->round = r->read_question;
	send_question(r);
}

void read_tick(struct raft *r)
{
	/* Question or answer may be lost. A later answer to the same question is as good. */
	if (r->read_asked && r->leader && r->now_ms >= r->read_asked_ms + r->opt.heartbeat_ms)
		send_question(r);
}

int read_start(struct raft *r, uint64_t context)
{
	if (r->leader == 0)
		return -ERR_UNAVAILABLE;
	if (r->reads.n + r->confirmed.n >= r->opt.read_limit)
		return -ERR_TOO_MANY_REQUESTS;
	if (r->role == RAFT_LEADER) {
		read_queue(r, context, r->opt.id);
		return 0;
	}
	*vec_push(&r->reads) = (struct read_waiting){.context = context, .from = r->opt.id};
	ask_leader(r);
	return 0;
}

void recv_read(struct raft *r, const struct raft_message *m)
{
	if (r->role == RAFT_LEADER && r->reads.n < r->opt.read_limit) {
		read_queue(r, m->read.context, m->from);
		return;
	}
	core_send(r, (struct raft_message){
	                 .type = RAFT_MSG_READ_RESULT,
	                 .to = m->from,
	                 .term = r->hard.term,
	                 .read_result = {.context = m->read.context},
	             });
}

void recv_read_result(struct raft *r, const struct raft_message *m)
{
	if (r->role == RAFT_LEADER || !r->read_asked || m->read_result.context != r->read_question)
		return;
	r->read_asked = false;
	size_t kept = 0;
	VEC_FOREACH (&r->reads, w) {
		if (w->round != r->read_question)
			r->reads.at[kept++] = *w;
		else
			*(m->read_result.index ? vec_push(&r->confirmed)
			                       : vec_push(&r->out->reads)) =
			    (struct raft_read_result){w->context, m->read_result.index};
	}
	r->reads.n = kept;
	ask_leader(r);
}

/* Step 4: the state machine has reached the index. */
void read_applied(struct raft *r)
{
	size_t kept = 0;
	VEC_FOREACH (&r->confirmed, c) {
		if (c->index <= r->applied)
			*vec_push(&r->out->reads) = *c;
		else
			r->confirmed.at[kept++] = *c;
	}
	r->confirmed.n = kept;
}

void read_fail_all(struct raft *r)
{
	VEC_FOREACH (&r->reads, w)
		if (w->from == r->opt.id)
			*vec_push(&r->out->reads) = (struct raft_read_result){w->context, 0};
	vec_clear(&r->reads);
	r->read_asked = false;
}
