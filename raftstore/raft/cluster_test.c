/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters under seeded chaos; the checks are in tests/lib/raft_cluster.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "tests/lib/raft_cluster.h"

static struct cluster cluster;

static void test_one_member(void **state)
{
	struct cluster *c = &cluster;
	cluster_init(c, 1, 1);
	struct cluster_node *n = &c->nodes[0];
	cluster_run(c, 20);
	assert_ptr_equal(cluster_leader(c), n);
	assert_int_equal(n->applied, 1);
	assert_int_equal(cluster_read(c, n), 0);
	assert_int_equal(n->reads_done, 1); /* at once */
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(cluster_propose(c, n, i), 0);
	assert_int_equal(n->applied, 1);
	cluster_run(c, 20);
	assert_int_equal(n->applied, 101);
	assert_true(n->deadline_ms == UINT64_MAX); /* an idle member never wakes */
	cluster_crash(c, 0);
	cluster_start(c, 0);
	cluster_run(c, 20);
	assert_int_equal(n->applied, 102);
	assert_int_equal(raft_status(n->raft).term, 2);
	cluster_deinit(c);
}

static void test_three_members(void **state)
{
	struct cluster *c = &cluster;
	cluster_init(c, 3, 2);
	cluster_run(c, 4000);
	struct cluster_node *leader = cluster_leader(c);
	assert_non_null(leader);
	for (uint64_t i = 0; i < 500; i++)
		assert_int_equal(cluster_propose(c, leader, i), 0);
	cluster_run(c, 200);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(c->nodes[i].applied, 501);
		assert_int_equal(cluster_read(c, &c->nodes[i]), 0);
		assert_int_equal(raft_status(c->nodes[i].raft).leader, leader->id);
	}
	cluster_run(c, 200);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(c->nodes[i].reads_done, 1);
	assert_int_equal(cluster_propose(c, &c->nodes[leader->id % 3], 1), -ERR_UNAVAILABLE);
	cluster_deinit(c);
}

/* Check-quorum: who leads nobody says so. Pre-vote: who was away disturbs nobody. */
static void test_isolated_leader(void **state)
{
	struct cluster *c = &cluster;
	cluster_init(c, 3, 3);
	cluster_run(c, 4000);
	struct cluster_node *old = cluster_leader(c);
	assert_non_null(old);
	for (unsigned i = 1; i <= 3; i++)
		c->cut[old->id][i] = c->cut[i][old->id] = true;
	assert_int_equal(cluster_read(c, old), 0); /* cannot be confirmed */
	assert_int_equal(cluster_propose(c, old, 7), 0);
	cluster_run(c, 5000);
	assert_int_not_equal(old->raft->role, RAFT_LEADER);
	assert_int_equal(old->reads_done, 0);
	assert_int_equal(old->reads_failed, 1);
	struct cluster_node *leader = cluster_leader(c);
	assert_non_null(leader);
	assert_ptr_not_equal(leader, old);
	uint64_t term = leader->raft->hard.term;
	assert_int_equal(cluster_propose(c, leader, 8), 0);
	cluster_run(c, 10000);
	cluster_heal(c);
	cluster_run(c, 3000);
	assert_ptr_equal(cluster_leader(c), leader);
	assert_int_equal(leader->raft->hard.term, term);
	assert_int_equal(old->applied, leader->applied);
	cluster_deinit(c);
}

/* A transfer costs a few round trips, not an election timeout, and loses nothing. */
static void test_transfer(void **state)
{
	struct cluster *c = &cluster;
	cluster_init(c, 3, 6);
	cluster_run(c, 4000);
	for (unsigned turn = 0; turn < 3; turn++) {
		struct cluster_node *old = cluster_leader(c), *to = &c->nodes[old->id % 3];
		assert_int_equal(cluster_propose(c, old, turn), 0);
		assert_int_equal(cluster_transfer(c, old, to->id), 0);
		assert_int_equal(raft_status(old->raft).transfer_to, to->id);
		assert_int_equal(cluster_propose(c, old, turn), -ERR_UNAVAILABLE);
		cluster_run(c, 100);
		assert_ptr_equal(cluster_leader(c), to);
		assert_int_equal(raft_status(old->raft).transfer_to, 0);
		assert_int_equal(cluster_propose(c, to, turn), 0);
	}
	cluster_run(c, 200);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(c->nodes[i].applied, 10); /* 4 first entries, 6 commands */
	cluster_deinit(c);
}

