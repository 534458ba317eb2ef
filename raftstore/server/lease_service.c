/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/rng.h"
#include "proto/etcd_rpc.pb-c.h"
#include "raftstore/mvcc/lease.h"
#include "raftstore/server/auth.h"
#include "raftstore/server/lessor.h"
#include "raftstore/server/node.h"
#include "raftstore/server/pb_out.h"
#include "raftstore/server/quota.h"

/* Lease: grants and revocations go through the log from the queue's thread; what asks for time left
 * runs on the loop, which owns it. */

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
	while (!g->id) {
		rng_system(&g->id, sizeof(g->id));
		g->id &= INT64_MAX;
	}
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

/* --- keep alive --- */

struct keep_alive {
	struct server *server;
	bool ended;
};

static void keep_alive_message(struct rpc_call *call, struct slice message, void *data)
{
	struct keep_alive *k = data;
	struct server *s = k->server;
	if (k->ended)
		return;
	struct arena arena;
	arena_init(&arena);
	const Etcdserverpb__LeaseKeepAliveRequest *q = (const void *)message_decode(
	    &etcdserverpb__lease_keep_alive_request__descriptor, message, &arena);
	int denied = auth_check_call(s, call, AUTH_KNOWN);
	int outcome = !q                         ? OUTCOME_BAD_MESSAGE
	              : denied                   ? denied
	              : !node_is_leader(s->node) ? OUTCOME_NOT_LEADER
	                                         : 0;
	if (!outcome) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		out_header(&b, s, s->revision);
		out_number(&b, 2, q->id);
		out_number(&b, 3, lessor_renew(s, q->id));
		ERR_IGNORE(rpc_call_send(call, buf_view(&b))); /* as many answers as questions */
	} else {
		k->ended = true;
		call_fail(call, outcome);
	}
	arena_deinit(&arena);
}

static void keep_alive_half_close(struct rpc_call *call, void *data)
{
	struct keep_alive *k = data;
	if (!k->ended)
		rpc_call_finish(call);
	k->ended = true;
}

static void keep_alive_closed(struct rpc_call *call, bool cancelled, void *data)
{
	keep_alive_half_close(call, data);
	free(data);
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
	rpc_call_set_ops(call, &keep_alive_ops, k);
}

/* --- questions --- */

static int add_key(void *arg, struct slice key)
{
	out_bytes_always(arg, 5, key);
	return 0;
}

static int add_lease(void *arg, const struct lease *l)
{
	size_t at = out_begin(arg, 2);
	out_number(arg, 1, l->id);
	out_end(arg, at);
	return 0;
}

static int out_lease_keys(struct server *s, int64_t id, struct buf *b)
{
	struct kv_txn *kv;
	int r = store_begin(s->store, false, &kv);
	if (r)
		return r;
	r = lease_each_key(kv, id, add_key, b);
	store_end(kv);
	return r;
}

static void on_time_to_live(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	struct arena arena;
	arena_init(&arena);
	const Etcdserverpb__LeaseTimeToLiveRequest *q = (const void *)message_decode(
	    &etcdserverpb__lease_time_to_live_request__descriptor, message, &arena);
	int r = !q ? OUTCOME_BAD_MESSAGE : auth_check_read_lease(s, call, q->keys ? q->id : 0);
	_cleanup_buf_ struct buf b = BUF_INIT;
	if (!r) {
		int64_t granted = 0, left = -1;
		bool there = lessor_left(s, q->id, &granted, &left);
		out_header(&b, s, s->revision);
		out_number(&b, 2, q->id);
		out_number(&b, 3, left);
		out_number(&b, 4, granted);
		if (there && q->keys)
			r = out_lease_keys(s, q->id, &b);
	}
	if (r)
		call_fail(call, r);
	else
		rpc_call_reply(call, buf_view(&b));
	arena_deinit(&arena);
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
		rpc_server_method(s->rpc, &methods[i]);
}
