/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/log.h"
#include "raftstore/server/asks.h"
#include "raftstore/server/node_internal.h"

/* Membership changes. The leader alone checks and begins them, one at a time, and only when it has
 * applied the one before: what it checks against is then what is in force. A follower asks it, and
 * answers when it has applied the change itself. */

enum {
	HEALTHY_MS = 5000, /* a member counts when it was heard of that long */
	CHANGES_MAX = 64,
};

struct change {
	struct node *node;
	enum member_op op;
	Etcdserverpb__Member *member;
	struct arena arena;
	uint64_t started_ms;
	enum change_state {
		CHANGE_WAITS,  /* for a leader, or for the change before it */
		CHANGE_ASKED,  /* of the leader */
		CHANGE_UNSURE, /* whether the leader has heard it; the members will tell */
		CHANGE_BEGUN,  /* in this leader's log */
		CHANGE_BEHIND, /* done; the members here tell of it when the index is applied */
	} state;
	bool answered; /* before what was begun has ended */
	uint64_t index;
	void (*done)(void *arg, int outcome);
	void *arg;
	struct peers_answer *answer; /* instead of done */
};

static void change_free(struct change *c)
{
	arena_deinit(&c->arena);
	free(c);
}

static void change_answer(struct change *c, int outcome)
{
	struct node *n = c->node;
	for (size_t i = 0; i < n->changes.n; i++) {
		if (n->changes.at[i] == c) {
			vec_remove(&n->changes, i);
			break;
		}
	}
	uint8_t index[8];
	put_be64(index, c->index);
	if (c->answer)
		peers_answer(c->answer, outcome, slice_of(index, sizeof(index)));
	else
		c->done(c->arg, outcome);
}

static void change_end(struct change *c, int outcome)
{
	change_answer(c, outcome);
	change_free(c);
}

/* --- etcd's checks --- */

static bool started(const Etcdserverpb__Member *m)
{
	return *m->name;
}

/* Voters, without or with this one, and how many of them have told their name. */
static unsigned count_started(const struct node *n, uint64_t without, unsigned *ret_voters)
{
	unsigned count = 0;
	*ret_voters = 0;
	VEC_FOREACH (&n->applied_members.list, it) {
		const Etcdserverpb__Member *m = *it;
		if (m->islearner || m->id == without)
			continue;
		*ret_voters += 1;
		count += started(m);
	}
	return count;
}

static unsigned count_healthy(const struct node *n)
{
	unsigned count = 0;
	VEC_FOREACH (&n->applied_members.list, it)
		count += !(*it)->islearner && roster_linked(n, (*it)->id, HEALTHY_MS);
	return count;
}

static int check_quorum_of(unsigned n_started, unsigned voters)
{
	return n_started >= voters / 2 + 1 ? 0 : OUTCOME_MEMBER_NOT_ENOUGH_STARTED;
}

static int may_add(const struct node *n, const Etcdserverpb__Member *m)
{
	unsigned voters, n_started = count_started(n, 0, &voters);
	if (!n->server->options->strict_reconfig_check)
		return 0;
	/* A cluster of one may grow whatever the state of the other: it is being restored. */
	if (!m->islearner && !(n_started == 1 && voters == 1) &&
	    check_quorum_of(n_started, voters + 1))
		return OUTCOME_MEMBER_NOT_ENOUGH_STARTED;
	return count_healthy(n) == voters ? 0 : OUTCOME_UNHEALTHY;
}

static int check_add(const struct node *n, const Etcdserverpb__Member *m)
{
	unsigned learners = 0;
	const struct members *all = &n->applied_members;
	VEC_FOREACH (&all->list, it)
		learners += (*it)->islearner;
	int r = may_add(n, m);
	if (r)
		return r;
	if (members_is_removed(all, m->id) || members_find(all, m->id))
		return OUTCOME_MEMBER_EXIST;
	if (members_have_url(all, m->peerurls, m->n_peerurls, 0))
		return OUTCOME_PEER_URL_EXIST;
	if (m->islearner && learners >= (unsigned)n->server->options->max_learners)
		return OUTCOME_TOO_MANY_LEARNERS;
	return 0;
}

static int check_remove(const struct node *n, uint64_t id)
{
	const Etcdserverpb__Member *m = members_find(&n->applied_members, id);
	unsigned voters, n_started = count_started(n, id, &voters);
	if (!m)
		return OUTCOME_MEMBER_NOT_FOUND;
	if (m->islearner || !n->server->options->strict_reconfig_check)
		return 0;
	if (check_quorum_of(n_started, voters))
		return OUTCOME_MEMBER_NOT_ENOUGH_STARTED;
	/* Who is down takes no part in the quorum of now. */
	if (!roster_linked(n, id, 0))
		return 0;
	unsigned healthy = count_healthy(n);
	return healthy && healthy - 1 >= 1 + voters / 2 ? 0 : OUTCOME_UNHEALTHY;
}

