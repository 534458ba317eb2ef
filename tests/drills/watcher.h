/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A watcher of all keys of a drill on one member. When its stream breaks it goes on, on the same
 * member, after the last revision that it has seen. Its file has a line for each event, in the
 * order in which they came:
 *
 *     REVISION P|D KEY VALUE
 *
 * and "# MONOTONIC_NS TEXT" where the stream broke. */
#include "tests/drills/client.h"

struct drill_watcher {
	struct drill *drill;
	struct drill_member *member;
	FILE *file;
	int64_t next; /* revision */
	struct rpc_stream *stream;
	struct loop_timer retry;
	bool refused;                   /* the start is compacted: it will never go on */
	void (*moved)(struct drill *d); /* after events */
};

void drill_watcher_start(struct drill_watcher *w, struct drill *d, struct drill_member *m,
                         FILE *file, int64_t from, void (*moved)(struct drill *d));
void drill_watcher_stop(struct drill_watcher *w);
