/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/etcd_lock.pb-c.h"
#include "raftstore/mvcc/txn.h"
#include "raftstore/server/contend.h"
#include "raftstore/server/pb_out.h"

/* v3lockpb.Lock: a lock is held as long as its key is there. */

static void answer_lock(const struct contender *c, struct buf *out)
{
	out_bytes(out, 2, contender_key(c));
}

static void on_lock(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	struct arena a;
	arena_init(&a);
	const V3lockpb__LockRequest *q =
	    (const void *)message_decode(&v3lockpb__lock_request__descriptor, message, &a);
	if (q && message.len <= (size_t)s->options->max_request_bytes) {
		struct contend_options o = {
		    .name = pb_slice(q->name), .lease = q->lease, .answer = answer_lock};
		contend_start(s, call, &o);
	} else {
		call_fail(call, q ? OUTCOME_TOO_LARGE : OUTCOME_BAD_MESSAGE);
	}
	arena_deinit(&a);
}

struct unlock {
	struct server *server;
	struct rpc_call *call;
};

static void on_unlocked(void *arg, int outcome, struct slice answer)
{
	struct unlock *u = arg;
	_cleanup_buf_ struct buf b = BUF_INIT;
	if (outcome) {
		call_fail(u->call, outcome);
	} else {
		out_header(&b, u->server, u->server->revision);
		rpc_call_reply(u->call, buf_view(&b));
	}
	free(u);
}

static void on_unlock(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	struct arena a;
	struct identity who;
	arena_init(&a);
	const V3lockpb__UnlockRequest *q =
	    (const void *)message_decode(&v3lockpb__unlock_request__descriptor, message, &a);
	int r = !q            ? OUTCOME_BAD_MESSAGE
	        : !q->key.len ? OUTCOME_EMPTY_KEY
	        : message.len > (size_t)s->options->max_request_bytes
	            ? OUTCOME_TOO_LARGE
	            : auth_identify(s, call, &a, &who);
	if (r) {
		call_fail(call, r);
	} else {
		struct unlock *u = malloc(sizeof(*u));
		if (!u)
			abort();
		*u = (struct unlock){s, call};
		Etcdserverpb__DeleteRangeRequest del = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
		del.key = q->key;
		contend_propose(s, &who, COMMAND_DELETE, &del.base, on_unlocked, u);
	}
	arena_deinit(&a);
}

void lock_service_add(struct server *s)
{
	const struct rpc_method methods[] = {
	    {"/v3lockpb.Lock/Lock", RPC_UNARY, on_lock, s, s->loop},
	    {"/v3lockpb.Lock/Unlock", RPC_UNARY, on_unlock, s, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		service_add(s, &methods[i]);
}
