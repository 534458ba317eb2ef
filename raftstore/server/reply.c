/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/reply.h"
#include "raftstore/mvcc/txn.h"
#include "raftstore/server/pb_out.h"

struct range_out {
	struct buf *b;
	struct range_budget *budget;
};

static int range_emit(void *arg, const struct record *rec)
{
	struct range_out *o = arg;
	if (o->budget) {
		o->budget->items--;
		o->budget->bytes -= (int64_t)(rec->key.len + rec->value.len);
		if (o->budget->items < 0 || o->budget->bytes < 0)
			return RANGE_TOO_LONG;
	}
	out_key_value(o->b, 2, rec);
	return 0;
}

int out_range(struct buf *b, struct mvcc *m, const Etcdserverpb__RangeRequest *q, struct arena *a,
              struct range_budget *budget)
{
	struct mvcc_range range;
	range_of(q, &range);
	range.visit_max = budget ? MAX(budget->visits, (int64_t)1) : 0;
	struct range_out o = {b, budget};
	struct mvcc_range_result found;
	int r = mvcc_range(m, &range, a, range_emit, &o, &found);
	if (r)
		return r == MVCC_TOO_MANY_KEYS ? RANGE_TOO_LONG : r;
	if (budget)
		budget->visits -= found.count;
	out_bool(b, 3, found.more);
	out_number(b, 4, found.count);
	return 0;
}
