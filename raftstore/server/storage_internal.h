/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What storage.c (batches, checkpoints, turns) and storage_swap.c (what replaces the tables as a
 * whole) share. Nobody else includes it. */
#include "common/base/worker.h"
#include "raftstore/server/apply.h"
#include "raftstore/server/storage.h"
#include "raftstore/store/store.h"

struct item {
	struct raft_entry entry;
	struct request *request;
	/* The answer: bytes [from, to) of the batch's buffer, or an outcome. */
	size_t from, to;
	int outcome;
};

typedef VEC(struct item) item_list;

struct storage {
	struct server *server;
	struct worker worker;
	/* --- the worker's --- */
	struct applier applier;
	item_list batch;
	struct buf answers;
	struct store_mark applied;
	uint64_t since; /* entries since the last checkpoint began */
	uint64_t checkpoint_ns;
	uint64_t unwritten; /* entries since writing out was considered */
	uint64_t write_out_ns;
	bool compacting;
	bool retry_posted;      /* the batch is tried again later */
	bool checkpoint_posted; /* a turn comes when the time for a checkpoint has */
	VEC(struct request *) wait_compacted;
	struct {
		struct rpc_call *call; /* NULL: none is under way */
		atomic_bool copied;    /* by the copy worker */
		bool later;            /* another turn is on its way */
		int result;
		unsigned tries;
		struct err err;
	} defragmentation;
	atomic_bool stalled, checkpointing, writing_out;
	atomic_uint_fast64_t batches, entries, checkpoints, n_events;

	pthread_mutex_t lock;
	/* --- under lock --- */
	item_list queue;
	VEC(struct rpc_call *) defragment;
	struct {
		struct raft_mark mark;
		void (*done)(void *arg, int result); /* NULL: nothing is to be installed */
		void *arg;
	} install;
	bool turn_posted, stop;
};

/* Sees to it that a turn comes. */
void storage_wake(struct storage *st);
/* Ends the process when the result of a checkpoint or installation says that nothing may be written
 * any more. */
void storage_end_if_unknown(int r, const struct err *err);

/* Their steps, in a turn of the worker. */
void defragment_begin(struct storage *st, struct rpc_call *call);
void defragment_consider(struct storage *st);
void install_consider(struct storage *st);
