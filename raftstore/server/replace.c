/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <unistd.h>
#include "common/base/log.h"
#include "raftstore/mvcc/outcome.h"
#include "raftstore/server/asks.h"
#include "raftstore/server/node_internal.h"
#include "raftstore/server/recover.h"

/* The running members' side of recover.h: who has lost its data is replaced by itself. */

enum { PROMOTE_AGAIN_MS = 1000 };

struct replacement {
	struct node *node;
	struct peers_answer *answer;
	struct arena arena;
	member *now; /* the new one */
	bool was_voter;
};

static void replacement_end(struct replacement *r, int outcome)
{
	uint8_t b[9];
	put_be64(b, r->now->id);
	b[8] = r->was_voter;
	peers_answer(r->answer, outcome, slice_of(b, sizeof(b)));
	arena_deinit(&r->arena);
	free(r);
}

static void on_added(void *arg, int outcome)
{
	replacement_end(arg, outcome);
}

static void add(struct replacement *r)
{
	struct server *s = r->node->server;
	r->now->islearner = true;
	r->now->id = member_id_of(r->now->peerurls, r->now->n_peerurls,
	                          s->options->initial_cluster_token, clock_real_ns() / 1000000000);
	node_change_members(r->node, &(struct member_change){MEMBER_ADD, r->now}, on_added, r);
}

static void on_removed(void *arg, int outcome)
{
	struct replacement *r = arg;
	if (outcome && outcome != OUTCOME_MEMBER_NOT_FOUND)
		replacement_end(r, outcome);
	else
		add(r);
}

/* What would keep the learner from being added is asked before anything is removed. Who still
 * serves has not lost its data: another process has its URLs. */
static int may_replace(const struct node *n, const member *old)
{
	unsigned learners = 0;
	VEC_FOREACH (&n->applied_members.list, it) {
		const member *m = *it;
		bool here = m->id == n->server->member_id;
		if (m == old ? here || roster_linked(n, m->id, 0)
		             : !m->islearner && !here && !roster_linked(n, m->id, 0))
			return OUTCOME_UNHEALTHY;
		learners += m != old && m->islearner;
	}
	return learners >= (unsigned)n->server->options->max_learners ? OUTCOME_TOO_MANY_LEARNERS
	                                                              : 0;
}

static const member *find(const struct node *n, const member *by)
{
	VEC_FOREACH (&n->applied_members.list, it) {
		const struct members one = {.list = {.at = it, .n = 1}};
		if (members_have_url(&one, by->peerurls, by->n_peerurls, 0))
			return *it;
	}
	return NULL;
}

void recover_asked(struct node *n, struct slice body, struct peers_answer *a)
{
	struct replacement *r = calloc(1, sizeof(*r));
	struct member_change c;
	if (!r)
		abort();
	r->node = n;
	r->answer = a;
	arena_init(&r->arena);
	bool ok = member_change_next(&body, &r->arena, &c) && c.op == MEMBER_ADD;
	r->now = arena_new(&r->arena, member);
	etcdserverpb__member__init(r->now);
	for (size_t i = 0; ok && i < c.member->n_peerurls; i++)
		ok = peer_url_valid(c.member->peerurls[i]);
	if (!ok || !c.member->n_peerurls) {
		replacement_end(r, OUTCOME_BAD_MESSAGE);
		return;
	}
	r->now->peerurls = c.member->peerurls;
	r->now->n_peerurls = c.member->n_peerurls;
	const member *old = find(n, r->now);
	/* It was asked before, and the answer was lost. */
	bool again = old && old->islearner && !*old->name;
	r->was_voter = !old || again || !old->islearner;
	int outcome = again ? 0 : may_replace(n, old);
	if (again)
		r->now->id = old->id;
	if (again || outcome) {
		replacement_end(r, outcome);
		return;
	}
	if (!old) {
		add(r);
		return;
	}
	log_warning("A member has lost its data and is replaced by itself",
	            LOG_INT("member", old->id));
	node_change_members(n, &(struct member_change){MEMBER_REMOVE, old}, on_removed, r);
}

/* --- promotion --- */

static char *flag_path(const struct server_options *o, struct buf *b)
{
	buf_printf(b, "%s/member/promote", o->data_dir);
	return (char *)b->data;
}

bool recover_wants_promotion(const struct server_options *o)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	return !access(flag_path(o, &b), F_OK);
}

static void on_promoted(void *arg, int outcome)
{
	struct node *n = arg;
	n->promoting = false;
}

void recover_sweep(struct node *n)
{
	struct server *s = n->server;
	uint64_t now_ms = loop_now_ms(n->loop);
	const member *self = members_find(&n->applied_members, s->member_id);
	if (!s->wants_promotion || n->promoting || !self || !*self->name)
		return;
	if (!self->islearner) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		s->wants_promotion = unlink(flag_path(s->options, &b)) != 0;
		log_info("The member has caught up and is a voter again");
	} else if (now_ms >= n->promote_ms) {
		n->promoting = true;
		n->promote_ms = now_ms + PROMOTE_AGAIN_MS;
		node_change_members(n, &(struct member_change){MEMBER_PROMOTE, self}, on_promoted,
		                    n);
	}
}
