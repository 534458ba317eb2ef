/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the parts of raftstore share. Everything here is set before threads start, or atomic.
 *
 *   queue's thread  decodes and checks requests; answers ranges
 *   loop            raft (node.h), lease deadlines (lessor.h)
 *   log worker      the durable log
 *   storage worker  applies commands, answers them, publishes their events (storage.h)
 *   sync worker     checkpoints
 *   watch worker    brings watchers up to date from history (watch_hub.h)
 *   read worker     ranges that are too long for the queue's thread, snapshots */
#include <stdatomic.h>
#include "common/daemon/daemon.h"
#include "raftstore/mvcc/mvcc.h"
#include "raftstore/server/options.h"
#include "raftstore/server/request.h"
#include "raftstore/store/store.h"

struct node;
struct storage;
struct watch_hub;
struct lessor;
struct compactor;
struct front;
struct stats;
struct auth;
struct key_waits;

#define RAFTSTORE_ETCD_VERSION "3.6.0"

struct server {
	struct daemon *daemon;
	struct loop *loop;
	const struct server_options *options;
	struct store *store;
	struct node *node;
	struct storage *storage;
	struct watch_hub *hub;
	struct lessor *lessor;
	struct compactor *compactor; /* NULL: off */
	struct front *front;
	struct stats *stats;
	struct auth *auth;
	struct key_waits *key_waits;
	size_t contenders; /* calls of Lock and Election that wait; the loop's */
	struct worker sync_worker, read_worker;
	struct rpc_server *rpc;
	uint64_t cluster_id, member_id;

	atomic_uint_fast64_t term, leader, commit, applied, last_index;
	atomic_int_fast64_t revision;
	atomic_uint alarms; /* a bit an enum AlarmType */
	atomic_bool auth_on;
	atomic_uint password_calls; /* that wait for a worker */
	atomic_bool stopping;
	bool serving;   /* the loop's */
	unsigned stops; /* servers that have not stopped; the loop's */
	int lock_fd;
};

/* Opens everything under the data directory and starts all threads; requests are taken once the
 * log has been replayed. */
int server_start(struct server *s, struct daemon *d, const struct server_options *o,
                 struct err *err);
/* Takes requests. On the loop; calling it again does nothing. */
void server_serve(struct server *s);
/* Ends all calls, then makes daemon_run return. On the loop. */
void server_stop(struct server *s);
/* After daemon_run: makes everything durable and frees it. Accepts a half-started server. */
void server_deinit(struct server *s);

/* Appends the response header as field 1. */
void out_header(struct buf *b, const struct server *s, int64_t revision);

/* Each adds its methods to s->rpc. */
void kv_service_add(struct server *s);
void watch_service_add(struct server *s);
void lease_service_add(struct server *s);
void cluster_service_add(struct server *s);
void maintenance_service_add(struct server *s);
void auth_service_add(struct server *s);
void lock_service_add(struct server *s);
void election_service_add(struct server *s);
