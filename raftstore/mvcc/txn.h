/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Checks of requests before they enter the log, and the comparisons of a transaction. All return 0
 * or an enum outcome (or -ERR_x where tables are read). */
#include "proto/etcd_rpc.pb-c.h"
#include "raftstore/mvcc/mvcc.h"

static inline struct slice pb_slice(ProtobufCBinaryData b)
{
	return slice_of(b.data, b.len);
}

int check_range(const Etcdserverpb__RangeRequest *r);
int check_put(const Etcdserverpb__PutRequest *r);
int check_delete(const Etcdserverpb__DeleteRangeRequest *r);
/* Also: at most max_ops operations a list (and as many less in what is nested as the longest list
 * has), nesting of at most TXN_DEPTH_MAX, and no key that two
 * operations of one branch change. */
enum { TXN_DEPTH_MAX = 32 };
int check_txn(const Etcdserverpb__TxnRequest *r, size_t max_ops);

void range_of(const Etcdserverpb__RangeRequest *r, struct mvcc_range *ret);

/* Do all comparisons hold? */
int txn_compare(struct mvcc *m, const Etcdserverpb__TxnRequest *r, struct arena *a, bool *ret);
/* Which branches are taken, the transaction itself first, then nested ones in order. */
struct txn_path {
	bool *at;
	size_t n, cap, next;
};
/* Evaluates every comparison against the state before the transaction, and checks what can fail
 * in the branches taken: leases, ignored values of missing keys, revisions. */
int txn_plan(struct mvcc *m, const Etcdserverpb__TxnRequest *r, struct arena *a,
             struct txn_path *path);
/* What can fail in a put at present. */
int check_put_now(struct mvcc *m, const Etcdserverpb__PutRequest *r);
