/* SPDX-License-Identifier: Apache-2.0 */
/* Processes: they start on what their disks hold, stop, and crash. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include "common/base/heap.h"
#include "common/daemon/daemon.h"
#include "raftstore/log/log.h"
#include "raftstore/server/front.h"
#include "raftstore/server/server.h"
#include "tests/sim/edges.h"

enum {
	ELECTION_MS = 1000,
	HEARTBEAT_MS = 100,
	START_US = 20000, /* of a process */
};

/* --- the folder of a member, as far as production code touches it itself --- */

int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_flock(int fd, int operation);
int __wrap_close(int fd);

int __wrap_mkdir(const char *path, mode_t mode)
{
	return 0;
}

int __wrap_open64(const char *path, int flags, ...)
{
	return 100;
}

int __wrap_flock(int fd, int operation)
{
	return 0;
}

int __wrap_close(int fd)
{
	return 0;
}

/* --- the log: on the simulated disk, with segments small enough to be many --- */

int __real_raftlog_open(const struct raftlog_options *opt, struct raftlog **ret,
                        struct raftlog_boot *ret_boot, struct err *err);
int __wrap_raftlog_open(const struct raftlog_options *opt, struct raftlog **ret,
                        struct raftlog_boot *ret_boot, struct err *err);

int __wrap_raftlog_open(const struct raftlog_options *opt, struct raftlog **ret,
                        struct raftlog_boot *ret_boot, struct err *err)
{
	struct raftlog_options o = *opt;
	struct log_io io;
	disk_io(sim_member()->disk, &io);
	o.io = &io;
	o.segment_bytes = (uint64_t)4096 << sim_below(4);
	o.window_bytes = (uint64_t)2000 << sim_below(6);
	return __real_raftlog_open(&o, ret, ret_boot, err);
}

void __real_raftlog_compact(struct raftlog *l, uint64_t index);
void __wrap_raftlog_compact(struct raftlog *l, uint64_t index);

void __wrap_raftlog_compact(struct raftlog *l, uint64_t index)
{
	const struct member *m = sim_member();
	SIM_CHECK(index <= store_disk_mark(m->store).index,
	          "member %u compacts its log up to entry %llu, its store is durable up to %llu",
	          m->at, (unsigned long long)index,
	          (unsigned long long)store_disk_mark(m->store).index);
	__real_raftlog_compact(l, index);
}

/* --- the front: clients come by another way --- */

int front_start(struct server *s, struct err *err)
{
	return 0;
}

void front_serve(struct front *f)
{
}

void front_stop(struct front *f, loop_fn done, void *arg)
{
	struct member *m = sim_member();
	loop_post(m->server->loop, done, arg);
}

void front_free(struct server *s)
{
}

/* --- life --- */

static struct server_options *make_options(struct member *m)
{
	struct server_options *o = heap_zalloc(sizeof(*o));
	size_t n;
	server_flags(o, &n);
	o->name = m->name;
	o->data_dir = m->data_dir;
	*vec_push(&o->client_urls) = m->client_url;
	*vec_push(&o->advertise_client_urls) = m->client_url;
	*vec_push(&o->peer_urls) = m->peer_url;
	*vec_push(&o->advertise_peer_urls) = m->peer_url;
	o->initial_cluster = m->initial_cluster;
	o->initial_cluster_state = m->initial_state;
	o->election_ms = ELECTION_MS;
	o->heartbeat_ms = HEARTBEAT_MS;
	/* Few, so that members that were away need a snapshot. */
	o->snapshot_count = (int64_t)(10 + sim_below(100));
	o->progress_notify_ms = 1000;
	return o;
}

static void boot(void *arg)
{
	struct member *m = arg;
	struct err err = ERR_INIT;
	struct arena *a = heap_zalloc(sizeof(*a));
	arena_init(a);
	m->options = make_options(m);
	int r = server_options_finish(m->options, a, &err);
	if (!r)
		r = server_start(m->server, m->daemon, m->options, &err);
	m->booted = !r;
	if (!r)
		return;
	sim_say("does not start: %s", err.text);
	/* A disk that fails is no fault of the store; all else is. */
	SIM_CHECK(r == -ERR_NO_SPACE || r == -ERR_IO || m->gone, "member %u does not start: %s",
	          m->at, err.text);
	member_die("it could not start");
}

