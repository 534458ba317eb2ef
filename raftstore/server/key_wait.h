/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Waiting for keys to change, for services that look again when they do: no events are kept, a
 * waiter is woken once for any number of changes. Who begins to wait, then looks, misses nothing.
 */
#include "raftstore/mvcc/watch_index.h"
#include "raftstore/server/events.h"
#include "raftstore/server/server.h"

/* Embed it; all but the storage thread's function on the loop. */
struct key_wait {
	struct watch_entry entry;
	void (*fn)(void *arg);
	void *arg;
	bool active, woken;
};

void key_waits_start(struct server *s);
void key_waits_stop(struct server *s);
/* fn(arg) on the loop after each change of a key of the range, which stays the caller's. */
void key_wait_start(struct server *s, struct key_wait *w, const struct key_range *keys,
                    void (*fn)(void *arg), void *arg);
/* Stopping a stopped or zeroed one does nothing. */
void key_wait_stop(struct server *s, struct key_wait *w);
/* Storage thread: these changes were committed. */
void key_waits_publish(struct server *s, const struct events *events);
/* All tables are other ones. Any thread. */
void key_waits_wake_all(struct server *s);
