/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/vec.h"
#include "raftstore/mvcc/txn.h"

int check_range(const Etcdserverpb__RangeRequest *r)
{
	if (!r->key.len)
		return OUTCOME_EMPTY_KEY;
	if ((unsigned)r->sort_order > ORDER_DESCEND || (unsigned)r->sort_target > TARGET_VALUE)
		return OUTCOME_INVALID_SORT;
	return 0;
}

int check_put(const Etcdserverpb__PutRequest *r)
{
	if (!r->key.len)
		return OUTCOME_EMPTY_KEY;
	if (r->ignore_value && r->value.len)
		return OUTCOME_VALUE_PROVIDED;
	if (r->ignore_lease && r->lease)
		return OUTCOME_LEASE_PROVIDED;
	return 0;
}

int check_delete(const Etcdserverpb__DeleteRangeRequest *r)
{
	return r->key.len ? 0 : OUTCOME_EMPTY_KEY;
}

static int check_ops(Etcdserverpb__RequestOp **ops, size_t n, size_t max_ops, unsigned depth);

static int check_form(const Etcdserverpb__TxnRequest *t, size_t max_ops, unsigned depth)
{
	if (depth > TXN_DEPTH_MAX || t->n_compare > max_ops || t->n_success > max_ops ||
	    t->n_failure > max_ops)
		return OUTCOME_TOO_MANY_OPS;
	for (size_t i = 0; i < t->n_compare; i++) {
		if (!t->compare[i]->key.len)
			return OUTCOME_EMPTY_KEY;
	}
	/* What is used up here is missing below. */
	max_ops -= MAX(MAX(t->n_compare, t->n_success), t->n_failure);
	int r = check_ops(t->success, t->n_success, max_ops, depth);
	return r ? r : check_ops(t->failure, t->n_failure, max_ops, depth);
}

static int check_ops(Etcdserverpb__RequestOp **ops, size_t n, size_t max_ops, unsigned depth)
{
	for (size_t i = 0; i < n; i++) {
		int r;
		switch (ops[i]->request_case) {
		case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
			r = check_range(ops[i]->request_range);
			break;
		case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
			r = check_put(ops[i]->request_put);
			break;
		case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
			r = check_delete(ops[i]->request_delete_range);
			break;
		case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN:
			r = check_form(ops[i]->request_txn, max_ops, depth + 1);
			break;
		default:
			r = OUTCOME_KEY_NOT_FOUND;
		}
		if (r)
			return r;
	}
	return 0;
}

/* What one branch changes: exact keys put, and ranges deleted. Each step into a nested transaction
 * has two alternatives, which may not conflict with the rest but may with each other. */
struct changes {
	VEC(struct slice) puts;
	VEC(struct key_range) deletes;
};

static void changes_deinit(struct changes *c)
{
	vec_deinit(&c->puts);
	vec_deinit(&c->deletes);
}

static int slice_order(const void *a, const void *b)
{
	return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

/* Is a put inside of the range? The puts are sorted. */
static bool puts_hit(const struct changes *c, const struct key_range *range)
{
	size_t from = 0, to = c->puts.n;
	while (from < to) {
		size_t mid = from + (to - from) / 2;
		if (slice_cmp(c->puts.at[mid], range->key) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return from < c->puts.n && key_range_has(range, c->puts.at[from]);
}

static bool deletes_hit(const struct changes *c, const struct slice key)
{
	VEC_FOREACH (&c->deletes, d) {
		if (key_range_has(d, key))
			return true;
	}
	return false;
}

/* Adds what `from` changes; it must not put what `to` puts or deletes, nor delete what it puts. */
static int changes_merge(struct changes *to, const struct changes *from)
{
	VEC_FOREACH (&from->puts, p) {
		struct key_range one = {.key = *p};
		if (puts_hit(to, &one) || deletes_hit(to, *p))
			return OUTCOME_DUPLICATE_KEY;
	}
	VEC_FOREACH (&from->deletes, d) {
		if (puts_hit(to, d))
			return OUTCOME_DUPLICATE_KEY;
		*vec_push(&to->deletes) = *d;
	}
	VEC_FOREACH (&from->puts, p)
		*vec_push(&to->puts) = *p;
	if (from->puts.n)
		qsort(to->puts.at, to->puts.n, sizeof(*to->puts.at), slice_order);
	return 0;
}

static int branch_changes(Etcdserverpb__RequestOp **ops, size_t n, struct changes *ret);

/* The two branches of a nested transaction exclude each other: each is merged with what stands
 * beside it, and what comes later meets both. */
static int nested_changes(const Etcdserverpb__TxnRequest *t, struct changes *beside,
                          struct changes *later)
{
	for (int i = 0; i < 2; i++) {
		struct changes c = {0};
		int r = i ? branch_changes(t->failure, t->n_failure, &c)
		          : branch_changes(t->success, t->n_success, &c);
		struct changes trial = {0};
		if (!r)
			r = changes_merge(&trial, beside);
		if (!r)
			r = changes_merge(&trial, &c);
		VEC_FOREACH (&c.puts, p)
			*vec_push(&later->puts) = *p;
		VEC_FOREACH (&c.deletes, d)
			*vec_push(&later->deletes) = *d;
		changes_deinit(&trial);
		changes_deinit(&c);
		if (r)
			return r;
	}
	return 0;
}

static int branch_changes(Etcdserverpb__RequestOp **ops, size_t n, struct changes *ret)
{
	int r = 0;
	for (size_t i = 0; !r && i < n; i++) {
		struct changes one = {0};
		switch (ops[i]->request_case) {
		case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
			*vec_push(&one.puts) = pb_slice(ops[i]->request_put->key);
			break;
		case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE: {
			const Etcdserverpb__DeleteRangeRequest *d = ops[i]->request_delete_range;
			*vec_push(&one.deletes) =
			    key_range_of(pb_slice(d->key), pb_slice(d->range_end));
			break;
		}
		case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN: {
			struct changes later = {0};
			r = nested_changes(ops[i]->request_txn, ret, &later);
			VEC_FOREACH (&later.puts, p)
				*vec_push(&ret->puts) = *p;
			VEC_FOREACH (&later.deletes, d)
				*vec_push(&ret->deletes) = *d;
			changes_deinit(&later);
			if (ret->puts.n)
				qsort(ret->puts.at, ret->puts.n, sizeof(*ret->puts.at),
				      slice_order);
			break;
		}
		default:
			break;
		}
		if (!r)
			r = changes_merge(ret, &one);
		changes_deinit(&one);
	}
	return r;
}

int check_txn(const Etcdserverpb__TxnRequest *t, size_t max_ops)
{
	int r = check_form(t, max_ops, 0);
	for (int i = 0; !r && i < 2; i++) {
		struct changes c = {0};
		r = i ? branch_changes(t->failure, t->n_failure, &c)
		      : branch_changes(t->success, t->n_success, &c);
		changes_deinit(&c);
	}
	return r;
}
