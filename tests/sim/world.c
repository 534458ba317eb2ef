/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/world.h"
#include <stdio.h>
#include "common/base/buf.h"
#include "common/base/heap.h"
#include "tests/sim/check.h"
#include "tests/sim/clients.h"
#include "tests/sim/edges.h"
#include "tests/sim/leases.h"
#include "tests/sim/operators.h"
#include "tests/sim/watchers.h"

enum {
	TROUBLE_US = 12000000,
	LONG_TROUBLE_US = 50000000, /* in a few worlds: leases need their time */
	PROGRESS_US = 60000000,     /* of the healed world */
	STEP_US = 250000,
};

/* --- how much goes wrong in this world --- */

struct temper {
	unsigned crashes, stops, cuts, disks, changes, network; /* weights */
	uint64_t every_us;
};

static struct temper temper;
unsigned world_members;

static unsigned weight(void)
{
	static const unsigned weights[] = {0, 0, 1, 2, 4, 8};
	return weights[sim_below(ARRAY_LEN(weights))];
}

static void temper_draw(void)
{
	temper = (struct temper){
	    .crashes = weight(),
	    .stops = weight() / 2,
	    .cuts = weight(),
	    .disks = weight(),
	    .changes = weight(),
	    .network = weight(),
	    .every_us = 100000 + sim_below(900000),
	};
	/* Members are changed in a cluster that is well most of the time. */
	if (sim_chance(250)) {
		temper.changes = 10;
		temper.every_us *= 3;
	}
}

static struct member *any_member(void)
{
	return &sim.members[sim_below(sim.n)];
}

/* Leaders have most to lose. */
static struct member *leader_or_any(void)
{
	struct member *leader = NULL;
	check_leader(&leader);
	return leader && sim_chance(500) ? leader : any_member();
}

static void start_later(void *arg)
{
	member_start(arg);
}

static void cause_crash(void)
{
	struct member *m = leader_or_any();
	if (!m->up)
		return;
	if (sim_chance(500))
		m->crash_in_ops = 1 + sim_below(40);
	else
		member_crash(m);
	if (sim_chance(200))
		for (unsigned i = 0; i < sim.n; i++)
			member_crash(&sim.members[i]);
}

static void cause_cut(void)
{
	struct member *m = leader_or_any();
	if (sim_chance(400)) { /* alone */
		bool both = sim_chance(600), in = sim_chance(500);
		for (unsigned i = 0; i < sim.n; i++) {
			sim.cut[m->at][i] |= both || in;
			sim.cut[i][m->at] |= both || !in;
		}
		if (sim_chance(300))
			sim.cut_clients[m->at] = true;
		/* The others may hear of it long before the member does. */
		if (sim_chance(300))
			sim_peers_lose(m);
	} else if (sim_chance(500)) { /* two halves */
		uint64_t side = rng_next(&sim.rng);
		for (unsigned i = 0; i < sim.n; i++)
			for (unsigned k = 0; k < sim.n; k++)
				sim.cut[i][k] |= (side >> i & 1) != (side >> k & 1);
	} else {
		struct member *o = any_member();
		sim.cut[m->at][o->at] = true;
		if (sim_chance(500))
			sim.cut[o->at][m->at] = true;
		if (sim_chance(700))
			sim_peers_break(m, o);
	}
}

static void heal_cuts(void)
{
	memset(sim.cut, 0, sizeof(sim.cut));
	memset(sim.cut_clients, 0, sizeof(sim.cut_clients));
}

static void cause_disk(void)
{
	struct member *m = any_member();
	switch (sim_below(4)) {
	case 0:
		m->slow_disk_until_us = sim.now_us + sim_below(3000000);
		break;
	case 1:
		sim.stats.full_disks++;
		disk_set_full(m->disk, true);
		store_disk_set_full(m->store, sim_chance(500));
		break;
	case 2:
		disk_set_failing(m->disk, 1);
		break;
	default:
		store_disk_set_failing(m->store, 1);
	}
}

static void heal_disk(struct member *m)
{
	disk_set_full(m->disk, false);
	store_disk_set_full(m->store, false);
	disk_set_failing(m->disk, 0);
	store_disk_set_failing(m->store, 0);
	m->slow_disk_until_us = 0;
	m->crash_in_ops = 0;
}

static void cause_network(void)
{
	static const unsigned rates[] = {0, 5, 20, 100, 300};
	sim.drop = rates[sim_below(ARRAY_LEN(rates))];
	sim.duplicate = rates[sim_below(ARRAY_LEN(rates))];
	sim.delay_us = sim_chance(300) ? 50000 : 500;
	sim.slow_us = sim_chance(300) ? 2000000 : 100000;
}

