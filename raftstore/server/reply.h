/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* RangeResponse without its header. */
#include "proto/etcd_rpc.pb-c.h"
#include "raftstore/mvcc/mvcc.h"

/* How much a range may take before it is given up; what is left is written back. */
struct range_budget {
	int64_t items, bytes, visits;
};

enum { RANGE_TOO_LONG = OUTCOMES + 1 };

/* 0, an outcome, -ERR_x, or RANGE_TOO_LONG when the budget (NULL: none) did not do. */
int out_range(struct buf *b, struct mvcc *m, const Etcdserverpb__RangeRequest *q, struct arena *a,
              struct range_budget *budget);
