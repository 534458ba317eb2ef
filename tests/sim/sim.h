/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A world in which production code of raftstore runs: virtual time, members with their executors
 * (the loop, the queue of requests, the workers), and everything random drawn from one seed.
 *
 * One thing happens after the other. A job of an executor runs to its end at one moment; what it
 * does to the disk takes virtual time, for which its executor stays busy. Everything that happens
 * is mixed into the trace, so that two runs of one seed can be compared. */
#include <setjmp.h>
#include "common/base/rng.h"
#include "common/base/vec.h"
#include "common/base/worker.h"
#include "raftstore/server/options.h"

enum { MEMBERS_MAX = 9, EXECUTORS_MAX = 16 };

struct member;
struct disk;
struct store_disk;
struct peers;
struct raft;

typedef void (*sim_fn)(void *arg);

/* Runs functions in order, each some time after it was posted. */
struct executor {
	struct member *member;
	const char *name;
	VEC(struct worker_job) jobs; /* due_ns: in microseconds of the world */
	size_t at;                   /* the first that has not run */
	uint64_t last_due_us, busy_until_us;
	bool scheduled, running;
	bool dead; /* its worker has been stopped */
};

struct member {
	unsigned at;   /* in the world */
	uint64_t id;   /* 0: not known yet */
	bool up;       /* the process runs */
	bool known;    /* has data on its disk, or is to be started */
	uint64_t life; /* counts starts: what belongs to an earlier one never happens */
	uint64_t starts, crashes, stops;
	/* The process. */
	struct daemon *daemon;
	struct server *server;
	struct server_options *options;
	struct executor executors[EXECUTORS_MAX];
	unsigned n_executors;
	struct executor *loop, *queue;
	struct rpc_server *rpc;
	struct peers *peers;
	struct raft *raft;
	bool booted, stopping, serving;
	/* The clock: the world's, faster or slower by up to some percent, from some start. */
	uint64_t clock_base_us, clock_at_us;
	int64_t drift_ppm;
	/* What survives. */
	struct disk *disk;
	struct store_disk *store;
	/* Faults to come. */
	uint64_t crash_in_ops; /* operations on the disk until the next crash; 0: none */
	uint64_t slow_disk_until_us;
	bool gone; /* removed from the cluster: never started again */
	const char *initial_state;
	char name[16], peer_url[48], client_url[48], data_dir[32];
	char *initial_cluster;
};

struct sim_stats {
	uint64_t jobs, messages, dropped, crashes, stops, commits, calls, failed_calls, reads,
	    writes;
	uint64_t watch_events, snapshots, members_changed, compactions, leases, renewals, expired;
	uint64_t linear_ops, linear_unknown, linear_given_up, elections, revisions, transfers,
	    defragments, full_disks;
};

struct sim {
	uint64_t seed, now_us, sequence, trace;
	struct rng rng;
	struct member members[MEMBERS_MAX];
	unsigned n;         /* members there have ever been */
	unsigned n_initial; /* of the first configuration */
	uint64_t cost_us;   /* of the job that runs, so far */
	struct executor *executor;
	jmp_buf *out; /* of the job that runs */
	bool healed, verbose;
	/* The network between members, in a thousand; delays in microseconds. */
	unsigned drop, duplicate;
	uint64_t delay_us, slow_us;
	bool cut[MEMBERS_MAX][MEMBERS_MAX];
	bool cut_clients[MEMBERS_MAX];
	struct sim_stats stats;
	char failure[1024];
	int result;
};

enum sim_result {
	SIM_OK = 0,
	SIM_USAGE = 1,
	SIM_SAFETY = 10,
	SIM_LIVENESS = 11,
	SIM_CRASH = 12,
};

extern struct sim sim;

/* --- random --- */

static inline uint64_t sim_below(uint64_t n)
{
	return rng_below(&sim.rng, n);
}
/* True in `n` of a thousand cases. */
static inline bool sim_chance(unsigned n)
{
	return n && rng_below(&sim.rng, 1000) < n;
}

/* --- events --- */

/* The world's time, with what the running job has taken so far. */
static inline uint64_t sim_now_us(void)
{
	return sim.now_us + sim.cost_us;
}
/* Something outside of the members happens in delay_us. */
void sim_after(uint64_t delay_us, sim_fn fn, void *arg);
/* The same, unless the member has ended by then; on its executor when that is not NULL. */
void sim_after_in(struct member *m, struct executor *e, uint64_t delay_us, sim_fn fn, void *arg);
void executor_post(struct executor *e, sim_fn fn, void *arg);
/* Runs all its jobs at once. */
void executor_drain(struct executor *e);
struct executor *executor_new(struct member *m, const char *name);
/* Until nothing is left or the time has come. */
void sim_run_until(uint64_t time_us);
/* The running job takes so long. */
void sim_cost(uint64_t us);
void sim_mix(uint64_t value);
void sim_mix_bytes(const void *p, size_t n);

/* --- members --- */

uint64_t member_clock_us(const struct member *m);
/* How much of the world's time passes in so much of the member's. */
uint64_t member_to_world_us(const struct member *m, uint64_t us);
struct member *sim_member(void); /* whose job runs */
void member_start(struct member *m);
/* The process is gone, the disks are what a power cut leaves; not from inside of its jobs. */
void member_crash(struct member *m);
/* From inside of its jobs; does not return. */
_Noreturn void member_die(const char *why);
void member_stop(struct member *m); /* as SIGTERM does */
struct member *member_of_id(uint64_t id);
struct member *member_of_url(const char *url);
/* A new member, which is not started. */
struct member *member_add(void);

/* --- verdicts --- */

/* The first one counts; the run ends. */
void sim_fail(enum sim_result result, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void sim_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define SIM_CHECK(cond, ...)                               \
	do {                                               \
		if (!(cond))                               \
			sim_fail(SIM_SAFETY, __VA_ARGS__); \
	} while (0)

/* Ends whatever the world has of the last seed, and begins with this one. */
void sim_begin(uint64_t seed, bool verbose);
