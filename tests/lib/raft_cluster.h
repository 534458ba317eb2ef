/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A cluster of Raft cores in one process, in virtual time, with a network that drops, doubles,
 * delays and reorders, disks that lose what was not synced, and checks after every step: one leader
 * a term, equal entries at equal committed indexes, no committed entry missing at a new leader, log
 * matching, snapshots of the configuration of their index, reads never older than what was
 * committed when they were asked. Members outside of the first configuration start empty. A check
 * that fails stops the process with the seed. */
#include "common/base/map.h"
#include "raftstore/raft/chunks.h"
#include "raftstore/raft/core.h"

enum { CLUSTER_MAX = 7, CLUSTER_INDEX_MAX = 100000 };

struct cluster_write {
	uint64_t seq, due_ms;
	bool has_hard_state;
	struct raft_hard_state hard_state;
	struct raft_entries entries;
	struct raft_messages then;
};

/* A snapshot on its way to one member, in chunks. */
struct cluster_snapshot {
	bool running;
	struct raft_message m; /* arrives with the last byte */
	struct chunks_send send;
};

struct cluster_node {
	uint64_t id;
	struct raft *raft; /* NULL: crashed */
	uint64_t deadline_ms;
	/* The disk. */
	struct raft_hard_state hard_state;
	struct raft_mark mark;
	struct raft_entries log;
	VEC(struct cluster_write) writes; /* not durable yet */
	/* The state machine: a hash of all that was applied. */
	uint64_t applied, state;
	struct raft_conf conf;                   /* applied */
	VEC(struct raft_event) later;            /* applied and snapshot events on their way */
	VEC(struct raft_read_result) read_floor; /* what each read must reach */
	uint64_t reads_done, reads_failed;
	struct cluster_snapshot out[CLUSTER_MAX + 1]; /* by receiver */
	struct chunks_receive in;
};

struct cluster_packet {
	uint64_t due_ms;
	enum { PACKET_MESSAGE, PACKET_CHUNK, PACKET_RESULT } kind;
	struct raft_message m; /* of a chunk: the snapshot's */
	struct chunk chunk;
	struct chunk_result result;
};

struct cluster {
	uint64_t seed, now_ms;
	struct rng rng;
	unsigned n;
	struct cluster_node nodes[CLUSTER_MAX];
	struct raft_conf conf;        /* the first */
	VEC(struct conf_entry) confs; /* committed after it */
	struct map prefixes;          /* what stood before each entry of any log, as a hash */
	VEC(struct cluster_packet) net;
	uint64_t drop_percent, double_percent, delay_ms, disk_ms; /* upper bounds */
	bool cut[CLUSTER_MAX + 1][CLUSTER_MAX + 1];               /* from, to */
	uint64_t commit, term_of[CLUSTER_INDEX_MAX], state_of[CLUSTER_INDEX_MAX];
	uint64_t leader_of[CLUSTER_INDEX_MAX]; /* by term */
	uint64_t next_context, snapshots, changes, chunks;
	struct raft_options options;
};

/* `n` members, of which the first `voters` are in the first configuration. */
void cluster_init_some(struct cluster *c, unsigned n, unsigned voters, uint64_t seed);
void cluster_init(struct cluster *c, unsigned n, uint64_t seed);
void cluster_deinit(struct cluster *c);
/* One millisecond, or more while nothing is due. */
void cluster_turn(struct cluster *c);
void cluster_run(struct cluster *c, uint64_t ms);
void cluster_crash(struct cluster *c, unsigned node);
void cluster_start(struct cluster *c, unsigned node);
void cluster_heal(struct cluster *c);
/* The node that leads in the highest term, or NULL. */
struct cluster_node *cluster_leader(struct cluster *c);
int cluster_propose(struct cluster *c, struct cluster_node *n, uint64_t value);
int cluster_read(struct cluster *c, struct cluster_node *n);
int cluster_change(struct cluster *c, struct cluster_node *n, const struct raft_change_request *q);
int cluster_transfer(struct cluster *c, struct cluster_node *n, uint64_t to);
/* The streams between two members break: both are told. */
void cluster_break(struct cluster *c, unsigned a, unsigned b);
void cluster_compact(struct cluster *c, struct cluster_node *n, uint64_t index);
int cluster_step(struct cluster *c, struct cluster_node *n, struct raft_event *e);
