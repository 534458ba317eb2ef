/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/etcd_election.pb-c.h"
#include "raftstore/mvcc/txn.h"
#include "raftstore/server/contend.h"
#include "raftstore/server/node.h"
#include "raftstore/server/pb_out.h"

/* v3electionpb.Election: the leader is who has the oldest key; its value is what he proclaims. */

/* --- Campaign --- */

static void answer_campaign(const struct contender *c, struct buf *out)
{
	size_t at = out_begin(out, 2);
	out_bytes(out, 1, contender_name(c));
	out_bytes(out, 2, contender_key(c));
	out_number(out, 3, contender_revision(c));
	out_number(out, 4, contender_lease(c));
	out_end(out, at);
}

static void on_campaign(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	struct arena a;
	arena_init(&a);
	const V3electionpb__CampaignRequest *q =
	    (const void *)message_decode(&v3electionpb__campaign_request__descriptor, message, &a);
	if (q && message.len <= (size_t)s->options->max_request_bytes) {
		struct contend_options o = {
		    .name = pb_slice(q->name),
		    .value = pb_slice(q->value),
		    .lease = q->lease,
		    .election = true,
		    .answer = answer_campaign,
		};
		contend_start(s, call, &o);
	} else {
		call_fail(call, q ? OUTCOME_TOO_LARGE : OUTCOME_BAD_MESSAGE);
	}
	arena_deinit(&a);
}

/* --- Proclaim, Resign --- */

struct act {
	struct server *server;
	struct rpc_call *call;
	bool must_lead;
};

static void on_acted(void *arg, int outcome, struct slice answer)
{
	struct act *act = arg;
	int64_t revision = 0;
	bool changed = !outcome && contend_changed(answer, &revision);
	if (!outcome && !changed && act->must_lead)
		outcome = OUTCOME_ELECTION_NOT_LEADER;
	if (outcome) {
		call_fail(act->call, outcome);
	} else {
		_cleanup_buf_ struct buf b = BUF_INIT;
		out_header(&b, act->server, revision);
		rpc_call_reply(act->call, buf_view(&b));
	}
	free(act);
}

/* Changes the leader's key as long as it is his: value NULL deletes it. */
static void act(struct server *s, struct rpc_call *call, struct arena *a,
                const V3electionpb__LeaderKey *leader, const struct slice *value)
{
	struct identity who;
	int r = !leader            ? OUTCOME_LEADER_KEY_MISSING
	        : !leader->key.len ? OUTCOME_EMPTY_KEY
	                           : auth_identify(s, call, a, &who);
	if (r) {
		call_fail(call, r);
		return;
	}
	struct act *done = malloc(sizeof(*done));
	if (!done)
		abort();
	*done = (struct act){s, call, value != NULL};
	contend_change(s, &who, pb_slice(leader->key), leader->rev, value, on_acted, done);
}

static void on_proclaim(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	struct arena a;
	arena_init(&a);
	const V3electionpb__ProclaimRequest *q =
	    (const void *)message_decode(&v3electionpb__proclaim_request__descriptor, message, &a);
	if (!q || message.len > (size_t)s->options->max_request_bytes) {
		call_fail(call, q ? OUTCOME_TOO_LARGE : OUTCOME_BAD_MESSAGE);
	} else {
		struct slice value = pb_slice(q->value);
		act(s, call, &a, q->leader, &value);
	}
	arena_deinit(&a);
}

static void on_resign(struct rpc_call *call, struct slice message, void *arg)
{
	struct arena a;
	arena_init(&a);
	const V3electionpb__ResignRequest *q =
	    (const void *)message_decode(&v3electionpb__resign_request__descriptor, message, &a);
	if (q)
		act(arg, call, &a, q->leader, NULL);
	else
		call_fail(call, OUTCOME_BAD_MESSAGE);
	arena_deinit(&a);
}

/* --- Leader --- */

struct ask {
	struct server *server;
	struct rpc_call *call;
	struct arena arena;
	struct identity who;
	struct slice name;
};

static void ask_end(struct ask *q, int outcome, const struct contend_found *found)
{
	if (outcome) {
		call_fail(q->call, outcome);
	} else {
		_cleanup_buf_ struct buf b = BUF_INIT;
		out_header(&b, q->server, found->revision);
		out_key_value(&b, 2, &found->record);
		rpc_call_reply(q->call, buf_view(&b));
	}
	arena_deinit(&q->arena);
	free(q);
}

static void ask_slowly(void *arg)
{
	struct ask *q = arg;
	struct contend_found found;
	int r = contend_find(q->server, &q->who, q->name, 0, &q->arena, &found);
	ask_end(q, r, &found);
}

static void ask_start(void *arg, int outcome)
{
	struct ask *q = arg;
	if (outcome)
		ask_end(q, outcome, NULL);
	else
		worker_post(&q->server->read_worker, ask_slowly, q);
}

