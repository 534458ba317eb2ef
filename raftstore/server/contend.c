/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/contend.h"
#include "raftstore/mvcc/txn.h"
#include "raftstore/server/node.h"

/* Keys under NAME/ end before NAME0. */
struct key_range contend_keys(struct slice name, struct arena *a)
{
	uint8_t *key = arena_alloc(a, name.len + 1), *end = arena_alloc(a, name.len + 1);
	if (name.len) {
		memcpy(key, name.data, name.len);
		memcpy(end, name.data, name.len);
	}
	key[name.len] = '/';
	end[name.len] = '/' + 1;
	return key_range_of(slice_of(key, name.len + 1), slice_of(end, name.len + 1));
}

struct find_run {
	struct arena *arena;
	struct contend_found *ret;
	bool any;
};

static int find_emit(void *arg, const struct record *rec)
{
	struct find_run *run = arg;
	struct record *to = &run->ret->record;
	*to = *rec;
	to->key.data = arena_memdup(run->arena, rec->key.data, rec->key.len);
	to->value.data = arena_memdup(run->arena, rec->value.data, rec->value.len);
	run->any = true;
	return 0;
}

static int find_in(struct kv_txn *kv, struct key_range keys, int64_t before, struct arena *a,
                   struct contend_found *ret)
{
	_cleanup_mvcc_ struct mvcc m = {0};
	struct mvcc_range q = {
	    .keys = keys,
	    .limit = 1,
	    .order = before ? ORDER_DESCEND : ORDER_ASCEND,
	    .target = TARGET_CREATE,
	    .max_create = before ? before - 1 : 0,
	};
	struct find_run run = {.arena = a, .ret = ret};
	struct mvcc_range_result found;
	int r = mvcc_open(&m, kv);
	if (!r)
		r = mvcc_range(&m, &q, a, find_emit, &run, &found);
	ret->revision = m.revision;
	return r ? r : run.any ? 0 : OUTCOME_ELECTION_NO_LEADER;
}

int contend_find(struct server *s, const struct identity *who, struct slice name, int64_t before,
                 struct arena *a, struct contend_found *ret)
{
	struct kv_txn *kv;
	struct key_range keys = contend_keys(name, a);
	int r = store_begin(s->store, false, &kv);
	if (r)
		return r;
	if (s->auth_on) {
		_cleanup_(auth_view_unref_p) struct auth_view *v = auth_now(s);
		r = auth_check_keys(v, who, AUTH_READ, keys.key, keys.end);
	}
	if (!r)
		r = find_in(kv, keys, before, a, ret);
	store_end(kv);
	return r;
}

void contend_propose(struct server *s, const struct identity *who, enum command_kind kind,
                     const ProtobufCMessage *m,
                     void (*done)(void *arg, int outcome, struct slice answer), void *arg)
{
	struct request *q = request_new(NULL, kind);
	q->who = *who;
	q->who.user.data = arena_memdup(&q->arena, who->user.data, who->user.len);
	request_pack_message(q, m);
	q->done = done;
	q->done_arg = arg;
	node_propose(s->node, q);
}

static ProtobufCBinaryData data_of(struct slice s)
{
	return (ProtobufCBinaryData){s.len, (uint8_t *)s.data};
}

void contend_change(struct server *s, const struct identity *who, struct slice key, int64_t created,
                    const struct slice *value,
                    void (*done)(void *arg, int outcome, struct slice answer), void *arg)
{
	Etcdserverpb__TxnRequest t = ETCDSERVERPB__TXN_REQUEST__INIT;
	Etcdserverpb__Compare c = ETCDSERVERPB__COMPARE__INIT, *compare[] = {&c};
	Etcdserverpb__RequestOp op = ETCDSERVERPB__REQUEST_OP__INIT, *ops[] = {&op};
	Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
	Etcdserverpb__DeleteRangeRequest del = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
	c.key = put.key = del.key = data_of(key);
	c.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE;
	c.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION;
	c.create_revision = created;
	if (value) {
		put.value = data_of(*value);
		put.ignore_lease = true;
		op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
		op.request_put = &put;
	} else {
		op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
		op.request_delete_range = &del;
	}
	t.compare = compare;
	t.success = ops;
	t.n_compare = t.n_success = 1;
	contend_propose(s, who, COMMAND_TXN, &t.base, done, arg);
}

bool contend_changed(struct slice answer, int64_t *ret_revision)
{
	struct arena a;
	arena_init(&a);
	const Etcdserverpb__TxnResponse *t =
	    (const void *)message_decode(&etcdserverpb__txn_response__descriptor, answer, &a);
	bool changed = t && t->succeeded;
	*ret_revision = t && t->header ? t->header->revision : 0;
	arena_deinit(&a);
	return changed;
}
