/* SPDX-License-Identifier: Apache-2.0 */
/* The leader's side of membership changes (thesis, chapter 4). */
#include "raftstore/raft/core.h"

/* Thesis, section 4.2.1: a voter that lags holds commits up. The measure is etcd's: nine tenths of
 * the leader's log. */
static bool in_sync(const struct raft *r, uint64_t id)
{
	const struct peer *p = core_peer((struct raft *)r, id);
	return p && p->match / 9.0 >= r->tail.persisted / 10.0;
}

static int check_learners(const struct raft *r, const struct raft_change_request *q,
                          struct err *err)
{
	for (unsigned i = 0; i < q->n; i++) {
		const struct raft_change *c = &q->at[i];
		bool promotes = c->type == RAFT_PROMOTE || c->type == RAFT_ADD_VOTER;
		if (promotes && raft_ids_has(&r->conf.learners, c->id) && !in_sync(r, c->id))
			return err_set(err, ERR_INVALID,
			               "etcdserver: can only promote a learner member which is in "
			               "sync with leader");
	}
	return 0;
}

static int next_conf(const struct raft *r, const struct raft_change_request *q,
                     struct raft_conf *ret, struct err *err)
{
	if (r->role != RAFT_LEADER || r->transfer_to)
		return err_set(err, ERR_UNAVAILABLE, "not the leader");
	/* The amendment to section 4.1 of the thesis: two leaders that each add an entry to the
	 * same committed configuration may get majorities that do not overlap, unless the later one
	 * first commits an entry of its own term. */
	if (r->commit < r->term_start)
		return err_set(err, ERR_UNAVAILABLE, "the leader has not committed in its term");
	if (confs_index(r) > r->commit)
		return err_set(err, ERR_CONFLICT, "another membership change is under way");
	int res = raft_conf_change(&r->conf, q, ret, err);
	return res < 0 ? res : check_learners(r, q, err);
}

int raft_change_check(const struct raft *r, const struct raft_change_request *q, struct err *err)
{
	struct raft_conf conf;
	return next_conf(r, q, &conf, err);
}

static void append_conf(struct raft *r, const struct raft_conf *conf, struct slice context)
{
	struct blob *data = raft_conf_entry_encode(conf, context);
	core_append(r, &(struct raft_entry){.index = tail_last(&r->tail) + 1,
	                                    .term = r->hard.term,
	                                    .type = RAFT_ENTRY_CONF,
	                                    .data = data});
	r->uncommitted_bytes += data->len;
	blob_unref(data);
	replicate_all(r);
	/* Without a slow member more may have a majority. */
	replicate_commit(r);
}

int change_start(struct raft *r, const struct raft_change_request *q)
{
	struct raft_conf conf;
	struct err err = ERR_INIT;
	int res = next_conf(r, q, &conf, &err);
	if (res < 0)
		return res;
	r->out->proposed_index = tail_last(&r->tail) + 1;
	r->out->proposed_term = r->hard.term;
	append_conf(r, &conf, q->context);
	return 0;
}

/* Thesis, section 4.2.2: who manages a cluster without being in it stops once that is committed,
 * here also applied, so that who asked for it gets the answer. The best voter is told to follow. */
static void step_down(struct raft *r)
{
	const struct peer *best = NULL;
	for (unsigned i = 0; i < r->n_peers; i++) {
		const struct peer *p = &r->peers[i];
		if (raft_ids_has(&r->conf.voters, p->id) && (!best || p->match > best->match))
			best = p;
	}
	if (best)
		core_send(r, (struct raft_message){.type = RAFT_MSG_TIMEOUT_NOW,
		                                   .to = best->id,
		                                   .term = r->hard.term});
	become_follower(r, r->hard.term, 0);
}

void change_advance(struct raft *r)
{
	if (r->role != RAFT_LEADER || confs_index(r) > r->commit || r->commit < r->term_start)
		return;
	if (r->conf.outgoing.n && r->conf.auto_leave && !r->transfer_to) {
		/* Thesis, section 4.3: the joint configuration is committed, the new one follows.
		 */
		struct raft_conf next = r->conf;
		next.outgoing = (struct raft_ids){.n = 0};
		next.auto_leave = false;
		append_conf(r, &next, SLICE_EMPTY);
	} else if (confs_index(r) <= r->applied && !raft_conf_is_voter(&r->conf, r->opt.id)) {
		step_down(r);
	}
}
