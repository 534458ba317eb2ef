/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Leases as data: which there are, for how long, and which keys hang on them. When they expire is
 * decided outside (lease_heap.h) and comes back as a revocation. */
#include "raftstore/mvcc/mvcc.h"

struct lease {
	int64_t id;
	int64_t granted_s;
	int64_t remaining_s; /* at the last checkpoint; 0: all of it */
};

/* LEASE_NOT_FOUND. */
int lease_get(struct kv_txn *kv, int64_t id, struct lease *ret);
/* LEASE_EXISTS. */
int lease_grant(struct mvcc *m, int64_t id, int64_t granted_s);
/* Deletes its keys (part of the running transaction), then the lease. LEASE_NOT_FOUND. */
int lease_revoke(struct mvcc *m, int64_t id, struct arena *a);
/* LEASE_NOT_FOUND. */
int lease_checkpoint(struct mvcc *m, int64_t id, int64_t remaining_s);
int lease_attach(struct mvcc *m, int64_t id, struct slice key);
int lease_detach(struct mvcc *m, int64_t id, struct slice key);

/* In order of id, or of key; ends with what `each` returns when that is not 0. */
int lease_each(struct kv_txn *kv, int (*each)(void *arg, const struct lease *l), void *arg);
int lease_each_key(struct kv_txn *kv, int64_t id, int (*each)(void *arg, struct slice key),
                   void *arg);
