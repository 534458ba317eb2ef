/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Messages between the members of a cluster, on the peer URLs, over gRPC C core.
 *
 * Each member keeps two streams to each other one, on connections of their own: what is small and
 * urgent (votes, heartbeats, results, questions) never waits behind entries and snapshots. What is
 * sent within one turn of the loop leaves as one frame a stream (wire.h). Streams reconnect at once
 * when they break, then with growing pauses of at most half a second.
 *
 * Who connects says which cluster and which member it is and means. Another cluster's member, one
 * that means another member and one that was removed are refused in etcd's words, logged once a
 * minute. With TLS the listener asks for a certificate of the peers' own authority; files are read
 * again for each connection, so that renewed ones need no restart.
 *
 * Everything here, callbacks included, belongs to the loop's thread; callbacks never come from
 * within the function that causes them. Lost or doubled, as Raft allows: messages. Answered exactly
 * once, if only by -ERR_x: questions. Within one stream the order is kept. */
#include "common/net/loop.h"
#include "common/net/rpc_core.h"
#include "common/net/tls_creds.h"
#include "raftstore/raft/raft.h"

struct metrics;
struct peers;
/* A question of another member that waits for its answer. */
struct peers_answer;

struct peer_address {
	uint64_t id;
	const char *urls; /* comma-separated peer URLs; tried in turn */
};

struct peers_handler {
	void *arg;
	void (*message)(void *arg, const struct raft_message *m); /* borrowed */
	/* A stream to or from this member broke (told for each of them), or an append to it had to
	 * be dropped. */
	void (*unreachable)(void *arg, uint64_t id);
	/* May be NULL. All streams to and from this member are there. */
	void (*reachable)(void *arg, uint64_t id);
	/* Answered once with peers_answer, now or later, on the loop; `from` is 0 when anybody asks
	 * who reaches the listener (peers_ask_url): who joins, or has lost its data. The body lives
	 * until this returns. */
	void (*ask)(void *arg, uint64_t from, uint32_t kind, struct slice body,
	            struct peers_answer *a);
	/* Another member says that this one was removed from the cluster. */
	void (*removed)(void *arg);
};

struct peers_options {
	struct rpc_core *core;
	struct loop *loop;
	struct metrics *metrics; /* NULL: none */
	uint64_t cluster_id, member_id;
	const char *const *listen_urls; /* may be none */
	size_t n_listen_urls;
	const char *advertise_urls; /* comma-separated; told to members that do not know them */
	/* Certificate, key and authority of both sides; client_auth is the listener's. */
	struct tls_creds_options tls;
	const char *allowed_cn;       /* of the other's certificate, when it connects; NULL: any */
	uint32_t message_limit_bytes; /* the greatest entry or question; 0: 40 MiB */
	uint32_t queue_limit_bytes;   /* waiting for one member; 0: 64 MiB */
	struct peers_handler handler;
};

/* Opens the listeners, on which nothing is taken until peers_start. The options' strings are
 * copied, the handler's functions are not called before peers_start. */
_must_use_ int peers_new(const struct peers_options *o, struct peers **ret, struct err *err);
void peers_start(struct peers *p);
/* Closes listeners and streams. Questions end with -ERR_CANCELLED before this returns, later ones
 * at once. Answers that are owed have to be given still; then done(arg) comes and peers_free is
 * legal.
 */
void peers_stop(struct peers *p, loop_fn done, void *arg);
void peers_free(struct peers *p);

/* Members to talk to; replaces what was set before, this member among them is left out. Streams to
 * members that stay, with the same URLs, go on. */
void peers_set(struct peers *p, const struct peer_address *at, size_t n);
/* Members that must not come back; replaces what was set before. */
void peers_set_removed(struct peers *p, const uint64_t *ids, size_t n);
/* Never blocks; drops the message when the member's queue is full or it is not connected. The
 * message may be cleared afterwards. */
void peers_send(struct peers *p, const struct raft_message *m);
bool peers_connected(const struct peers *p, uint64_t id);

/* result: what the other side answered (>= 0 or -ERR_x of its own), or
 * -ERR_UNAVAILABLE: it is not connected, nothing was sent;
 * -ERR_TOO_MANY_REQUESTS: its queue is full, nothing was sent;
 * -ERR_IO: the connection broke, the question may have been heard;
 * -ERR_TIMEOUT: no answer in time, the question may have been heard;
 * -ERR_CANCELLED: stopped. */
typedef void (*peers_done_fn)(void *arg, int result, struct slice answer);
/* The body is copied before this returns. */
void peers_ask(struct peers *p, uint64_t to, uint32_t kind, struct slice body, uint32_t timeout_ms,
               peers_done_fn done, void *arg);
/* Asks whoever answers at these URLs, whatever its cluster: how a process that joins learns whose
 * cluster that is. Works before peers_start. */
void peers_ask_url(struct peers *p, const char *urls, uint32_t kind, struct slice body,
                   uint32_t timeout_ms, peers_done_fn done, void *arg);
void peers_answer(struct peers_answer *a, int result, struct slice body);
