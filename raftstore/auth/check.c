/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/auth/auth.h"
#include "raftstore/mvcc/lease.h"
#include "raftstore/mvcc/txn.h"

int auth_check_keys(const struct auth_view *v, const struct identity *who, enum auth_right right,
                    struct slice key, struct slice range_end)
{
	if (!auth_enabled(v) || who->system)
		return 0;
	if (!who->revision)
		return OUTCOME_USER_EMPTY;
	if (who->revision < auth_revision(v))
		return OUTCOME_AUTH_OLD_REVISION;
	const struct auth_user *u = auth_find_user(v, who->user);
	if (!u)
		return OUTCOME_PERMISSION_DENIED;
	struct key_range keys = key_range_of(key, range_end);
	if (u->root || perms_cover(right == AUTH_READ ? &u->read : &u->write, &keys))
		return 0;
	return OUTCOME_PERMISSION_DENIED;
}

int auth_check_known(const struct auth_view *v, const struct identity *who)
{
	if (!auth_enabled(v) || who->system)
		return 0;
	if (!who->user.len)
		return OUTCOME_USER_EMPTY;
	return auth_find_user(v, who->user) ? 0 : OUTCOME_PERMISSION_DENIED;
}

int auth_check_admin(const struct auth_view *v, const struct identity *who)
{
	int r = auth_check_known(v, who);
	if (r || !auth_enabled(v) || who->system)
		return r;
	return auth_find_user(v, who->user)->root ? 0 : OUTCOME_PERMISSION_DENIED;
}

int auth_check_range(const struct auth_view *v, const struct identity *who,
                     const Etcdserverpb__RangeRequest *q)
{
	return auth_check_keys(v, who, AUTH_READ, pb_slice(q->key), pb_slice(q->range_end));
}

struct lease_run {
	const struct auth_view *view;
	const struct identity *who;
	enum auth_right right;
};

static int lease_key(void *arg, struct slice key)
{
	const struct lease_run *run = arg;
	return auth_check_keys(run->view, run->who, run->right, key, SLICE_EMPTY);
}

int auth_check_lease(const struct auth_view *v, const struct identity *who, struct kv_txn *kv,
                     enum auth_right right, int64_t lease)
{
	if (!lease || !auth_check_admin(v, who))
		return 0;
	struct lease_run run = {v, who, right};
	return lease_each_key(kv, lease, lease_key, &run);
}

int auth_check_put(const struct auth_view *v, const struct identity *who, struct kv_txn *kv,
                   const Etcdserverpb__PutRequest *q)
{
	struct slice key = pb_slice(q->key);
	int r = auth_check_keys(v, who, AUTH_WRITE, key, SLICE_EMPTY);
	if (!r)
		r = auth_check_lease(v, who, kv, AUTH_WRITE, q->lease);
	if (!r && q->prev_kv)
		r = auth_check_keys(v, who, AUTH_READ, key, SLICE_EMPTY);
	return r;
}

int auth_check_delete(const struct auth_view *v, const struct identity *who,
                      const Etcdserverpb__DeleteRangeRequest *q)
{
	struct slice key = pb_slice(q->key), end = pb_slice(q->range_end);
	int r = auth_check_keys(v, who, AUTH_WRITE, key, end);
	if (!r && q->prev_kv)
		r = auth_check_keys(v, who, AUTH_READ, key, end);
	return r;
}

static int check_op(const struct auth_view *v, const struct identity *who, struct kv_txn *kv,
                    const Etcdserverpb__RequestOp *op)
{
	switch (op->request_case) {
	case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
		return auth_check_range(v, who, op->request_range);
	case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
		return auth_check_put(v, who, kv, op->request_put);
	case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
		return auth_check_delete(v, who, op->request_delete_range);
	case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN:
		return auth_check_txn(v, who, kv, op->request_txn);
	default:
		return 0;
	}
}

/* Both branches and all comparisons: which branch is taken tells something of the keys as well. */
int auth_check_txn(const struct auth_view *v, const struct identity *who, struct kv_txn *kv,
                   const Etcdserverpb__TxnRequest *q)
{
	int r = 0;
	for (size_t i = 0; !r && i < q->n_compare; i++)
		r = auth_check_keys(v, who, AUTH_READ, pb_slice(q->compare[i]->key),
		                    pb_slice(q->compare[i]->range_end));
	for (size_t i = 0; !r && i < q->n_success; i++)
		r = check_op(v, who, kv, q->success[i]);
	for (size_t i = 0; !r && i < q->n_failure; i++)
		r = check_op(v, who, kv, q->failure[i]);
	return r;
}