/* The leader dies and its streams break: the others do not wait for an election timeout. */
static void test_broken_streams(void **state)
{
	struct cluster *c = &cluster;
	cluster_init(c, 3, 8);
	cluster_run(c, 4000);
	struct cluster_node *old = cluster_leader(c);
	cluster_crash(c, (unsigned)old->id - 1);
	for (unsigned i = 0; i < 3; i++)
		if (i != old->id - 1)
			cluster_break(c, i, (unsigned)old->id - 1);
	cluster_run(c, 250);
	assert_non_null(cluster_leader(c));
	cluster_deinit(c);
}

static void test_backpressure(void **state)
{
	struct cluster *c = &cluster;
	cluster_init(c, 1, 4);
	cluster_run(c, 20);
	struct raft *r = c->nodes[0].raft;
	r->opt.uncommitted_limit_bytes = 100;
	unsigned n = 0;
	while (cluster_propose(c, &c->nodes[0], n) == 0)
		n++;
	assert_int_equal(n, 12);
	struct raft_status before = raft_status(r);
	assert_int_equal(cluster_propose(c, &c->nodes[0], n), -ERR_TOO_MANY_REQUESTS);
	struct raft_status after = raft_status(r);
	assert_int_equal(before.last, after.last);
	assert_int_equal(before.uncommitted_bytes, after.uncommitted_bytes);
	cluster_run(c, 20);
	assert_int_equal(raft_status(r).uncommitted_bytes, 0);
	assert_int_equal(cluster_propose(c, &c->nodes[0], n), 0);
	cluster_deinit(c);
}

static void test_lagging_member_gets_snapshot(void **state)
{
	struct cluster *c = &cluster;
	cluster_init(c, 3, 5);
	cluster_run(c, 4000);
	struct cluster_node *leader = cluster_leader(c);
	unsigned away = leader->id % 3;
	cluster_crash(c, away);
	for (uint64_t i = 0; i < 200; i++)
		assert_int_equal(cluster_propose(c, leader, i), 0);
	cluster_run(c, 500);
	cluster_compact(c, leader, leader->applied - 10);
	cluster_start(c, away);
	cluster_run(c, 3000);
	assert_true(c->snapshots > 0);
	assert_int_equal(c->nodes[away].applied, leader->applied);
	assert_int_equal(cluster_propose(c, leader, 1), 0);
	cluster_run(c, 500);
	assert_int_equal(c->nodes[away].applied, leader->applied);
	cluster_deinit(c);
}

/* Who was away for less than the window needs no snapshot. */
static void test_compaction_leaves_a_window(void **state)
{
	struct cluster *c = &cluster;
	cluster_init(c, 3, 7);
	cluster_run(c, 4000);
	struct cluster_node *leader = cluster_leader(c);
	unsigned away = leader->id % 3;
	leader->raft->opt.keep_entries = 100;
	cluster_crash(c, away);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(cluster_propose(c, leader, i), 0);
	cluster_run(c, 500);
	cluster_compact(c, leader, leader->applied);
	assert_int_equal(raft_status(leader->raft).first, leader->applied - 99);
	cluster_start(c, away);
	cluster_run(c, 3000);
	assert_int_equal(c->snapshots, 0);
	assert_int_equal(c->nodes[away].applied, leader->applied);
	/* The window is bounded in bytes, too: 10 commands. */
	leader->raft->opt.keep_bytes = 80;
	cluster_compact(c, leader, leader->applied);
	assert_int_equal(raft_status(leader->raft).first, leader->applied - 9);
	cluster_deinit(c);
}

/* Unanswered appends are limited by their number and by their bytes. */
static void test_flow_control(void **state)
{
	struct cluster *c = &cluster;
	struct raft_progress p;
	cluster_init(c, 3, 9);
	cluster_run(c, 4000);
	struct cluster_node *leader = cluster_leader(c);
	uint64_t slow = leader->id % 3 + 1;
	c->cut[slow][leader->id] = true;
	leader->raft->opt.append_limit_bytes = 40; /* 5 commands */
	leader->raft->opt.inflight_limit_bytes = 200;
	for (uint64_t i = 0; i < 500; i++) {
		assert_int_equal(cluster_propose(c, leader, i), 0);
		assert_true(raft_progress(leader->raft, slow, &p));
		assert_true(p.inflight_bytes <= 200);
	}
	assert_int_equal(p.state, RAFT_REPLICATE);
	assert_int_equal(p.inflight, 25);
	leader->raft->opt.inflight_limit_bytes = 1 << 20;
	assert_int_equal(cluster_propose(c, leader, 0), 0);
	assert_true(raft_progress(leader->raft, slow, &p));
	assert_int_equal(p.inflight, 64);
	assert_false(raft_progress(leader->raft, leader->id, &p));
	assert_false(raft_progress(c->nodes[slow - 1].raft, leader->id, &p));
	cluster_heal(c);
	cluster_run(c, 2000);
	assert_true(raft_progress(leader->raft, slow, &p));
	assert_int_equal(p.inflight + p.inflight_bytes, 0);
	assert_int_equal(c->nodes[slow - 1].applied, leader->applied);
	cluster_deinit(c);
}

