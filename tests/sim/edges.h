/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the simulator puts in the place of disks, clocks, sockets and threads, as its own parts see
 * it. The functions that production code calls have their headers in production. */
#include "common/base/slice.h"
#include "common/net/loop.h"
#include "raftstore/log/io.h"
#include "raftstore/store/store.h"
#include "tests/sim/sim.h"

/* --- edge_base.c --- */
void sim_loop_init(struct loop *l, struct executor *e);
void sim_timers_reset(void);
/* member.c: the process stops by itself; it has stopped. */
void sim_member_stop_now(struct member *m);
void sim_member_quit(struct member *m);

/* --- disk.c: files of the log --- */
struct disk *disk_new(void);
void disk_io(struct disk *d, struct log_io *ret);
/* What a power cut leaves: all that was synced, of the rest anything. */
void disk_crash(struct disk *d);
void disk_set_full(struct disk *d, bool full);
/* The next so many syncs fail, or reads. */
void disk_set_failing(struct disk *d, unsigned syncs);
/* Time that operations take, and crashes on the way. May not return. */
void member_disk_operation(struct member *m, uint64_t bytes, bool sync);

/* --- edge_store.c: the tables --- */
struct store_disk *store_disk_new(void);
void store_disk_crash(struct store_disk *d);
/* What is durable. */
struct store_mark store_disk_mark(const struct store_disk *d);
void store_disk_set_full(struct store_disk *d, bool full);
void store_disk_set_failing(struct store_disk *d, unsigned syncs);

/* --- edge_rpc.c: calls of clients --- */
struct rpc_call;
struct client_ops {
	void (*on_message)(void *arg, struct slice message);
	/* Once, last. code: of gRPC; an answer comes with RPC_OK. `sent`: the server may have got
	 * the request. */
	void (*on_end)(void *arg, int code, const char *text, bool sent, struct slice answer);
	void *arg;
	unsigned slow; /* of a thousand messages, those that take long to be read */
};
struct rpc_call *client_call(struct member *m, const char *method, struct slice message,
                             const struct client_ops *ops);
void client_send(struct rpc_call *c, struct slice message);
/* Nothing comes any more; on_end is not called. */
void client_cancel(struct rpc_call *c);
/* The member is gone: its calls break. */
void sim_rpc_crash(struct member *m);
void sim_rpc_reset(void);

/* --- edge_peers.c --- */
void sim_peers_crash(struct member *m);
/* All others hear that their streams with it broke; it does not. */
void sim_peers_lose(const struct member *m);
/* The streams between two members break; both hear of it. */
void sim_peers_break(struct member *a, struct member *b);