static int check_promote(const struct node *n, uint64_t id)
{
	const Etcdserverpb__Member *m = members_find(&n->applied_members, id);
	unsigned voters, n_started = count_started(n, 0, &voters);
	if (!m)
		return OUTCOME_MEMBER_NOT_FOUND;
	if (!m->islearner)
		return OUTCOME_MEMBER_NOT_LEARNER;
	/* Who never came has caught up with nothing. */
	if (!started(m))
		return OUTCOME_MEMBER_LEARNER_NOT_READY;
	if (!n->server->options->strict_reconfig_check)
		return 0;
	return check_quorum_of(n_started + 1, voters + 1);
}

static int check(const struct node *n, const struct change *c)
{
	switch (c->op) {
	case MEMBER_ADD:
		return check_add(n, c->member);
	case MEMBER_REMOVE:
		return check_remove(n, c->member->id);
	case MEMBER_PROMOTE:
		return check_promote(n, c->member->id);
	}
	return OUTCOME_BAD_MESSAGE;
}

/* --- the leader --- */

struct applied_note {
	struct change *change;
	int outcome;
};

static void on_change_applied(void *arg)
{
	struct applied_note *note = arg;
	struct change *c = note->change;
	int outcome = note->outcome;
	free(note);
	/* The members have been read again: that was posted before this. */
	if (c->answered)
		change_free(c);
	else
		change_end(c, outcome);
}

/* Storage thread, or the loop. */
static void change_done(void *arg, int outcome, struct slice answer)
{
	struct change *c = arg;
	struct applied_note *note = malloc(sizeof(*note));
	if (!note)
		abort();
	*note = (struct applied_note){c, outcome};
	loop_post(c->node->loop, on_change_applied, note);
}

static enum raft_change_type type_of(const struct change *c)
{
	switch (c->op) {
	case MEMBER_ADD:
		return c->member->islearner ? RAFT_ADD_LEARNER : RAFT_ADD_VOTER;
	case MEMBER_PROMOTE:
		return RAFT_PROMOTE;
	case MEMBER_REMOVE:
		break;
	}
	return RAFT_REMOVE;
}

static int outcome_of(const struct change *c, int r)
{
	switch (r) {
	case -ERR_NOT_FOUND:
		return OUTCOME_MEMBER_NOT_FOUND;
	case -ERR_ALREADY_EXISTS:
		return OUTCOME_MEMBER_EXIST;
	case -ERR_LIMIT:
		return OUTCOME_TOO_MANY_MEMBERS;
	default:
		return c->op == MEMBER_PROMOTE ? OUTCOME_MEMBER_LEARNER_NOT_READY
		                               : OUTCOME_MEMBER_NOT_ENOUGH_STARTED;
	}
}

static void begin(struct change *c)
{
	struct node *n = c->node;
	_cleanup_buf_ struct buf context = BUF_INIT;
	member_change_encode(&context, &(struct member_change){c->op, c->member});
	struct raft_change_request q = {
	    .at = {{type_of(c), c->member->id}},
	    .n = 1,
	    .context = buf_view(&context),
	};
	struct request *entry = request_new(NULL, COMMANDS);
	entry->done = change_done;
	entry->done_arg = c;
	entry->here_only = true;
	proposals_expect(n, entry);
	struct raft_event e = {.type = RAFT_CHANGE, .change = &q};
	c->state = CHANGE_BEGUN;
	c->index = raft_status(n->raft).last + 1;
	int r = node_step(n, &e);
	if (!r)
		return;
	proposals_unexpect(n);
	entry->done = NULL;
	request_free(entry);
	c->state = CHANGE_WAITS;
	/* Not ready yet, or another one is under way. */
	if (r == -ERR_UNAVAILABLE || r == -ERR_CONFLICT)
		node_retry(n, NODE_RETRY_MS);
	else
		change_end(c, outcome_of(c, r));
}

static bool one_is_begun(const struct node *n)
{
	VEC_FOREACH (&n->changes, c) {
		if ((*c)->state == CHANGE_BEGUN)
			return true;
	}
	return false;
}

/* The members are those of the configuration in force: whoever asked for the change before may have
 * given up before it was applied. */
static bool last_is_applied(const struct node *n)
{
	struct raft_ids ids = raft_conf_members(&n->conf);
	for (unsigned i = 0; i < ids.n; i++) {
		const Etcdserverpb__Member *m = members_find(&n->applied_members, ids.at[i]);
		if (!m || m->islearner != raft_ids_has(&n->conf.learners, ids.at[i]))
			return false;
	}
	return ids.n == n->applied_members.list.n;
}

