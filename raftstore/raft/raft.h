/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Raft as one pure function: an event goes in, an update comes out.
 *
 * The algorithm is that of "In Search of an Understandable Consensus Algorithm" (the paper) with
 * pre-vote, check-quorum and read index of Ongaro's dissertation (the thesis). The core knows no
 * clock, disk or network: the shell tells it what happened and does what the update says.
 *
 * The shell obeys the fields of struct raft_update from top to bottom:
 *   1. persist      hand the batch to the log (in order of seq); when it is durable, send
 *                   send_persisted and report RAFT_PERSISTED
 *   2. install      replace the state machine by the snapshot, then reset the log behind the
 *                   batches, then report RAFT_SNAPSHOT_DONE
 *   3. send_now     may leave before the batch is durable
 *   4. committed    apply in order; when the state machine holds them, report RAFT_APPLIED
 *   5. reads        answer; the state machine has applied the index already
 *   6. deadline_ms  when to send the next RAFT_TICK at the latest
 * Messages may be lost, doubled, delayed or reordered. Entries are handed out for applying only
 * when they are committed and durable here, so the state machine never runs ahead of the log.
 *
 * A one-member cluster elects itself on the first tick, commits as soon as an entry is durable and
 * answers reads at once. One thread at a time. */
#include "common/base/err.h"
#include "common/base/rng.h"
#include "raftstore/raft/conf.h"
#include "raftstore/raft/entry.h"
#include "raftstore/raft/quorum.h"

struct raft;