void member_start(struct member *m)
{
	if (m->up || m->gone)
		return;
	sim_say("member %u starts", m->at);
	m->up = m->known = true;
	m->life++;
	m->starts++;
	m->n_executors = 0;
	m->stopping = m->serving = m->booted = false;
	m->raft = NULL;
	m->peers = NULL;
	m->crash_in_ops = 0;
	m->clock_at_us = sim_now_us();
	m->clock_base_us = sim_below(1000000000);
	m->daemon = heap_zalloc(sizeof(*m->daemon));
	m->server = heap_zalloc(sizeof(*m->server));
	m->loop = executor_new(m, "loop");
	m->queue = executor_new(m, "queue");
	sim_loop_init(&m->daemon->loop, m->loop);
	m->daemon->metrics = metrics_new(false);
	health_init(&m->daemon->health);
	arena_init(&m->daemon->arena);
	sim_after_in(m, m->loop, START_US, boot, m);
}

static void end(struct member *m)
{
	m->up = false;
	m->life++;
	m->raft = NULL;
	sim_rpc_crash(m);
	sim_peers_crash(m);
}

void member_crash(struct member *m)
{
	if (!m->up)
		return;
	sim_say("member %u crashes", m->at);
	m->crashes++;
	sim.stats.crashes++;
	end(m);
	disk_crash(m->disk);
	store_disk_crash(m->store);
}

void member_die(const char *why)
{
	struct member *m = sim_member();
	sim_say("ends: %s", why);
	member_crash(m);
	longjmp(*sim.out, 1);
}

void sim_member_stop_now(struct member *m)
{
	if (m->stopping)
		return;
	m->stopping = true;
	server_stop(m->server);
}

static void stop(void *arg)
{
	sim_member_stop_now(arg);
}

void member_stop(struct member *m)
{
	if (!m->booted || !m->up || m->stopping)
		return;
	sim_say("member %u is to stop", m->at);
	m->stops++;
	sim.stats.stops++;
	executor_post(m->loop, stop, m);
}

static void deinit(void *arg)
{
	struct member *m = arg;
	bool failed = m->server->failed;
	m->gone |= m->server->removed;
	server_deinit(m->server);
	sim_say("has stopped%s%s", failed ? ", having failed" : "", m->gone ? " for good" : "");
	end(m);
	longjmp(*sim.out, 1);
}

/* Behind what the loop is doing. */
void sim_member_quit(struct member *m)
{
	m->stopping = true;
	executor_post(m->loop, deinit, m);
}

/* --- disks --- */

void member_disk_operation(struct member *m, uint64_t bytes, bool sync)
{
	if (m->crash_in_ops && !--m->crash_in_ops)
		member_die("the power is cut");
	uint64_t us = 1 + bytes / 1000;
	if (sync)
		us += 50 + sim_below(1000) + (sim_chance(10) ? sim_below(50000) : 0);
	if (sim_now_us() < m->slow_disk_until_us)
		us = us * 20 + 1000 + (sync && sim_chance(300) ? sim_below(400000) : 0);
	sim_cost(us);
}

/* --- all of them --- */

struct member *member_of_id(uint64_t id)
{
	for (unsigned i = 0; i < sim.n; i++)
		if (sim.members[i].id == id)
			return &sim.members[i];
	return NULL;
}

struct member *member_of_url(const char *url)
{
	for (unsigned i = 0; i < sim.n; i++)
		if (!strcmp(sim.members[i].peer_url, url))
			return &sim.members[i];
	return NULL;
}

struct member *member_add(void)
{
	if (sim.n == MEMBERS_MAX)
		return NULL;
	struct member *m = &sim.members[sim.n];
	m->at = sim.n++;
	snprintf(m->name, sizeof(m->name), "m%u", m->at);
	snprintf(m->peer_url, sizeof(m->peer_url), "http://10.0.0.%u:2380", m->at + 1);
	snprintf(m->client_url, sizeof(m->client_url), "http://10.0.0.%u:2379", m->at + 1);
	snprintf(m->data_dir, sizeof(m->data_dir), "/m%u", m->at);
	m->drift_ppm = (int64_t)sim_below(40000) - 20000;
	m->disk = disk_new();
	m->store = store_disk_new();
	m->initial_state = "new";
	return m;
}
