/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The tables as etcd keeps them in its database: buckets in order of their names, each with its
 * pairs in order of their keys. Snapshots and Maintenance.Hash are made of it.
 *
 *   alarm            AlarmMember -> nothing
 *   auth, authRoles, authUsers    as auth.h has them
 *   cluster          nothing: the version is agreed upon again after a restore
 *   key              revision -> mvccpb.KeyValue (mvcc/etcd_form.h)
 *   lease            id(8) -> leasepb.Lease
 *   members          id in hexadecimal -> JSON
 *   members_removed  id in hexadecimal -> "removed"
 *   meta             confState, consistent_index, finishedCompactRev, scheduledCompactRev, term */
#include "raftstore/mvcc/kv.h"

struct etcd_sink {
	int (*bucket)(void *arg, const char *name); /* ends the one before */
	int (*pair)(void *arg, struct slice key, struct slice value);
	void *arg;
};

/* Ends with what the sink returned when that is not 0. */
_must_use_ int etcd_export(struct kv_txn *kv, const struct etcd_sink *sink);
/* The same as a bbolt database, into an empty file that is open for reading and writing. */
_must_use_ int etcd_export_file(struct kv_txn *kv, int fd, uint64_t *ret_bytes, struct err *err);
/* CRC-32C over names, keys and values, without what differs between members (consistent_index,
 * term, confState): Maintenance.Hash. */
_must_use_ int etcd_hash(struct kv_txn *kv, uint32_t *ret);
