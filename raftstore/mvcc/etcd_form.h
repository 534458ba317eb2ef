/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A change as etcd stores it: main(8) '_' sub(8), with a 't' behind it for a deletion, ->
 * mvccpb.KeyValue, which has the key alone for a deletion. Snapshots and hashes are made of it. */
#include "raftstore/mvcc/record.h"

enum { ETCD_REVISION_BYTES = 17, ETCD_REVISION_MAX_BYTES = 18 };

struct slice etcd_revision_encode(struct revision rev, bool deleted,
                                  uint8_t out[ETCD_REVISION_MAX_BYTES]);
bool etcd_revision_decode(struct slice in, struct revision *ret, bool *ret_deleted);
/* Replaces what `out` held. */
struct slice etcd_value_encode(const struct record *r, struct buf *out);
