/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The storage worker: takes committed entries in batches, applies each batch in one transaction of
 * the store, then publishes the events, answers who waits and tells the loop. In idle moments it
 * erases what was compacted. Every second or 20 000 entries it begins a checkpoint, which the sync
 * worker finishes; under load that worker has the system write out every 10 ms what is committed.
 *
 * A batch whose transaction the disk refuses is tried again every second; until then the store
 * refuses writes and goes on reading.
 *
 * It works in turns, and no turn waits for anything but the disk: a turn applies one batch, or
 * erases a little, and the next one is posted when there is more to do. */
#include "raftstore/raft/entry.h"
#include "raftstore/server/server.h"

/* KV_META: index(8) term(8) of the snapshot of another member that was installed last. */
#define STORAGE_INSTALLED SLICE_LIT("installed")

int storage_start(struct server *s, struct err *err);
/* Applies what is queued, checkpoints, ends the worker, and the sync worker with it. */
void storage_stop(struct server *s);

/* Takes references of the entries' bytes, and the requests (NULL: nobody waits), one an entry. Any
 * thread, in order of index. Entries of one call are applied in one transaction if it may be. */
void storage_push(struct storage *st, const struct raft_entry *e, struct request *const *q,
                  size_t n);
/* Nothing more can be written at present. Any thread. */
bool storage_stalled(const struct storage *st);
/* Asks for a defragmentation; the call is answered. */
void storage_defragment(struct storage *st, struct rpc_call *call);

/* Makes what the store has received its tables, behind all that was pushed before, and tells who
 * depends on them; then done(arg, result) on the storage worker. Nothing happens after
 * storage_stop. */
void storage_install(struct storage *st, struct raft_mark mark, void (*done)(void *arg, int result),
                     void *arg);

struct storage_facts {
	uint64_t batches, entries, checkpoints, events;
};
void storage_facts(struct storage *st, struct storage_facts *ret);
