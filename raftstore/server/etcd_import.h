/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Fills a new store from a database of etcd's (see etcd_export.h): keys with their history, leases,
 * users and roles, alarms. Who is a member is not taken over: that is said by whoever restores. */
#include "raftstore/bbolt/reader.h"
#include "raftstore/store/store.h"

struct etcd_import {
	const struct bbolt *from;
	int64_t bump_revision; /* added to the present revision: watchers see none twice */
	bool mark_compacted;   /* everything up to the new revision */
	/* Results. */
	int64_t revision, compacted;
	uint64_t changes, leases;
};

/* Commits now and then, so that a store that it fails in is to be thrown away. */
_must_use_ int etcd_import(struct etcd_import *x, struct store *to, struct err *err);