static int change_one(struct cluster *c, struct cluster_node *n, enum raft_change_type type,
                      uint64_t id)
{
	struct raft_change_request q = {.at = {{type, id}}, .n = 1};
	return cluster_change(c, n, &q);
}

/* One member becomes three: its log is compacted, the others begin with a snapshot as learners, are
 * promoted when they are in sync, and go on without the first. */
static void test_one_becomes_three(void **state)
{
	struct cluster *c = &cluster;
	cluster_init_some(c, 3, 1, 10);
	cluster_run(c, 50);
	struct cluster_node *first = &c->nodes[0];
	for (uint64_t i = 0; i < 200; i++)
		assert_int_equal(cluster_propose(c, first, i), 0);
	cluster_run(c, 50);
	cluster_compact(c, first, first->applied);
	for (uint64_t id = 2; id <= 3; id++) {
		c->cut[1][id] = true;
		assert_int_equal(change_one(c, first, RAFT_ADD_LEARNER, id), 0);
		cluster_run(c, 100);
		assert_int_equal(change_one(c, first, RAFT_PROMOTE, id), -ERR_INVALID);
		c->cut[1][id] = false;
		cluster_run(c, 2000);
		assert_int_equal(c->nodes[id - 1].applied, first->applied);
		assert_int_equal(change_one(c, first, RAFT_PROMOTE, id), 0);
		cluster_run(c, 200);
	}
	assert_int_equal(c->snapshots, 2);
	/* The leader removes itself: another one leads at once, nothing is lost. */
	assert_int_equal(change_one(c, first, RAFT_REMOVE, 1), 0);
	cluster_run(c, 100);
	struct cluster_node *leader = cluster_leader(c);
	assert_non_null(leader);
	assert_ptr_not_equal(leader, first);
	assert_int_equal(cluster_propose(c, leader, 1), 0);
	cluster_run(c, 100);
	assert_int_equal(c->nodes[1].applied, leader->applied);
	assert_int_equal(c->nodes[1].state, c->nodes[2].state);
	/* Removed, it waits without a timer and disturbs nobody. */
	cluster_run(c, 10000);
	assert_true(first->deadline_ms == UINT64_MAX);
	assert_ptr_equal(cluster_leader(c), leader);
	cluster_deinit(c);
}

static void random_change(struct cluster *c, struct cluster_node *n)
{
	struct raft_change_request q = {.way = (enum raft_change_way)rng_below(&c->rng, 4)};
	for (uint64_t k = q.way == RAFT_CHANGE_LEAVE ? 0 : 1 + rng_below(&c->rng, 3); k; k--)
		q.at[q.n++] = (struct raft_change){
		    .type = (enum raft_change_type)(RAFT_ADD_VOTER + rng_below(&c->rng, 4)),
		    .id = 1 + rng_below(&c->rng, c->n),
		};
	struct err err = ERR_INIT;
	int check = raft_change_check(n->raft, &q, &err);
	assert_int_equal(cluster_change(c, n, &q), check);
}

static void chaos_turn(struct cluster *c)
{
	uint64_t dice = rng_below(&c->rng, 2000);
	unsigned node = (unsigned)rng_below(&c->rng, c->n);
	struct cluster_node *n = &c->nodes[node];
	if (dice < 2)
		cluster_crash(c, node);
	else if (dice < 8)
		cluster_start(c, node);
	else if (dice < 12)
		c->cut[node + 1][1 + rng_below(&c->rng, c->n)] ^= true; /* one way */
	else if (dice == 12)
		memset(c->cut, 0, sizeof(c->cut));
	else if (dice < 200 && n->raft)
		ERR_IGNORE(cluster_propose(c, n, dice)); /* followers refuse */
	else if (dice < 260 && n->raft)
		ERR_IGNORE(cluster_read(c, n)); /* without a leader refused */
	else if (dice < 266)
		cluster_break(c, node, (unsigned)rng_below(&c->rng, c->n));
	else if (dice < 272 && n->raft)
		ERR_IGNORE(cluster_transfer(c, n, 1 + rng_below(&c->rng, c->n))); /* likewise */
	else if (dice < 300 && n->raft)
		random_change(c, n);
	else if (dice < 304 && n->raft && n->applied > 30)
		cluster_compact(c, n, n->applied - rng_below(&c->rng, 30));
	cluster_turn(c);
}

