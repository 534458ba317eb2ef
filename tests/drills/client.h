/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Clients of a store under drill. A worker does one operation after the other on a few keys that
 * all clients share; a prober starts a put of a key of its own at a fixed pace, whether or not the
 * last ones were answered, so that the time without service can be read off its history.
 *
 * Every operation leaves one line in the history when it ends:
 *
 *     CLIENT MEMBER KIND START_NS END_NS RESULT REVISION KEY EXPECT VALUE [FOUND...] [# TEXT]
 *
 * KIND    put; cas, del, pair (transactions on "mod revision of KEY = EXPECT" which put, delete, or
 *         put KEY and its twin); get (linearizable), sget (serializable), list (all keys)
 * RESULT  ok; no (the compare failed, FOUND is what was there); refused (it cannot have happened);
 *         unknown
 * FOUND   KEY=MOD,CREATE,VERSION,VALUE of each key that was read
 *
 * Times are CLOCK_MONOTONIC. Values are unique: CLIENT.SEQUENCE. Absent parts are "-". */
#include <stdio.h>
#include "common/base/rng.h"
#include "common/net/loop.h"
#include "common/net/rpc_client.h"

#define DRILL_PREFIX "/drill/"
enum { DRILL_KEYS_MAX = 256 };

struct drill_member {
	unsigned number; /* from 1 */
	struct rpc_channel *channel;
	uint64_t acked; /* writes */
};

struct drill {
	struct loop loop;
	struct rpc_core *core;
	FILE *history;
	unsigned keys, timeout_ms, pause_ms;
	unsigned running; /* operations */
	bool stop;
	void (*idle)(struct drill *d); /* after stop, when no operation runs */
};

struct drill_client {
	struct drill *drill;
	struct drill_member *member;
	unsigned number;
	unsigned probe_ms; /* 0: a worker */
	uint64_t sequence;
	struct rng rng;
	struct loop_timer timer;
	int64_t known[DRILL_KEYS_MAX]; /* mod revisions, as last seen */
};

void drill_client_init(struct drill_client *c, struct drill *d, struct drill_member *m,
                       unsigned number, unsigned probe_ms);
void drill_client_start(struct drill_client *c);
/* One put of that key; done is told the revision, or 0 when it is not known to have happened. */
void drill_client_put(struct drill_client *c, const char *key,
                      void (*done)(struct drill *d, int64_t revision));