enum raft_role { RAFT_FOLLOWER, RAFT_PRECANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

struct raft_options {
	uint64_t id;                   /* this member; never 0 */
	uint32_t election_ms;          /* 0: 1000; the timeout is drawn from [x, 2x) */
	uint32_t heartbeat_ms;         /* 0: 100 */
	uint32_t append_limit_bytes;   /* entries in one message; 0: 1 MiB; one entry always goes */
	uint32_t inflight_limit;       /* unanswered append messages a peer; 0: 64 */
	uint64_t inflight_limit_bytes; /* and their entries; 0: 16 MiB; one message always goes */
	uint64_t uncommitted_limit_bytes; /* more is refused; 0: 64 MiB */
	uint32_t read_limit;              /* reads waiting; 0: 65536 */
	uint64_t keep_entries; /* applied ones that compaction leaves for slow followers */
	uint64_t keep_bytes;   /* at most, but for one entry; 0: no limit */
	struct rng rng;        /* seeded by the shell; draws election timeouts */
};

/* What the log and the state machine hold at start. */
struct raft_boot {
	struct raft_hard_state hard_state;
	struct raft_mark mark;              /* the entry before the first of `entries` */
	const struct raft_entries *entries; /* references are added; may be NULL */
	uint64_t applied;                   /* the state machine's; mark.index <= applied <= last */
	/* The configuration that the state machine has applied. A new member that joins a cluster
	 * starts with an empty one and waits for a leader. */
	struct raft_conf conf;
	uint64_t now_ms;
};

enum raft_message_type {
	RAFT_MSG_VOTE = 1,
	RAFT_MSG_VOTE_RESULT,
	RAFT_MSG_APPEND,
	RAFT_MSG_APPEND_RESULT,
	RAFT_MSG_HEARTBEAT,
	RAFT_MSG_HEARTBEAT_RESULT,
	RAFT_MSG_SNAPSHOT,
	RAFT_MSG_READ,
	RAFT_MSG_READ_RESULT,
	RAFT_MSG_TIMEOUT_NOW,
};

struct raft_message {
	enum raft_message_type type;
	uint64_t from, to;
	uint64_t term; /* a pre-vote carries the term that the vote would have */
	union {
		struct {
			bool pre;
			bool transfer; /* the leader asked for it: no lease protects */
			struct raft_mark last;
		} vote;
		struct {
			bool pre, granted;
		} vote_result;
		struct {
			struct raft_mark prev;
			uint64_t commit;
			struct raft_entries entries; /* owned by the message */
		} append;
		struct {
			bool rejected;
			uint64_t
			    index; /* accepted: what matches and is durable; rejected: prev.index */
			struct raft_mark hint; /* rejected: where the logs may still agree */
		} append_result;
		struct {
			uint64_t commit, round;
		} heartbeat;
		struct {
			uint64_t round;
		} heartbeat_result;
		/* The bytes travel beside the core, in chunks. The sender's shell puts the mark of
		 * the state machine that it sends (not before the one given) and the configuration
		 * of that index (raft_conf_at); the receiver's shell passes the message in when it
		 * has all bytes. */
		struct {
			struct raft_mark mark;
			struct raft_conf conf;
		} snapshot;
		struct {
			uint64_t context;
		} read;
		struct {
			uint64_t context, index; /* index 0: refused */
		} read_result;
	};
};

struct raft_messages {
	struct raft_message *at;
	size_t n, cap;
};

enum raft_event_type {
	RAFT_TICK = 1,
	RAFT_RECEIVE,
	RAFT_PROPOSE,
	RAFT_READ,
	RAFT_PERSISTED,
	RAFT_APPLIED,
	RAFT_SNAPSHOT_DONE,
	RAFT_SNAPSHOT_SENT,
	RAFT_COMPACT,
	RAFT_TRANSFER,
	RAFT_CHANGE,
	RAFT_PEER_UNREACHABLE,
};

struct raft_event {
	enum raft_event_type type;
	uint64_t now_ms; /* of every event; never goes back */
	union {
		/* RAFT_RECEIVE. Borrowed; the core adds references to entries that it keeps.
		 * Dropped without an error: messages to others, and answers and reads of who is
		 * not in the configuration. Leaders and candidates need not be in it: it may be
		 * out of date (thesis, section 4.1). */
		const struct raft_message *message;
		/* RAFT_PROPOSE: n commands, all or none. The update names the index and term of the
		 * first; a command is lost when another term's entry is committed at its index.
		 * -ERR_UNAVAILABLE: not the leader (raft_status names it), or it hands its
		 * leadership over;
		 * -ERR_TOO_MANY_REQUESTS: too much is uncommitted. */
		struct {
			struct blob *const *data;
			size_t n;
		} propose;
		/* RAFT_READ: asks for a linearizable read. The context comes back in `reads`,
		 * exactly once, with index 0 when the leader is lost; the shell keeps its own time
		 * limit. Followers ask the leader, one question for all that wait, repeated until
		 * it is answered. -ERR_UNAVAILABLE: no leader; -ERR_TOO_MANY_REQUESTS:
		 * too many wait. */
		uint64_t read_context;
		uint64_t
		    persisted_seq; /* RAFT_PERSISTED: this batch and all before it are durable */
		uint64_t applied_index; /* RAFT_APPLIED: this entry and all before it */
		/* RAFT_SNAPSHOT_DONE: the mark of the update's `install`; `ok` false: it failed,
		 * the state machine and the log are as before. */
		struct {
			struct raft_mark mark;
			bool ok;
		} snapshot_done;
		/* RAFT_SNAPSHOT_SENT: the transfer to a peer has ended, one way or the other; until
		 * the shell says so the peer gets no entries. */
		struct {
			uint64_t to;
			bool ok;
		} snapshot_sent;
		/* RAFT_COMPACT: entries up to here (at most the applied index) are not needed any
		 * more; a peer that still needs them gets a snapshot. While others take part, the
		 * last keep_entries applied ones stay: raft_status tells the first that is left,
		 * which is where the durable log may begin. */
		uint64_t compact_index;
		/* RAFT_TRANSFER: hand the leadership to this voter (thesis, section 3.10). Until it
		 * leads, or a minimum election timeout has passed, proposals are refused; then the
		 * transfer is given up. Another one replaces it; to itself: nothing happens.
		 * -ERR_UNAVAILABLE: not the leader; -ERR_INVALID: not a voter. */
		uint64_t transfer_to;
		/* RAFT_CHANGE: changes the membership; borrowed. The update names the entry, as for
		 * a proposal; it is in force at once and done when it is committed. The errors are
		 * those of raft_change_check. */
		const struct raft_change_request *change;
		/* RAFT_PEER_UNREACHABLE: the stream to this member broke. A follower whose leader
		 * this is asks for pre-votes within a heartbeat interval; a leader probes the
		 * member anew, since what was under way is lost. */
		uint64_t unreachable;
	};
};

struct raft_read_result {
	uint64_t context;
	uint64_t index; /* 0: could not be confirmed, ask again */
};

struct raft_reads {
	struct raft_read_result *at;
	size_t n, cap;
};

struct raft_update {
	/* One batch. The first entry may stand at or before the log's last: it replaces that and
	 * all that follow. */
	struct {
		uint64_t seq; /* 1, 2, 3, ...; 0: nothing to persist */
		bool has_hard_state;
		struct raft_hard_state hard_state;
		struct raft_entries entries;
	} persist;
	bool has_install;
	struct raft_mark install;
	struct raft_conf install_conf;

