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
 *   read worker     ranges that are too long for the queue's thread
 *   copy worker     what looks at everything: snapshots for clients, hashes
 *   auth worker     hashes of passwords */
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
struct corruption;
struct front;
struct stats;
struct auth;
struct key_waits;
struct peers;
struct peers_options;
struct snapshots;
struct bootstrap;
struct recovery;

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
	struct corruption *corruption;
	struct front *front;
	struct stats *stats;
	struct auth *auth;
	struct key_waits *key_waits;
	size_t contenders; /* calls of Lock and Election that wait; the loop's */
	struct peers *peers;
	struct snapshots *snapshots;
	struct bootstrap *bootstrap; /* NULL: done */
	struct recovery *recovery;   /* NULL: none is under way */
	struct worker sync_worker, read_worker, copy_worker, auth_worker;
	struct rpc_server *rpc;
	uint64_t cluster_id, member_id;
	uint64_t seed; /* of all chance in here; 0: server_start draws one */
	atomic_uint_fast64_t chances;

	atomic_uint_fast64_t term, leader, commit, applied, last_index;
	atomic_int_fast64_t revision;
	atomic_uint alarms; /* a bit an enum AlarmType */
	atomic_bool auth_on;
	atomic_uint password_calls; /* that wait for a worker */
	atomic_bool stopping;
	atomic_bool learner;
	/* --- the loop's --- */
	bool serving, is_new, removed;
	bool wants_promotion; /* recover.h */
	bool failed;          /* after server_start had returned */
	unsigned stops;       /* servers that have not stopped */
	struct loop_timer leave, grace;
	int lock_fd;
};

/* Makes the data directory and takes it for this process. server_start does it. */
int server_claim(struct server *s, struct daemon *d, const struct server_options *o,
                 struct err *err);
/* Opens everything under the data directory and starts all threads; requests are taken once the
 * log has been replayed. A member of several begins when it has asked the others; when that fails
 * daemon_run returns, and s->failed is set. */
int server_start(struct server *s, struct daemon *d, const struct server_options *o,
                 struct err *err);
/* Takes requests. On the loop; calling it again does nothing. */
void server_serve(struct server *s);
/* This member does not belong to the cluster any more: stops in a second. On the loop. */
void server_removed(struct server *s);
/* Hands the leadership over, ends all calls, then makes daemon_run return. On the loop. */
void server_stop(struct server *s);
/* After daemon_run: makes everything durable and frees it. Accepts a half-started server. */
void server_deinit(struct server *s);

/* The next number that nobody can guess without the seed. Any thread. */
uint64_t server_random(struct server *s);
/* How long a request may take, as with etcd: five seconds and two elections. */
static inline uint64_t server_timeout_ms(const struct server *s)
{
	return 5000 + 2 * (uint64_t)s->options->election_ms;
}
/* Where other members come in (when `listens`), and how this one identifies itself. */
void server_peer_options(struct server *s, bool listens, struct peers_options *ret);
/* Adds a method to s->rpc, behind what holds for all of them: a learner answers only what etcd's
 * does, and who demands a leader (metadata "hasleader") is refused without one. `name` and the rest
 * as in rpc_server_method. */
void service_add(struct server *s, const struct rpc_method *m);

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
