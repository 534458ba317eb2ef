/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside of the node: its state, and what its files call of each other. Everything belongs to the
 * loop where nothing else is said.
 *
 *   node.c       the core's events and updates
 *   node_life.c  coming up and going
 *   proposals.c  requests on their way into the log, here or by way of the leader
 *   reads.c      linearizable reads
 *   roster.c     members: addresses, publishing of this one, handing over
 *   changes.c    membership changes
 *   asks.c       what other members ask */
#include <pthread.h>
#include "common/base/clock.h"
#include "raftstore/log/log.h"
#include "raftstore/peer/peers.h"
#include "raftstore/raft/raft.h"
#include "raftstore/server/members.h"
#include "raftstore/server/node.h"
#include "raftstore/server/waiters.h"

typedef VEC(struct request *) request_list;

enum { NODE_RETRY_MS = 50, NODE_SWEEP_MS = 500, RELIEVE_AGAIN_MS = 10000 };

struct node_read_call {
	void (*fn)(void *arg, int outcome);
	void *arg;
};
typedef VEC(struct node_read_call) read_list;

/* Messages that may leave when the batch is durable. */
struct unsent {
	uint64_t seq;
	struct raft_messages messages;
};

/* Since when both streams to a member are there. */
struct link_state {
	uint64_t id, since_ms; /* 0: they are not */
};

/* A member that was removed a moment ago. */
struct departed {
	uint64_t id, until_ms;
};

struct change;
struct read_group;

struct node {
	struct server *server;
	struct loop *loop;
	struct raft *raft;
	struct raftlog *log;
	struct raft_update update;
	uint64_t log_seq_base; /* batches of the log that are not the core's */
	struct loop_timer tick, sweep, retry;
	atomic_bool alone; /* the only member */
	atomic_bool leader;
	atomic_bool readable; /* has applied what was in the log when it became the leader */
	uint64_t readable_at;
	bool catching_up;    /* waits until it may serve clients */
	uint64_t elected_ms; /* when a leader was last found */
	uint64_t lost_ms;    /* or lost */
	uint32_t timeout_ms; /* of requests */
	VEC(struct unsent) unsent;

	/* proposals.c */
	request_list held;        /* wait for a leader */
	struct waiters pending;   /* proposed here, in order of term and index; key: index */
	struct waiters forwarded; /* key: sequence */
	request_list handed;      /* of the entries that go to the storage thread */
	uint64_t sequence;

	/* reads.c */
	struct waiters reads;            /* key: context */
	VEC(struct read_group *) unread; /* wait for a leader */
	uint64_t context;

	/* roster.c */
	struct raft_conf conf; /* in force */
	struct members applied_members;
	struct members fresh; /* heard of, not applied yet */
	VEC(struct link_state) links;
	VEC(struct departed) departed;
	VEC(struct change *) changes;
	bool publishing, promoting;
	uint64_t promote_ms; /* not before */
	loop_fn handed_over;
	void *handed_over_arg;
	struct loop_timer hand_over;
	uint64_t relieved_ms; /* when the leadership was given up for want of space */
	uint64_t relieve_to;  /* to whom, with the next retry */

	uint64_t durable;

	pthread_mutex_t lock;
	/* --- under lock --- */
	request_list proposals;
	read_list new_reads;
	uint64_t persisted_seq, applied, told_applied;
	bool drain_posted, reads_posted, persisted_posted, applied_posted, stopped;
	/* --- */
};

/* node.c */
void node_peers_handler(struct node *n, struct peers_handler *ret);
void node_timers_init(struct node *n);
void node_log_report(void *arg, const struct raftlog_report *report);
/* What waits for a leader is tried again after this time, outside of the update that runs.
 */
void node_retry(struct node *n, uint64_t delay_ms);
/* Tells the core what has been applied meanwhile. */
void node_take_applied(struct node *n);

/* proposals.c */
/* The request that this entry came from; NULL: another member's, or given up. Requests that can not
 * be committed any more because this entry is go to the leader again. */
struct request *proposals_committed(struct node *n, const struct raft_entry *e);
/* Requests that wait for a leader are tried again. Not from within an update: so are reads and
 * changes. */
void proposals_retry(struct node *n);
/* The outcome of what a snapshot may contain is unknown. */
void proposals_installed(struct node *n, struct raft_mark mark);
void proposals_sweep(struct node *n);
void proposals_stop(struct node *n);
void proposals_deinit(struct node *n);
/* Waits for the entry that the next step proposes. */
void proposals_expect(struct node *n, struct request *q);
void proposals_unexpect(struct node *n);
/* Why nothing came of a request since then. */
int node_timeout_outcome(const struct node *n, uint64_t started_ms);

/* reads.c */
void reads_answer(struct node *n, uint64_t context, uint64_t index);
void reads_retry(struct node *n);
void reads_sweep(struct node *n);
void reads_stop(struct node *n);
void reads_deinit(struct node *n);

/* roster.c */
void roster_init(struct node *n);
/* What the store has applied and what the log says of members; *ret: what is applied. */
_must_use_ int roster_boot(struct node *n, const struct raft_entries *log, struct raft_conf *ret,
                           struct err *err);
/* The store has other members. */
void roster_reload(struct node *n);
/* Entries that are on their way into the log. */
void roster_note_entries(struct node *n, const struct raft_entries *list);
void roster_conf(struct node *n, const struct raft_conf *conf);
/* The leader is another one, or was found, or is lost. */
void roster_status(struct node *n);
void roster_retry(struct node *n);
void roster_sweep(struct node *n);
void roster_stop(struct node *n);
void roster_deinit(struct node *n);
/* A leader without space gives its leadership to another voter, soon; false: it cannot. */
bool roster_relieve(struct node *n);
void roster_link(struct node *n, uint64_t id, bool up);
/* Is there a stream to a member, for that long? */
bool roster_linked(const struct node *n, uint64_t id, uint64_t for_ms);

/* changes.c */
void changes_retry(struct node *n);
void changes_sweep(struct node *n);
void changes_stop(struct node *n);
