/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/mvcc/txn.h"
#include "raftstore/mvcc/lease.h"

void range_of(const Etcdserverpb__RangeRequest *r, struct mvcc_range *ret)
{
	*ret = (struct mvcc_range){
	    .keys = key_range_of(pb_slice(r->key), pb_slice(r->range_end)),
	    .limit = r->limit,
	    .revision = r->revision,
	    .order = (enum mvcc_order)r->sort_order,
	    .target = (enum mvcc_target)r->sort_target,
	    .keys_only = r->keys_only,
	    .count_only = r->count_only,
	    .min_mod = r->min_mod_revision,
	    .max_mod = r->max_mod_revision,
	    .min_create = r->min_create_revision,
	    .max_create = r->max_create_revision,
	};
	/* etcd cuts before it sorts when no order was asked for. */
	if (ret->target != TARGET_KEY && ret->order == ORDER_NONE) {
		ret->order = ORDER_ASCEND;
		ret->sort_limited = true;
	}
}

static bool compare_bytes(struct slice is, struct slice want, int how)
{
	int r = slice_cmp(is, want);
	switch (how) {
	case ETCDSERVERPB__COMPARE__COMPARE_RESULT__EQUAL:
		return r == 0;
	case ETCDSERVERPB__COMPARE__COMPARE_RESULT__NOT_EQUAL:
		return r != 0;
	case ETCDSERVERPB__COMPARE__COMPARE_RESULT__GREATER:
		return r > 0;
	case ETCDSERVERPB__COMPARE__COMPARE_RESULT__LESS:
		return r < 0;
	default:
		return true;
	}
}

static bool compare_numbers(int64_t is, int64_t want, int how)
{
	uint8_t a[8], b[8];
	put_be64(a, (uint64_t)is ^ (uint64_t)INT64_MIN);
	put_be64(b, (uint64_t)want ^ (uint64_t)INT64_MIN);
	return compare_bytes(slice_of(a, sizeof(a)), slice_of(b, sizeof(b)), how);
}

/* A target whose value the client left out is compared with zero. */
static bool compare_one(const Etcdserverpb__Compare *c, const struct record *rec)
{
	int given = c->target_union_case;
	switch (c->target) {
	case ETCDSERVERPB__COMPARE__COMPARE_TARGET__VERSION:
		return compare_numbers(
		    rec->version,
		    given == ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION ? c->version : 0,
		    c->result);
	case ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE:
		return compare_numbers(rec->create,
		                       given == ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION
		                           ? c->create_revision
		                           : 0,
		                       c->result);
	case ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD:
		return compare_numbers(
		    rec->rev.main,
		    given == ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION ? c->mod_revision : 0,
		    c->result);
	case ETCDSERVERPB__COMPARE__COMPARE_TARGET__LEASE:
		return compare_numbers(
		    rec->lease, given == ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE ? c->lease : 0,
		    c->result);
	case ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE:
		return compare_bytes(rec->value,
		                     given == ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE
		                         ? pb_slice(c->value)
		                         : SLICE_EMPTY,
		                     c->result);
	default:
		return true;
	}
}

struct compare_run {
	const Etcdserverpb__Compare *compare;
	bool any;
};

enum { COMPARE_FAILED = OUTCOMES + 1 };

static int compare_emit(void *arg, const struct record *rec)
{
	struct compare_run *run = arg;
	run->any = true;
	return compare_one(run->compare, rec) ? 0 : COMPARE_FAILED;
}

int txn_compare(struct mvcc *m, const Etcdserverpb__TxnRequest *t, struct arena *a, bool *ret)
{
	*ret = false;
	for (size_t i = 0; i < t->n_compare; i++) {
		const Etcdserverpb__Compare *c = t->compare[i];
		bool by_value = c->target == ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE;
		struct mvcc_range q = {
		    .keys = key_range_of(pb_slice(c->key), pb_slice(c->range_end)),
		    .keys_only = !by_value,
		};
		struct compare_run run = {.compare = c};
		struct mvcc_range_result found;
		int r = mvcc_range(m, &q, a, compare_emit, &run, &found);
		if (r == COMPARE_FAILED)
			return 0;
		if (r)
			return r;
		if (!run.any && (by_value || !compare_one(c, &(struct record){0})))
			return 0;
	}
	*ret = true;
	return 0;
}

int check_put_now(struct mvcc *m, const Etcdserverpb__PutRequest *p)
{
	if (p->ignore_value || p->ignore_lease) {
		struct record rec;
		int r = mvcc_get(m, pb_slice(p->key), &rec);
		if (r)
			return r == -ERR_NOT_FOUND ? OUTCOME_KEY_NOT_FOUND : r;
	}
	struct lease l;
	return p->lease ? lease_get(m->kv, p->lease, &l) : 0;
}

int txn_plan(struct mvcc *m, const Etcdserverpb__TxnRequest *t, struct arena *a,
             struct txn_path *path)
{
	bool holds;
	int r = txn_compare(m, t, a, &holds);
	if (path->n == path->cap) {
		size_t cap = MAX(path->cap * 2, (size_t)4);
		path->at = arena_grow(a, path->at, path->cap, cap);
		path->cap = cap;
	}
	path->at[path->n++] = holds;
	size_t n = holds ? t->n_success : t->n_failure;
	Etcdserverpb__RequestOp **ops = holds ? t->success : t->failure;
	for (size_t i = 0; !r && i < n; i++) {
		switch (ops[i]->request_case) {
		case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
			r = mvcc_check_revision(m, ops[i]->request_range->revision);
			break;
		case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
			r = check_put_now(m, ops[i]->request_put);
			break;
		case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN:
			r = txn_plan(m, ops[i]->request_txn, a, path);
			break;
		default:
			break;
		}
	}
	return r;
}
