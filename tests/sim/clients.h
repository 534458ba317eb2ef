/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Clients as Kubernetes has them: each does one thing after the other on few keys (transactions
 * that compare the modification revision, plain writes, reads, lists, also of the past,
 * compactions), at one member until it fails it. Every answer is held against the model at its
 * revision, and against what had been answered to anybody before the question was asked. What was
 * asked and answered is kept as a history, a key at a time, for the search in linear.h. */
#include "common/base/buf.h"
#include "proto/etcd_rpc.pb-c.h"
#include "tests/sim/check.h"
#include "tests/sim/linear.h"

enum { CLIENTS_MAX = 8, KEYS = 5 };

void clients_start(unsigned n);
/* After the world has healed: from now on every client reads once through each member. */
void clients_finish(void);
/* All have had answers to that. */
bool clients_finished(void);
const char *clients_waiting_for(void);
/* Looks at the histories. */
void clients_judge(void);
void clients_reset(void);

/* The greatest revision that any answer has told. */
int64_t clients_answered(void);
/* The greatest revision that somebody has asked to compact at, and that was. */
int64_t clients_compact_asked(void);
/* A member that a client may try. */
struct member *clients_pick(void);
/* A member that runs and is not stopping; NULL: none. */
struct slice pack(struct buf *b, const ProtobufCMessage *m);
static inline ProtobufCBinaryData pb_bytes(struct slice s)
{
	return (ProtobufCBinaryData){s.len, (uint8_t *)s.data};
}
static inline struct slice pb_view(ProtobufCBinaryData b)
{
	return slice_of(b.data, b.len);
}
