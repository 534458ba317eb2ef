/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/etcd_rpc.pb-c.h"
#include "raftstore/mvcc/lease.h"
#include "raftstore/server/asks.h"
#include "raftstore/server/auth.h"
#include "raftstore/server/lessor.h"
#include "raftstore/server/node.h"
#include "raftstore/server/pb_out.h"
#include "raftstore/server/quota.h"

/* Lease: grants and revocations go through the log from the queue's thread. The time that is left
 * is the leader's: on other members the loop asks it, again and again until one answers. */

enum { ASK_MS = 1000, AGAIN_MS = 50 };

static const int64_t ttl_max_s = 9000000000;

static int64_t least_ttl_s(const struct server *s)
{
	return (s->options->election_ms * 3 / 2 + 999) / 1000;
}

static void on_grant(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	struct request *q = request_new(call, COMMAND_LEASE_GRANT);
	q->message =
	    message_decode(&etcdserverpb__lease_grant_request__descriptor, message, &q->arena);
	Etcdserverpb__LeaseGrantRequest *g = (void *)q->message;
	int r = !g ? OUTCOME_BAD_MESSAGE
	           : (g->ttl > ttl_max_s ? OUTCOME_LEASE_TTL_TOO_LARGE : quota_check(s, 0));
	if (!r)
		r = request_identify(s, q);
	if (r) {
		request_fail(q, r);
		return;
	}
	while (!g->id)
		g->id = (int64_t)(server_random(s) & INT64_MAX);
	g->ttl = MAX(g->ttl, least_ttl_s(s));
	request_pack_command(q);
	node_propose(s->node, q);
}

static void on_revoke(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	struct request *q = request_new(call, COMMAND_LEASE_REVOKE);
	q->message =
	    message_decode(&etcdserverpb__lease_revoke_request__descriptor, message, &q->arena);
	int r = q->message ? request_identify(s, q) : OUTCOME_BAD_MESSAGE;
	if (r) {
		request_fail(q, r);
		return;
	}
	request_pack_command(q);
	node_propose(s->node, q);
}

/* --- the leader's time --- */

/* A question on its way to the leader, which may be this member. */
struct question {
	struct server *server;
	int64_t id;
	bool with_keys;
	uint64_t started_ms;
	struct loop_timer timer;
	/* One of the two: keep alive, or time to live. */
	struct keep_alive *keeper;
	struct rpc_call *call;
};

static void ask(void *arg);
static void question_end(struct question *q, int outcome, struct slice answer);

static void on_result(void *arg, int result, struct slice answer)
{
	struct question *q = arg;
	struct server *s = q->server;
	uint64_t waited_ms = loop_now_ms(s->loop) - q->started_ms;
	bool again = result == OUTCOME_NOT_LEADER || result == OUTCOME_NO_LEADER ||
	             (result < 0 && result != -ERR_CANCELLED);
	if (!again || s->stopping)
		question_end(q, again || result == -ERR_CANCELLED ? OUTCOME_STOPPED : result,
		             answer);
	else if (waited_ms > server_timeout_ms(s))
		question_end(q, OUTCOME_TIMEOUT, SLICE_EMPTY);
	else
		loop_timer_start(&q->timer, AGAIN_MS);
}

static void on_renewed(void *arg, int outcome, int64_t granted_s)
{
	uint8_t b[8];
	put_be64(b, (uint64_t)granted_s);
	on_result(arg, outcome, slice_of(b, sizeof(b)));
}

static void ask_other(struct question *q)
{
	uint8_t body[16];
	struct server *s = q->server;
	put_be64(body, (uint64_t)q->id);
	put_be64(body + 8, q->with_keys);
	peers_ask(s->peers, s->leader, q->keeper ? ASK_LEASE_RENEW : ASK_LEASE_LEFT,
	          slice_of(body, sizeof(body)), ASK_MS, on_result, q);
}

static void ask(void *arg)
{
	struct question *q = arg;
	struct server *s = q->server;
	if (!s->leader)
		on_result(q, OUTCOME_NO_LEADER, SLICE_EMPTY);
	else if (!node_is_leader(s->node))
		ask_other(q);
	else if (q->keeper)
		lessor_renew(s, q->id, on_renewed, q);
	else
		lessor_left(s, q->id, q->with_keys, on_result, q);
}

static struct question *question_new(struct server *s, int64_t id)
{
	struct question *q = calloc(1, sizeof(*q));
	if (!q)
		abort();
	*q = (struct question){.server = s, .id = id, .started_ms = loop_now_ms(s->loop)};
	loop_timer_init(&q->timer, s->loop, ask, q);
	return q;
}

/* --- keep alive --- */

struct keep_alive {
	struct server *server;
	struct rpc_call *call;
	bool ended, half_closed, closed;
	unsigned questions;
};

static void keep_alive_settle(struct keep_alive *k)
{
	if (k->questions)
		return;
	if (!k->ended && (k->half_closed || k->closed)) {
		k->ended = true;
		rpc_call_finish(k->call);
	}
	if (k->closed)
		free(k);
}

static void keep_alive_fail(struct keep_alive *k, int outcome)
{
	if (!k->ended)
		call_fail(k->call, outcome);
	k->ended = true;
}

