/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Fills empty tables from a snapshot: leases first, then the changes in order of revisions, then
 * the end. Of a change only revision, key, value, lease, create and version are looked at. */
#include "raftstore/mvcc/mvcc.h"

struct lease;

int mvcc_restore_lease(struct mvcc *m, const struct lease *l);
/* The lease of a key need not exist: the key then hangs on nothing. -ERR_CORRUPT: no later revision
 * than the one before. */
int mvcc_restore_change(struct mvcc *m, const struct record *change);
/* `compacted`: revisions below are gone, or to be erased when `unfinished`. The present revision
 * becomes `revision` at least. Then mvcc_save. */
int mvcc_restore_end(struct mvcc *m, int64_t revision, int64_t compacted, bool unfinished);
