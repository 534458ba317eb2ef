/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/log.h"
#include "raftstore/mvcc/txn.h"
#include "raftstore/server/auth.h"
#include "raftstore/server/node.h"
#include "raftstore/server/pb_out.h"
#include "raftstore/server/quota.h"
#include "raftstore/server/reply.h"
#include "raftstore/server/stats.h"
#include "raftstore/server/storage.h"

/* KV: writes are checked here and proposed; ranges are answered on the queue's thread, or, when
 * they turn out to be long, on the read worker. */

enum { QUICK_ITEMS = 1000, QUICK_BYTES = 1 << 20, QUICK_VISITS = 10000 };

void out_header(struct buf *b, const struct server *s, int64_t revision)
{
	size_t at = out_begin(b, 1);
	out_number(b, 1, (int64_t)s->cluster_id);
	out_number(b, 2, (int64_t)s->member_id);
	out_number(b, 3, revision);
	out_number(b, 4, (int64_t)s->term);
	out_end(b, at);
}

/* --- reading --- */

struct read_call {
	struct server *server;
	struct rpc_call *call;
	struct arena arena;
	const Etcdserverpb__RangeRequest *range;
	const Etcdserverpb__TxnRequest *txn;
	struct identity who; /* in the arena */
};

static void read_free(struct read_call *rc)
{
	arena_deinit(&rc->arena);
	free(rc);
}

static int read_txn(struct mvcc *m, const Etcdserverpb__TxnRequest *t, struct arena *a,
                    struct range_budget *budget, struct buf *out);

static int read_txn_ops(struct mvcc *m, Etcdserverpb__RequestOp **ops, size_t n, struct arena *a,
                        struct range_budget *budget, struct buf *out)
{
	for (size_t i = 0; i < n; i++) {
		bool nested = ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
		size_t response = out_begin(out, 3);
		size_t inner = out_begin(out, nested ? 4 : 1);
		size_t header = out_begin(out, 1);
		if (!nested)
			out_number(out, 3, m->revision);
		out_end(out, header);
		int r = nested ? read_txn(m, ops[i]->request_txn, a, budget, out)
		               : out_range(out, m, ops[i]->request_range, a, budget);
		if (r)
			return r;
		out_end(out, inner);
		out_end(out, response);
	}
	return 0;
}

/* A transaction that only reads needs no place in the log. */
static int read_txn(struct mvcc *m, const Etcdserverpb__TxnRequest *t, struct arena *a,
                    struct range_budget *budget, struct buf *out)
{
	bool holds;
	int r = txn_compare(m, t, a, &holds);
	if (r)
		return r;
	out_bool(out, 2, holds);
	return read_txn_ops(m, holds ? t->success : t->failure, holds ? t->n_success : t->n_failure,
	                    a, budget, out);
}

/* After the transaction has begun (auth.h). */
static int read_permitted(const struct read_call *rc, struct kv_txn *kv)
{
	if (!rc->server->auth_on)
		return 0;
	_cleanup_(auth_view_unref_p) struct auth_view *v = auth_now(rc->server);
	return rc->txn ? auth_check_txn(v, &rc->who, kv, rc->txn)
	               : auth_check_range(v, &rc->who, rc->range);
}

static int read_store(struct read_call *rc, struct range_budget *budget, struct buf *out)
{
	struct kv_txn *kv;
	int r = store_begin(rc->server->store, false, &kv);
	if (r)
		return r;
	_cleanup_mvcc_ struct mvcc m = {0};
	r = read_permitted(rc, kv);
	if (!r)
		r = mvcc_open(&m, kv);
	if (!r) {
		out_header(out, rc->server, m.revision);
		if (rc->txn)
			r = read_txn(&m, rc->txn, &rc->arena, budget, out);
		else
			r = out_range(out, &m, rc->range, &rc->arena, budget);
	}
	store_end(kv);
	return r;
}

static void read_answer(struct read_call *rc, int r, const struct buf *out)
{
	if (r)
		call_fail(rc->call, r);
	else
		rpc_call_reply(rc->call, buf_view(out));
	read_free(rc);
}

static void read_slowly(void *arg)
{
	struct read_call *rc = arg;
	_cleanup_buf_ struct buf out = BUF_INIT;
	int r = read_store(rc, NULL, &out);
	read_answer(rc, r, &out);
}

static void read_now(void *arg, int outcome)
{
	struct read_call *rc = arg;
	if (outcome) {
		read_answer(rc, outcome, NULL);
		return;
	}
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct range_budget budget = {QUICK_ITEMS, QUICK_BYTES, QUICK_VISITS};
	int r = read_store(rc, &budget, &out);
	if (r == RANGE_TOO_LONG) {
		worker_post(&rc->server->read_worker, read_slowly, rc);
		return;
	}
	read_answer(rc, r, &out);
}