/* Who disagrees with the leader although it is in the configuration. */
static void assert_agreement(struct cluster *c, const struct cluster_node *leader)
{
	for (unsigned i = 0; i < c->n; i++) {
		if (!raft_conf_has(&leader->raft->conf, i + 1))
			continue;
		assert_int_equal(c->nodes[i].applied, leader->applied);
		assert_int_equal(c->nodes[i].state, leader->state);
	}
}

struct chaos_sums {
	uint64_t commits, snapshots, changes, chunks;
};

static void chaos(unsigned members, uint64_t seed, uint64_t turns, struct chaos_sums *sums)
{
	struct cluster *c = &cluster;
	cluster_init_some(c, members, members - members / 3, seed);
	c->options.election_ms = 150;
	c->options.heartbeat_ms = 20;
	c->options.inflight_limit = 4;
	c->options.append_limit_bytes = 64;
	c->options.inflight_limit_bytes = seed % 2 ? 100 : 0;
	c->options.keep_entries = seed % 5 == 0 ? 20 : 0;
	for (unsigned i = 0; i < members; i++) {
		cluster_crash(c, i);
		cluster_start(c, i);
	}
	c->drop_percent = rng_below(&c->rng, 20);
	c->double_percent = rng_below(&c->rng, 10);
	c->delay_ms = 1 + rng_below(&c->rng, 40);
	c->disk_ms = rng_below(&c->rng, 30);
	while (turns--)
		chaos_turn(c);
	/* The world heals: progress is due. */
	cluster_heal(c);
	cluster_run(c, 4000);
	struct cluster_node *leader = cluster_leader(c);
	if (!leader)
		fail_msg("seed %llu: nobody leads", (unsigned long long)seed);
	if (leader->raft->conf.outgoing.n) {
		struct raft_change_request q = {.way = RAFT_CHANGE_LEAVE};
		assert_int_equal(cluster_change(c, leader, &q), 0);
		cluster_run(c, 3000);
		leader = cluster_leader(c);
		assert_non_null(leader);
	}
	assert_int_equal(leader->raft->conf.outgoing.n, 0);
	assert_int_equal(cluster_propose(c, leader, 1), 0);
	cluster_run(c, 3000);
	assert_agreement(c, leader);
	sums->commits += c->commit;
	sums->snapshots += c->snapshots;
	sums->changes += c->changes;
	sums->chunks += c->chunks;
	cluster_deinit(c);
}

static void test_chaos(void **state)
{
	struct chaos_sums sums = {0};
	/* SEED=7 runs one, SEEDS=1000 that many. */
	const char *only = getenv("SEED"), *many = getenv("SEEDS");
	uint64_t last = many ? strtoull(many, NULL, 10) : 150;
	for (uint64_t seed = 1; seed <= last; seed++)
		if (!only || strtoull(only, NULL, 10) == seed)
			chaos(seed % 4 == 0 ? 7 : 4, seed, 12000, &sums);
	print_message(
	    "%llu entries committed, %llu snapshots in %llu chunks, %llu membership changes\n",
	    (unsigned long long)sums.commits, (unsigned long long)sums.snapshots,
	    (unsigned long long)sums.chunks, (unsigned long long)sums.changes);
	assert_true((sums.commits > 1000 && sums.changes > 100) || only);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_member),
	    cmocka_unit_test(test_three_members),
	    cmocka_unit_test(test_isolated_leader),
	    cmocka_unit_test(test_transfer),
	    cmocka_unit_test(test_broken_streams),
	    cmocka_unit_test(test_backpressure),
	    cmocka_unit_test(test_lagging_member_gets_snapshot),
	    cmocka_unit_test(test_compaction_leaves_a_window),
	    cmocka_unit_test(test_flow_control),
	    cmocka_unit_test(test_one_becomes_three),
	    cmocka_unit_test(test_chaos),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
