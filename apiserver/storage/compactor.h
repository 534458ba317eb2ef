/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Compacts the store every interval, as upstream does (apiserver storage/etcd3 compact.go): the
 * apiservers of a cluster agree by the version of the key `compact_rev_key`, whose value is the
 * revision to compact at next; who loses the transaction takes over the winner's state. So what a
 * client may still read is between one and two intervals old. */
#include "apiserver/storage/store_client.h"

struct compactor;

/* On `loop`. interval_ms 0: five minutes. */
struct compactor *compactor_new(struct store_client *s, struct loop *loop, uint64_t interval_ms);
void compactor_free(struct compactor *c);