static void lead(struct change *c)
{
	struct node *n = c->node;
	if (!n->readable || one_is_begun(n) || !last_is_applied(n)) {
		node_retry(n, NODE_RETRY_MS);
		return;
	}
	int outcome = check(n, c);
	if (outcome)
		change_end(c, outcome);
	else
		begin(c);
}

/* --- followers --- */

static void on_asked(void *arg, int result, struct slice answer)
{
	struct change *c = arg;
	struct node *n = c->node;
	if (c->answered) {
		change_free(c);
		return;
	}
	if (result == OUTCOME_NOT_LEADER || result == -ERR_UNAVAILABLE ||
	    result == -ERR_TOO_MANY_REQUESTS) {
		c->state = CHANGE_WAITS;
		node_retry(n, NODE_RETRY_MS);
	} else if (result == -ERR_CANCELLED) {
		change_end(c, OUTCOME_STOPPED);
	} else if (result > 0) {
		change_end(c, result);
	} else if (result < 0) {
		c->state = CHANGE_UNSURE;
		node_retry(n, 0);
	} else {
		c->index = answer.len == 8 ? get_be64(answer.data) : 0;
		c->state = CHANGE_BEHIND;
		node_retry(n, 0);
	}
}

static void ask_leader(struct change *c)
{
	struct node *n = c->node;
	_cleanup_buf_ struct buf b = BUF_INIT;
	c->state = CHANGE_ASKED;
	member_change_encode(&b, &(struct member_change){c->op, c->member});
	peers_ask(n->server->peers, n->server->leader, ASK_MEMBER_CHANGE, buf_view(&b),
	          n->timeout_ms, on_asked, c);
}

/* --- in and out --- */

static bool has_happened(const struct change *c)
{
	const struct members *m = &c->node->applied_members;
	const member *now = members_find(m, c->member->id);
	if (c->op == MEMBER_REMOVE)
		return members_is_removed(m, c->member->id);
	return now && (c->op == MEMBER_ADD || !now->islearner);
}

static void advance(struct change *c)
{
	struct node *n = c->node;
	if (c->state == CHANGE_BEHIND && n->server->applied >= c->index)
		change_end(c, 0);
	else if (c->state == CHANGE_UNSURE && has_happened(c))
		change_end(c, 0);
	else if (c->state != CHANGE_WAITS)
		return;
	else if (n->leader)
		lead(c);
	else if (c->answer)
		change_end(c, OUTCOME_NOT_LEADER);
	else if (n->server->leader)
		ask_leader(c);
}

void changes_retry(struct node *n)
{
	for (size_t i = n->changes.n; i-- > 0;)
		if (i < n->changes.n)
			advance(n->changes.at[i]);
}

void changes_sweep(struct node *n)
{
	uint64_t now_ms = loop_now_ms(n->loop);
	for (size_t i = n->changes.n; i-- > 0;) {
		struct change *c = n->changes.at[i];
		bool owned = c->state == CHANGE_ASKED || c->state == CHANGE_BEGUN;
		if (!owned && now_ms - c->started_ms > n->timeout_ms)
			change_end(c, c->state == CHANGE_UNSURE ? OUTCOME_TIMEOUT_CONNECTION_LOST
			                                        : OUTCOME_TIMEOUT);
	}
	changes_retry(n);
}

static struct change *change_new(struct node *n, const struct member_change *from)
{
	struct change *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->node = n;
	c->op = from->op;
	c->started_ms = loop_now_ms(n->loop);
	arena_init(&c->arena);
	c->member = member_copy(from->member, &c->arena);
	*vec_push(&n->changes) = c;
	return c;
}

void node_change_members(struct node *n, const struct member_change *from,
                         void (*done)(void *arg, int outcome), void *arg)
{
	struct change *c = change_new(n, from);
	c->done = done;
	c->arg = arg;
	if (n->changes.n > CHANGES_MAX)
		change_end(c, OUTCOME_TOO_MANY_REQUESTS);
	else
		advance(c);
}

void node_change_asked(struct node *n, const struct member_change *from, struct peers_answer *a)
{
	struct change *c = change_new(n, from);
	c->answer = a;
	if (n->changes.n > CHANGES_MAX)
		change_end(c, OUTCOME_TOO_MANY_REQUESTS);
	else
		advance(c);
}

void changes_stop(struct node *n)
{
	while (n->changes.n) {
		struct change *c = vec_last(&n->changes)[0];
		change_answer(c, OUTCOME_STOPPED);
		/* The end of what was begun or asked comes still, and refers to it. */
		c->answered = c->state == CHANGE_BEGUN || c->state == CHANGE_ASKED;
		if (!c->answered)
			change_free(c);
	}
}