static struct read_call *read_new(struct server *s, struct rpc_call *call)
{
	struct read_call *rc = calloc(1, sizeof(*rc));
	if (!rc)
		abort();
	rc->server = s;
	rc->call = call;
	arena_init(&rc->arena);
	return rc;
}

static void on_range(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	stats_range(s->stats);
	struct read_call *rc = read_new(s, call);
	rc->range = (const void *)message_decode(&etcdserverpb__range_request__descriptor, message,
	                                         &rc->arena);
	int r = rc->range ? check_range(rc->range) : OUTCOME_BAD_MESSAGE;
	if (!r)
		r = auth_identify(s, call, &rc->arena, &rc->who);
	if (!r && s->learner && !rc->range->serializable)
		r = OUTCOME_NOT_FOR_LEARNER;
	if (r)
		read_answer(rc, r, NULL);
	else if (rc->range->serializable)
		read_now(rc, 0);
	else
		node_read(s->node, read_now, rc);
}

/* --- writing --- */

static struct request *write_new(struct server *s, struct rpc_call *call, struct slice message,
                                 enum command_kind kind, const ProtobufCMessageDescriptor *desc)
{
	if (message.len > (size_t)s->options->max_request_bytes) {
		call_fail(call, OUTCOME_TOO_LARGE);
		return NULL;
	}
	struct request *q = request_new(call, kind);
	q->message = message_decode(desc, message, &q->arena);
	if (!q->message) {
		request_fail(q, OUTCOME_BAD_MESSAGE);
		return NULL;
	}
	int r = request_identify(s, q);
	if (r) {
		request_fail(q, r);
		return NULL;
	}
	request_set_command(q, message);
	return q;
}

static void propose_checked(struct server *s, struct request *q, int r)
{
	if (r)
		request_fail(q, r);
	else
		node_propose(s->node, q);
}

static void on_put(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	stats_put(s->stats);
	struct request *q =
	    write_new(s, call, message, COMMAND_PUT, &etcdserverpb__put_request__descriptor);
	if (!q)
		return;
	int r = check_put((const void *)q->message);
	propose_checked(s, q, r ? r : quota_check(s, message.len));
}

static void on_delete(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	struct request *q = write_new(s, call, message, COMMAND_DELETE,
	                              &etcdserverpb__delete_range_request__descriptor);
	if (q)
		propose_checked(s, q, check_delete((const void *)q->message));
}

static bool ops_write(Etcdserverpb__RequestOp *const *ops, size_t n, bool puts_only);

static bool txn_writes(const Etcdserverpb__TxnRequest *t, bool puts_only)
{
	return ops_write(t->success, t->n_success, puts_only) ||
	       ops_write(t->failure, t->n_failure, puts_only);
}

static bool ops_write(Etcdserverpb__RequestOp *const *ops, size_t n, bool puts_only)
{
	for (size_t i = 0; i < n; i++) {
		switch (ops[i]->request_case) {
		case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
			return true;
		case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
			if (!puts_only)
				return true;
			break;
		case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN:
			if (txn_writes(ops[i]->request_txn, puts_only))
				return true;
			break;
		default:
			break;
		}
	}
	return false;
}

static void on_txn(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	struct request *q =
	    write_new(s, call, message, COMMAND_TXN, &etcdserverpb__txn_request__descriptor);
	if (!q)
		return;
	const Etcdserverpb__TxnRequest *t = (const void *)q->message;
	int r = check_txn(t, (size_t)s->options->max_txn_ops);
	if (!r && !txn_writes(t, false)) {
		struct read_call *rc = read_new(s, call);
		arena_deinit(&rc->arena);
		rc->arena = q->arena;
		arena_init(&q->arena);
		rc->txn = t;
		rc->who = q->who;
		q->call = NULL;
		request_free(q);
		node_read(s->node, read_now, rc);
		return;
	}
	if (!r && txn_writes(t, true))
		r = quota_check(s, message.len);
	propose_checked(s, q, r);
}

static void on_compact(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	struct request *q = write_new(s, call, message, COMMAND_COMPACT,
	                              &etcdserverpb__compaction_request__descriptor);
	if (!q)
		return;
	const Etcdserverpb__CompactionRequest *c = (const void *)q->message;
	if (c->physical)
		q->wait_compacted = c->revision;
	node_propose(s->node, q);
}

void kv_service_add(struct server *s)
{
	const struct rpc_method methods[] = {
	    {"/etcdserverpb.KV/Range", RPC_UNARY, on_range, s, NULL},
	    {"/etcdserverpb.KV/Put", RPC_UNARY, on_put, s, NULL},
	    {"/etcdserverpb.KV/DeleteRange", RPC_UNARY, on_delete, s, NULL},
	    {"/etcdserverpb.KV/Txn", RPC_UNARY, on_txn, s, NULL},
	    {"/etcdserverpb.KV/Compact", RPC_UNARY, on_compact, s, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		service_add(s, &methods[i]);
}