static void keep_alive_answer(struct keep_alive *k, const struct question *q, int outcome,
                              struct slice answer)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	if (outcome || answer.len != 8) {
		keep_alive_fail(k, outcome ? outcome : OUTCOME_STORAGE_FAILED);
	} else if (!k->ended) {
		out_header(&b, k->server, k->server->revision);
		out_number(&b, 2, q->id);
		out_number(&b, 3, (int64_t)get_be64(answer.data));
		/* As many answers as questions. */
		ERR_IGNORE(rpc_call_send(k->call, buf_view(&b)));
	}
	k->questions--;
	keep_alive_settle(k);
}

static void keep_alive_message(struct rpc_call *call, struct slice message, void *data)
{
	struct keep_alive *k = data;
	if (k->ended)
		return;
	_cleanup_arena_ struct arena arena;
	arena_init(&arena);
	const Etcdserverpb__LeaseKeepAliveRequest *m = (const void *)message_decode(
	    &etcdserverpb__lease_keep_alive_request__descriptor, message, &arena);
	int outcome = m ? auth_check_call(k->server, call, AUTH_KNOWN) : OUTCOME_BAD_MESSAGE;
	if (outcome) {
		keep_alive_fail(k, outcome);
		return;
	}
	struct question *q = question_new(k->server, m->id);
	q->keeper = k;
	k->questions++;
	ask(q);
}

static void keep_alive_half_close(struct rpc_call *call, void *data)
{
	struct keep_alive *k = data;
	k->half_closed = true;
	keep_alive_settle(k);
}

static void keep_alive_closed(struct rpc_call *call, bool cancelled, void *data)
{
	struct keep_alive *k = data;
	k->closed = true;
	keep_alive_settle(k);
}

static const struct rpc_call_ops keep_alive_ops = {
    .on_message = keep_alive_message,
    .on_half_close = keep_alive_half_close,
    .on_closed = keep_alive_closed,
};

static void on_keep_alive(struct rpc_call *call, struct slice message, void *arg)
{
	struct keep_alive *k = calloc(1, sizeof(*k));
	if (!k)
		abort();
	k->server = arg;
	k->call = call;
	rpc_call_set_ops(call, &keep_alive_ops, k);
}

/* --- time to live --- */

static void time_to_live_answer(const struct question *q, int outcome, struct slice answer)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	if (outcome || answer.len < 16) {
		call_fail(q->call, outcome ? outcome : OUTCOME_STORAGE_FAILED);
		return;
	}
	out_header(&b, q->server, q->server->revision);
	out_number(&b, 2, q->id);
	out_number(&b, 3, (int64_t)get_be64(answer.data + 8));
	out_number(&b, 4, (int64_t)get_be64(answer.data));
	buf_slice(&b, slice_skip(answer, 16));
	rpc_call_reply(q->call, buf_view(&b));
}

static void question_end(struct question *q, int outcome, struct slice answer)
{
	loop_timer_stop(&q->timer);
	if (q->keeper)
		keep_alive_answer(q->keeper, q, outcome, answer);
	else
		time_to_live_answer(q, outcome, answer);
	free(q);
}

static void on_time_to_live(struct rpc_call *call, struct slice message, void *arg)
{
	_cleanup_arena_ struct arena arena;
	arena_init(&arena);
	const Etcdserverpb__LeaseTimeToLiveRequest *m = (const void *)message_decode(
	    &etcdserverpb__lease_time_to_live_request__descriptor, message, &arena);
	int outcome =
	    m ? auth_check_read_lease(arg, call, m->keys ? m->id : 0) : OUTCOME_BAD_MESSAGE;
	if (outcome) {
		call_fail(call, outcome);
		return;
	}
	struct question *q = question_new(arg, m->id);
	q->call = call;
	q->with_keys = m->keys;
	ask(q);
}

/* --- all of them --- */

static int add_lease(void *arg, const struct lease *l)
{
	size_t at = out_begin(arg, 2);
	out_number(arg, 1, l->id);
	out_end(arg, at);
	return 0;
}

static void on_leases(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	struct kv_txn *kv;
	if (auth_refuses(s, call, AUTH_KNOWN))
		return;
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = store_begin(s->store, false, &kv);
	if (!r) {
		out_header(&b, s, s->revision);
		r = lease_each(kv, add_lease, &b);
		store_end(kv);
	}
	if (r)
		call_fail(call, r);
	else
		rpc_call_reply(call, buf_view(&b));
}

void lease_service_add(struct server *s)
{
	const struct rpc_method methods[] = {
	    {"/etcdserverpb.Lease/LeaseGrant", RPC_UNARY, on_grant, s, NULL},
	    {"/etcdserverpb.Lease/LeaseRevoke", RPC_UNARY, on_revoke, s, NULL},
	    {"/etcdserverpb.Lease/LeaseKeepAlive", RPC_STREAM, on_keep_alive, s, s->loop},
	    {"/etcdserverpb.Lease/LeaseTimeToLive", RPC_UNARY, on_time_to_live, s, s->loop},
	    {"/etcdserverpb.Lease/LeaseLeases", RPC_UNARY, on_leases, s, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		service_add(s, &methods[i]);
}