static void on_leader(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	struct ask *q = calloc(1, sizeof(*q));
	if (!q)
		abort();
	q->server = s;
	q->call = call;
	arena_init(&q->arena);
	const V3electionpb__LeaderRequest *m = (const void *)message_decode(
	    &v3electionpb__leader_request__descriptor, message, &q->arena);
	int r = m ? auth_identify(s, call, &q->arena, &q->who) : OUTCOME_BAD_MESSAGE;
	if (r) {
		ask_end(q, r, NULL);
		return;
	}
	q->name = pb_slice(m->name);
	node_read(s->node, ask_start, q);
}

/* --- Observe: the leader at each change, the latest if several came at once --- */

struct observer {
	struct server *server;
	struct rpc_call *call;
	struct arena arena, found_arena;
	struct identity who;
	struct slice name;
	struct key_wait wait;
	struct contend_found found;
	int64_t sent; /* mod revision */
	int outcome;
	bool busy, again, congested, closed, ended;
};

static void observer_free(struct observer *o)
{
	key_wait_stop(o->server, &o->wait);
	o->server->contenders--;
	arena_deinit(&o->found_arena);
	arena_deinit(&o->arena);
	free(o);
}

static void observe_end(struct observer *o, int outcome)
{
	key_wait_stop(o->server, &o->wait);
	if (!o->ended && outcome)
		call_fail(o->call, outcome);
	else if (!o->ended)
		rpc_call_finish(o->call);
	o->ended = true;
}

static void observe(void *arg);

static void observed(void *arg)
{
	struct observer *o = arg;
	o->busy = false;
	if (o->closed) {
		observer_free(o);
		return;
	}
	if (o->outcome && o->outcome != OUTCOME_ELECTION_NO_LEADER) {
		observe_end(o, o->outcome);
		return;
	}
	if (!o->outcome && o->found.record.rev.main != o->sent) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		o->sent = o->found.record.rev.main;
		out_header(&b, o->server, o->found.revision);
		out_key_value(&b, 2, &o->found.record);
		o->congested = rpc_call_send(o->call, buf_view(&b));
	}
	if (o->again)
		observe(o);
}

static void observe_slowly(void *arg)
{
	struct observer *o = arg;
	arena_reset(&o->found_arena);
	o->outcome = contend_find(o->server, &o->who, o->name, 0, &o->found_arena, &o->found);
	loop_post(o->server->loop, observed, o);
}

static void observe(void *arg)
{
	struct observer *o = arg;
	o->again = o->busy || o->congested;
	if (o->again || o->ended)
		return;
	o->busy = true;
	worker_post(&o->server->read_worker, observe_slowly, o);
}

static void on_writable(struct rpc_call *call, void *data)
{
	struct observer *o = data;
	o->congested = false;
	if (o->again)
		observe(o);
}

static void on_observer_closed(struct rpc_call *call, bool cancelled, void *data)
{
	struct observer *o = data;
	observe_end(o, 0);
	o->closed = true;
	if (!o->busy)
		observer_free(o);
}

static const struct rpc_call_ops observer_ops = {
    .on_writable = on_writable,
    .on_closed = on_observer_closed,
};

static void on_observe(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	if (s->contenders >= CONTENDERS_MAX) {
		call_fail(call, OUTCOME_TOO_MANY_REQUESTS);
		return;
	}
	struct observer *o = calloc(1, sizeof(*o));
	if (!o)
		abort();
	s->contenders++;
	o->server = s;
	o->call = call;
	arena_init(&o->arena);
	arena_init(&o->found_arena);
	rpc_call_set_ops(call, &observer_ops, o);
	const V3electionpb__LeaderRequest *m = (const void *)message_decode(
	    &v3electionpb__leader_request__descriptor, message, &o->arena);
	int r = m ? auth_identify(s, call, &o->arena, &o->who) : OUTCOME_BAD_MESSAGE;
	if (r) {
		observe_end(o, r);
		return;
	}
	o->name = pb_slice(m->name);
	struct key_range keys = contend_keys(o->name, &o->arena);
	key_wait_start(s, &o->wait, &keys, observe, o);
	observe(o);
}

void election_service_add(struct server *s)
{
	const struct rpc_method methods[] = {
	    {"/v3electionpb.Election/Campaign", RPC_UNARY, on_campaign, s, s->loop},
	    {"/v3electionpb.Election/Proclaim", RPC_UNARY, on_proclaim, s, NULL},
	    {"/v3electionpb.Election/Leader", RPC_UNARY, on_leader, s, NULL},
	    {"/v3electionpb.Election/Observe", RPC_SERVER_STREAM, on_observe, s, s->loop},
	    {"/v3electionpb.Election/Resign", RPC_UNARY, on_resign, s, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		service_add(s, &methods[i]);
}