/* Something gets better, so that there is always something to lose. */
static void ease(void)
{
	for (unsigned i = 0; i < sim.n; i++) {
		struct member *m = &sim.members[i];
		if (!m->up && m->known && sim_chance(400))
			member_start(m);
		if (sim_chance(300))
			heal_disk(m);
	}
	if (sim_chance(350))
		heal_cuts();
}

static void cause(void *arg)
{
	if (sim.healed)
		return;
	unsigned all = temper.crashes + temper.stops + temper.cuts + temper.disks + temper.network;
	sim_after(temper.every_us / 2 + sim_below(temper.every_us), cause, NULL);
	ease();
	if (!all)
		return;
	uint64_t r = sim_below(all);
	if (r < temper.crashes) {
		cause_crash();
	} else if ((r -= temper.crashes) < temper.stops) {
		member_stop(any_member());
	} else if ((r -= temper.stops) < temper.cuts) {
		cause_cut();
	} else if ((r -= temper.cuts) < temper.disks) {
		cause_disk();
	} else if ((r -= temper.disks) < temper.network) {
		cause_network();
	}
}

/* --- the run --- */

static void begin_cluster(void)
{
	static const unsigned sizes[] = {1, 2, 3, 3, 3, 3, 3, 4, 5, 5, 5, 7};
	sim.n_initial = sizes[sim_below(ARRAY_LEN(sizes))];
	if (world_members)
		sim.n_initial = MIN(world_members, (unsigned)MEMBERS_MAX);
	struct buf b = BUF_INIT;
	for (unsigned i = 0; i < sim.n_initial; i++) {
		struct member *m = member_add();
		buf_printf(&b, "%s%s=%s", i ? "," : "", m->name, m->peer_url);
	}
	for (unsigned i = 0; i < sim.n_initial; i++) {
		struct member *m = &sim.members[i];
		m->initial_cluster = heap_strndup((const char *)b.data, b.len);
		m->known = true;
		sim_after(sim_below(200000), start_later, m);
	}
	buf_deinit(&b);
}

static void heal(void)
{
	sim_say("the world heals");
	sim.healed = true;
	sim.drop = sim.duplicate = 0;
	sim.delay_us = 500;
	sim.slow_us = 5000;
	heal_cuts();
	for (unsigned i = 0; i < sim.n; i++) {
		struct member *m = &sim.members[i];
		heal_disk(m);
		if (m->known && !m->up)
			member_start(m);
	}
}

/* Those that were on their way down come back. */
static void keep_up(void)
{
	for (unsigned i = 0; i < sim.n; i++)
		if (sim.members[i].known && !sim.members[i].up)
			member_start(&sim.members[i]);
}

static void demand_progress(void)
{
	uint64_t until = sim.now_us + PROGRESS_US;
	bool asked = false;
	operators_finish();
	while (!sim.result && sim.now_us < until) {
		sim_run_until(sim.now_us + STEP_US);
		keep_up();
		if (!asked && operators_finished() && sim.now_us > until - PROGRESS_US + 3000000) {
			asked = true;
			clients_finish();
			leases_finish();
			watchers_finish();
		}
		if (asked && clients_finished() && watchers_finished() && leases_finished())
			return;
	}
	if (!operators_finished())
		sim_fail(SIM_LIVENESS, "no progress: nobody tells who belongs to the cluster");
	else if (!clients_finished())
		sim_fail(SIM_LIVENESS, "no progress: %s", clients_waiting_for());
	else if (!watchers_finished())
		sim_fail(SIM_LIVENESS, "no progress: %s", watchers_waiting_for());
	else
		sim_fail(SIM_LIVENESS, "no progress: %s", leases_waiting_for());
}

void world_run(uint64_t seed, bool verbose)
{
	sim_begin(seed, verbose);
	sim_timers_reset();
	sim_rpc_reset();
	check_reset();
	clients_reset();
	watchers_reset();
	leases_reset();
	operators_reset();
	sim.delay_us = 500;
	sim.slow_us = 100000;
	temper_draw();
	begin_cluster();
	clients_start(1 + (unsigned)sim_below(6));
	watchers_start((unsigned)sim_below(4));
	leases_start(1 + (unsigned)sim_below(3));
	operators_start(temper.changes);
	sim_after(2000000, cause, NULL);
	sim_run_until(4000000 + sim_below(sim_chance(60) ? LONG_TROUBLE_US : TROUBLE_US));
	if (!sim.result)
		heal();
	demand_progress();
	if (!sim.result)
		clients_judge();
}