	struct raft_messages send_now;
	struct raft_messages send_persisted;

	struct raft_entries committed;
	struct raft_reads reads;
	uint64_t deadline_ms;

	uint64_t proposed_index, proposed_term; /* of the first command of RAFT_PROPOSE */
	bool status_changed;                    /* role, leader or term */
	bool has_conf; /* another configuration is in force: these are the members to connect */
	struct raft_conf conf;
};

struct raft_status {
	uint64_t id, leader; /* leader 0: unknown */
	enum raft_role role;
	uint64_t term, first, last, commit, applied, persisted; /* first > last: the log is empty */
	uint64_t uncommitted_bytes;
	uint64_t transfer_to; /* the transfer under way; 0: none */
};

/* What a leader knows of a member (paper, section 5.3). */
enum raft_progress_state {
	RAFT_PROBE,     /* where the logs agree is unknown: one append at a time */
	RAFT_REPLICATE, /* appends are pipelined, up to both limits of what is unanswered */
	RAFT_SNAPSHOT,  /* entries wait until the snapshot has arrived */
};

struct raft_progress {
	enum raft_progress_state state;
	uint64_t match, next; /* paper, figure 2 */
	uint32_t inflight;    /* unanswered appends */
	uint64_t inflight_bytes;
	uint64_t heard_ms;
};

/* NULL and *err: the boot data contradict themselves (entries not consecutive, applied outside of
 * the log, this member's id 0). */
struct raft *raft_new(const struct raft_options *opt, const struct raft_boot *boot,
                      struct err *err);
void raft_free(struct raft *r);
DEFINE_CLEANUP(struct raft, raft_free)

/* On failure state and update are unchanged. `ret` starts zeroed or cleared; it owns references,
 * so that its parts may be handed to other threads after TAKE-ing the arrays. */
_must_use_ int raft_step(struct raft *r, const struct raft_event *e, struct raft_update *ret);
struct raft_status raft_status(const struct raft *r);
/* False: not the leader, or not another member. */
_must_use_ bool raft_progress(const struct raft *r, uint64_t id, struct raft_progress *ret);
/* The last configuration up to this index, which is not before the applied one. */
struct raft_conf raft_conf_at(const struct raft *r, uint64_t index);
/* Why RAFT_CHANGE would fail. -ERR_UNAVAILABLE: not the leader, or not yet ready; -ERR_CONFLICT:
 * another change is under way (thesis, section 4.1); -ERR_INVALID: also a learner that lags; else
 * as raft_conf_change. */
_must_use_ int raft_change_check(const struct raft *r, const struct raft_change_request *q,
                                 struct err *err);

/* Drops references and keeps the memory for the next step. */
void raft_update_clear(struct raft_update *u);
void raft_update_deinit(struct raft_update *u);
void raft_messages_clear(struct raft_messages *list);
void raft_messages_deinit(struct raft_messages *list);
