/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/clock.h"
#include "raftstore/server/auth.h"
#include "raftstore/server/members.h"
#include "raftstore/server/node.h"
#include "raftstore/server/pb_out.h"
#include "raftstore/server/server.h"

/* Cluster: who takes part. Changes go to the loop, and from there to the leader; lists come out of
 * the store. */

struct call {
	struct server *server;
	struct rpc_call *call;
	struct arena arena;
	enum member_op op;
	Etcdserverpb__Member *member;
};

static struct call *call_new(struct server *s, struct rpc_call *rpc, enum member_op op)
{
	struct call *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->server = s;
	c->call = rpc;
	c->op = op;
	arena_init(&c->arena);
	c->member = arena_new(&c->arena, Etcdserverpb__Member);
	etcdserverpb__member__init(c->member);
	return c;
}

static void call_free(struct call *c)
{
	arena_deinit(&c->arena);
	free(c);
}

static int out_list(struct server *s, struct buf *b, unsigned field)
{
	struct kv_txn *kv;
	int r = store_begin(s->store, false, &kv);
	if (r)
		return r;
	_cleanup_members_ struct members m;
	members_init(&m);
	r = members_read(kv, &m);
	store_end(kv);
	out_members(b, field, &m);
	return r;
}

static void answer(struct call *c, int outcome)
{
	bool adds = c->op == MEMBER_ADD;
	_cleanup_buf_ struct buf b = BUF_INIT;
	out_header(&b, c->server, c->server->revision);
	if (adds)
		out_member(&b, 2, c->member);
	if (!outcome)
		outcome = out_list(c->server, &b, adds ? 3 : 2);
	if (outcome)
		call_fail(c->call, outcome);
	else
		rpc_call_reply(c->call, buf_view(&b));
	call_free(c);
}

static void refuse(struct call *c, int outcome)
{
	call_fail(c->call, outcome);
	call_free(c);
}

static void on_changed(void *arg, int outcome)
{
	answer(arg, outcome);
}

static void change(struct call *c)
{
	node_change_members(c->server->node, &(struct member_change){c->op, c->member}, on_changed,
	                    c);
}

static bool urls_valid(char *const *urls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!peer_url_valid(urls[i]))
			return false;
	}
	return n > 0;
}

static void on_add(struct rpc_call *rpc, struct slice message, void *arg)
{
	struct server *s = arg;
	if (auth_refuses(s, rpc, AUTH_ADMIN))
		return;
	struct call *c = call_new(s, rpc, MEMBER_ADD);
	const Etcdserverpb__MemberAddRequest *q = (const void *)message_decode(
	    &etcdserverpb__member_add_request__descriptor, message, &c->arena);
	if (!q || !urls_valid(q->peerurls, q->n_peerurls)) {
		refuse(c, q ? OUTCOME_MEMBER_BAD_URLS : OUTCOME_BAD_MESSAGE);
		return;
	}
	c->member->peerurls = q->peerurls;
	c->member->n_peerurls = q->n_peerurls;
	c->member->islearner = q->islearner;
	c->member->id = member_id_of(q->peerurls, q->n_peerurls, s->options->initial_cluster_token,
	                             clock_real_ns() / 1000000000);
	change(c);
}

static void on_remove(struct rpc_call *rpc, struct slice message, void *arg)
{
	if (auth_refuses(arg, rpc, AUTH_ADMIN))
		return;
	struct call *c = call_new(arg, rpc, MEMBER_REMOVE);
	const Etcdserverpb__MemberRemoveRequest *q = (const void *)message_decode(
	    &etcdserverpb__member_remove_request__descriptor, message, &c->arena);
	if (!q || !q->id) {
		refuse(c, q ? OUTCOME_MEMBER_NOT_FOUND : OUTCOME_BAD_MESSAGE);
		return;
	}
	c->member->id = q->id;
	change(c);
}

static void on_promote(struct rpc_call *rpc, struct slice message, void *arg)
{
	if (auth_refuses(arg, rpc, AUTH_ADMIN))
		return;
	struct call *c = call_new(arg, rpc, MEMBER_PROMOTE);
	const Etcdserverpb__MemberPromoteRequest *q = (const void *)message_decode(
	    &etcdserverpb__member_promote_request__descriptor, message, &c->arena);
	if (!q || !q->id) {
		refuse(c, q ? OUTCOME_MEMBER_NOT_FOUND : OUTCOME_BAD_MESSAGE);
		return;
	}
	c->member->id = q->id;
	change(c);
}

/* Where a member is reached is an ordinary command. */
static void on_update(struct rpc_call *rpc, struct slice message, void *arg)
{
	struct server *s = arg;
	if (auth_refuses(s, rpc, AUTH_ADMIN))
		return;
	struct request *q = request_new(rpc, COMMAND_MEMBER_UPDATE);
	q->message =
	    message_decode(&etcdserverpb__member_update_request__descriptor, message, &q->arena);
	const Etcdserverpb__MemberUpdateRequest *m = (const void *)q->message;
	int r = !m                                        ? OUTCOME_BAD_MESSAGE
	        : !urls_valid(m->peerurls, m->n_peerurls) ? OUTCOME_MEMBER_BAD_URLS
	                                                  : request_identify(s, q);
	if (r) {
		request_fail(q, r);
		return;
	}
	request_pack_command(q);
	node_propose(s->node, q);
}

static void on_list_read(void *arg, int outcome)
{
	answer(arg, outcome);
}

static void on_list(struct rpc_call *rpc, struct slice message, void *arg)
{
	struct server *s = arg;
	if (auth_refuses(s, rpc, AUTH_KNOWN))
		return;
	struct call *c = call_new(s, rpc, MEMBER_REMOVE);
	const Etcdserverpb__MemberListRequest *q = (const void *)message_decode(
	    &etcdserverpb__member_list_request__descriptor, message, &c->arena);
	if (!q)
		refuse(c, OUTCOME_BAD_MESSAGE);
	else if (q->linearizable)
		node_read(s->node, on_list_read, c);
	else
		answer(c, 0);
}

void cluster_service_add(struct server *s)
{
	const struct rpc_method methods[] = {
	    {"/etcdserverpb.Cluster/MemberList", RPC_UNARY, on_list, s, NULL},
	    {"/etcdserverpb.Cluster/MemberAdd", RPC_UNARY, on_add, s, s->loop},
	    {"/etcdserverpb.Cluster/MemberRemove", RPC_UNARY, on_remove, s, s->loop},
	    {"/etcdserverpb.Cluster/MemberUpdate", RPC_UNARY, on_update, s, NULL},
	    {"/etcdserverpb.Cluster/MemberPromote", RPC_UNARY, on_promote, s, s->loop},
	};
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		service_add(s, &methods[i]);
}
