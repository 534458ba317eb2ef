/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside of the Raft core: the state, and what its files call of each other. Every function that
 * takes a `struct raft` runs inside one raft_step and writes into r->out. */
#include "raftstore/raft/raft.h"
#include "raftstore/raft/tail.h"

/* An append that is not answered. */
struct inflight {
	uint64_t last; /* index */
	uint64_t bytes;
};

struct peer {
	uint64_t id;
	/* Candidate. */
	enum raft_vote vote;
	/* Leader. */
	enum raft_progress_state state;
	bool probe_sent;
	uint64_t match, next; /* paper, figure 2: matchIndex, nextIndex */
	uint64_t snapshot_index;
	uint64_t commit_sent;      /* with the last append */
	uint64_t heard_ms;         /* check-quorum */
	uint64_t round;            /* the newest heartbeat round that it answered */
	struct inflight *inflight; /* ring */
	uint32_t inflight_at, inflight_n;
	uint64_t inflight_bytes;
};

struct read_waiting {
	uint64_t context, from; /* from: the member that asked */
	uint64_t index;         /* 0: nothing of this term is committed yet */
	uint64_t round;         /* leader: a quorum must answer this round or a later one; follower:
	                           the question that asks for it, 0: the next one */
};

struct conf_entry {
	uint64_t index;
	struct raft_conf conf;
};

struct raft {
	struct raft_options opt;
	struct raft_update *out; /* of the step that runs */
	uint64_t now_ms;

	struct raft_hard_state hard;
	bool hard_dirty;
	uint64_t hard_seq; /* the batch that holds it */
	enum raft_role role;
	uint64_t leader;
	struct raft_conf conf;        /* in force: the last of `confs` */
	VEC(struct conf_entry) confs; /* of the log; the first is older than all that may go */
	struct raft_tail tail;
	uint64_t persist_from;            /* first entry that this step's batch carries; 0: none */
	uint64_t commit, applied, handed; /* handed: given out in `committed` */
	uint64_t uncommitted_bytes;

	struct peer peers[RAFT_MEMBERS_MAX]; /* members, this one included */
	unsigned n_peers;

	/* Follower and candidate. */
	uint64_t election_at_ms, leader_heard_ms;
	uint64_t campaign_seq; /* the batch that holds the vote for itself */
	uint64_t matched;      /* the log agrees with this term's leader up to here */
	bool installing;
	struct raft_mark install;
	struct raft_conf install_conf;

	/* Leader. */
	uint64_t heartbeat_at_ms;
	uint64_t round, term_start;            /* term_start: index of this term's first entry */
	uint64_t transfer_to, transfer_end_ms; /* 0: no transfer is under way */

	VEC(struct read_waiting)
	reads; /* leader: wait for a round; follower: wait for the leader */
	uint64_t read_question, read_asked_ms;  /* follower: the last one */
	bool read_asked;                        /* and it is unanswered */
	VEC(struct raft_read_result) confirmed; /* wait until applied */
};

/* raft.c */
struct peer *core_peer(struct raft *r, uint64_t id);
void core_send(struct raft *r, struct raft_message m);
void core_send_persisted(struct raft *r, struct raft_message m);
void core_append(struct raft *r, const struct raft_entry *e);
void core_truncate(struct raft *r, uint64_t index);
void core_commit(struct raft *r, uint64_t index);
/* Term and vote would be there after a crash. */
bool core_hard_durable(const struct raft *r);
/* No other member takes part: nobody to send to. */
bool core_alone(const struct raft *r);

/* confs.c */
void confs_push(struct raft *r, uint64_t index, const struct raft_conf *conf);
void confs_append(struct raft *r, const struct raft_entry *e);
void confs_truncate(struct raft *r, uint64_t index);
void confs_compact(struct raft *r, uint64_t index);
void confs_reset(struct raft *r, uint64_t index, const struct raft_conf *conf);
uint64_t confs_index(const struct raft *r);

/* change.c */
int change_start(struct raft *r, const struct raft_change_request *q);
void change_advance(struct raft *r);

/* election.c */
void election_reset_timer(struct raft *r);
void election_tick(struct raft *r);
void election_persisted(struct raft *r);
void election_vote(struct raft *r, uint64_t from, bool granted);
void election_at_once(struct raft *r);
void election_leader_unreachable(struct raft *r);
void become_follower(struct raft *r, uint64_t term, uint64_t leader);
bool election_may_campaign(const struct raft *r);
bool election_in_lease(const struct raft *r);

/* replicate.c */
void replicate_start(struct raft *r);
void replicate_to(struct raft *r, struct peer *p);
void replicate_all(struct raft *r);
void replicate_commit(struct raft *r);
void replicate_ack(struct raft *r, struct peer *p, uint64_t index);
void replicate_reject(struct raft *r, struct peer *p, uint64_t index, struct raft_mark hint);
void replicate_alive(struct raft *r, struct peer *p);
void replicate_unreachable(struct raft *r, struct peer *p);
void replicate_snapshot_sent(struct raft *r, struct peer *p, bool ok);

/* heartbeat.c */
void heartbeat_round(struct raft *r);
void heartbeat_tick(struct raft *r);
uint64_t heartbeat_quorum_round(const struct raft *r);
uint64_t heartbeat_quorum_heard(const struct raft *r);

/* transfer.c */
int transfer_start(struct raft *r, uint64_t to);
void transfer_advance(struct raft *r, const struct peer *p);
void transfer_tick(struct raft *r);
void recv_timeout_now(struct raft *r, const struct raft_message *m);

/* propose.c */
int propose(struct raft *r, struct blob *const *data, size_t n);

/* read.c */
int read_start(struct raft *r, uint64_t context);
void read_queue(struct raft *r, uint64_t context, uint64_t from);
void read_tick(struct raft *r);
void read_advance(struct raft *r);
void read_applied(struct raft *r);
void read_fail_all(struct raft *r);

/* One message kind a file. */
void recv_vote(struct raft *r, const struct raft_message *m);
void recv_vote_result(struct raft *r, const struct raft_message *m);
void recv_append(struct raft *r, const struct raft_message *m);
void recv_append_result(struct raft *r, const struct raft_message *m);
void append_acknowledge(struct raft *r);
void recv_heartbeat(struct raft *r, const struct raft_message *m);
void recv_heartbeat_result(struct raft *r, const struct raft_message *m);
void recv_snapshot(struct raft *r, const struct raft_message *m);
void snapshot_done(struct raft *r, struct raft_mark mark, bool ok);
void recv_read(struct raft *r, const struct raft_message *m);
void recv_read_result(struct raft *r, const struct raft_message *m);
