/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Looks at all tables and says what does not fit together: histories of keys, the index, leases and
 * their keys, what compaction has left. Only gets, and cursors that go forward. */
#include "raftstore/mvcc/mvcc.h"

struct mvcc_verify {
	void (*problem)(void *arg, const char *text);
	void *arg;
	/* Results. */
	uint64_t problems;
	int64_t revision, compacted;
	uint64_t changes, keys, live_keys, leases, lease_keys;
	uint64_t
	    orphans; /* keys that name a lease which is not there: no problem, etcd may do so */
};

/* 0 whatever is found; -ERR_x: the tables cannot be read. */
int mvcc_verify(struct kv_txn *kv, struct mvcc_verify *v);
