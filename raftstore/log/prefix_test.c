/* SPDX-License-Identifier: Apache-2.0 */
/* The proof by prefixes: a run's writes and syncs are recorded, then the log is opened on what a
 * power cut behind every single operation may leave. It must open, hold all that was acknowledged,
 * equal the state behind some record of the run, and go on from there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "raftstore/log/log.h"
#include "tests/lib/simdisk.h"

enum { BATCHES = 60, SEEDS = 12, ENTRIES_MAX = 2000, CUTS_EACH = 3 };

static const struct raftlog_identity identity = {1, 2};

/* One record of the run, with the batch that it belongs to. */
struct step {
	uint64_t seq;
	bool is_state;
	struct raft_hard_state hard_state;
	uint64_t index, term; /* an entry: replaces what is there */
};

struct run {
	struct simdisk disk;
	VEC(struct step) steps;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t durable;
	size_t acked_ops[BATCHES + 1]; /* operations when the batch was acknowledged */
	uint64_t compacted;
};

struct model {
	struct raft_hard_state hard_state;
	uint64_t last, terms[ENTRIES_MAX];
};

static void on_report(void *arg, const struct raftlog_report *r)
{
	struct run *run = arg;
	size_t ops = simdisk_op_count(&run->disk);
	pthread_mutex_lock(&run->lock);
	for (uint64_t seq = run->durable + 1; r->result == 0 && seq <= r->seq; seq++)
		run->acked_ops[seq] = ops;
	run->durable = r->result == 0 ? r->seq : run->durable;
	pthread_cond_broadcast(&run->changed);
	pthread_mutex_unlock(&run->lock);
}

static struct blob *data_of(uint64_t index, uint64_t term)
{
	size_t n = (index * 131 + term * 17) % 700;
	struct blob *b = blob_new(n);
	for (size_t i = 0; i < n; i++)
		b->data[i] = (uint8_t)(index * 3 + term + i);
	return b;
}

static struct raftlog_options options(struct simdisk *disk, struct run *run)
{
	return (struct raftlog_options){
	    .dir = "x",
	    .identity = identity,
	    .segment_bytes = 6000,
	    .io = &disk->io,
	    .report = run ? on_report : NULL,
	    .arg = run,
	};
}

static void issue(struct run *run, struct raftlog *l, struct rng *rng, uint64_t seq,
                  struct model *m)
{
	_cleanup_raft_entries_ struct raft_entries list = {0};
	struct raftlog_batch b = {.seq = seq};
	/* A new term may replace a suffix, never what is compacted. */
	if (rng_below(rng, 6) == 0) {
		m->hard_state = (struct raft_hard_state){m->hard_state.term + 1, rng_below(rng, 3)};
		b.has_hard_state = true;
		b.hard_state = m->hard_state;
		*vec_push(&run->steps) =
		    (struct step){.seq = seq, .is_state = true, .hard_state = m->hard_state};
		uint64_t back = rng_below(rng, 12);
		m->last = MAX(run->compacted, m->last - MIN(back, m->last));
	}
	uint64_t n = rng_below(rng, 9);
	for (uint64_t i = 0; i < n; i++) {
		m->last++;
		struct raft_entry e = {m->last, m->hard_state.term, RAFT_ENTRY_COMMAND,
		                       data_of(m->last, m->hard_state.term)};
		*vec_push(&list) = e;
		*vec_push(&run->steps) =
		    (struct step){.seq = seq, .index = e.index, .term = e.term};
	}
	/* Without entries nothing is replaced. */
	if (n == 0) {
		m->last = 0;
		VEC_FOREACH (&run->steps, s)
			m->last = s->is_state ? m->last : s->index;
	}
	b.entries = list.at;
	b.n = list.n;
	assert_int_equal(raftlog_append(l, &b), 0);
}

static void record_run(struct run *run, uint64_t seed)
{
	struct rng rng;
	rng_init(&rng, seed);
	*run = (struct run){.durable = 0};
	simdisk_init(&run->disk);
	pthread_mutex_init(&run->lock, NULL);
	pthread_cond_init(&run->changed, NULL);
	struct raftlog_options opt = options(&run->disk, run);
	struct raftlog *l = NULL;
	struct raftlog_boot boot;
	struct err err = ERR_INIT;
	assert_int_equal(raftlog_open(&opt, &l, &boot, &err), 0);
	struct model m = {.hard_state = {1, 1}};
	for (uint64_t seq = 1; seq <= BATCHES; seq++) {
		issue(run, l, &rng, seq, &m);
		if (rng_below(&rng, 3))
			continue; /* let them gather */
		pthread_mutex_lock(&run->lock);
		while (run->durable < seq)
			pthread_cond_wait(&run->changed, &run->lock);
		pthread_mutex_unlock(&run->lock);
		if (rng_below(&rng, 4) == 0 && m.last > 20) {
			run->compacted = MAX(run->compacted, m.last - 20);
			raftlog_compact(l, run->compacted);
		}
	}
	raftlog_close(l);
	assert_int_equal(run->durable, BATCHES);
}

static bool equals(const struct model *m, const struct raftlog_boot *boot)
{
	uint64_t last = boot->mark.index + boot->entries.n;
	if (m->last != last || m->hard_state.term != boot->hard_state.term ||
	    m->hard_state.vote != boot->hard_state.vote)
		return false;
	VEC_FOREACH (&boot->entries, e)
		if (m->terms[e->index] != e->term)
			return false;
	return boot->mark.index == 0 || m->terms[boot->mark.index] == boot->mark.term;
}

static void model_step(struct model *m, const struct step *s)
{
	if (s->is_state) {
		m->hard_state = s->hard_state;
		return;
	}
	m->terms[s->index] = s->term;
	m->last = s->index;
}

/* Equal to the state behind some record that is not before the acknowledged batch's last. */
static bool matches_some_state(const struct run *run, uint64_t acked,
                               const struct raftlog_boot *boot)
{
	struct model m = {.last = 0};
	size_t i = 0;
	for (; i < run->steps.n && run->steps.at[i].seq <= acked; i++)
		model_step(&m, &run->steps.at[i]);
	if (equals(&m, boot))
		return true;
	for (; i < run->steps.n; i++) {
		const struct step *s = &run->steps.at[i];
		/* A truncation is a record of its own before the entry that replaces. */
		if (!s->is_state && s->index <= m.last) {
			m.last = s->index - 1;
			if (equals(&m, boot))
				return true;
		}
		model_step(&m, s);
		if (equals(&m, boot))
			return true;
	}
	return false;
}

static void check_bytes(const struct raftlog_boot *boot)
{
	VEC_FOREACH (&boot->entries, e) {
		struct blob *want = data_of(e->index, e->term);
		assert_true(slice_eq(blob_view(e->data), blob_view(want)));
		blob_unref(want);
	}
}

/* The log goes on from what it found, and a second opening finds that too. */
static void check_goes_on(struct simdisk *disk, struct raftlog *l, struct raftlog_boot *boot)
{
	uint64_t last = boot->mark.index + boot->entries.n;
	uint64_t term = boot->hard_state.term + 1;
	struct raft_entry e = {last + 1, term, RAFT_ENTRY_COMMAND, data_of(last + 1, term)};
	struct raftlog_batch b = {1, true, {term, 9}, &e, 1};
	assert_int_equal(raftlog_append(l, &b), 0);
	blob_unref(e.data);
	raftlog_close(l);
	raft_entries_deinit(&boot->entries);
	struct raftlog_options opt = options(disk, NULL);
	struct err err = ERR_INIT;
	assert_int_equal(raftlog_open(&opt, &l, boot, &err), 0);
	assert_int_equal(boot->torn_bytes, 0);
	assert_int_equal(boot->mark.index + boot->entries.n, last + 1);
	assert_int_equal(boot->hard_state.vote, 9);
	check_bytes(boot);
	raftlog_close(l);
	raft_entries_deinit(&boot->entries);
}

static size_t check_prefix(struct run *run, size_t n_ops, struct rng *rng, uint64_t seed)
{
	uint64_t acked = 0;
	while (acked < BATCHES && run->acked_ops[acked + 1] <= n_ops)
		acked++;
	struct simdisk disk;
	simdisk_cut(&run->disk, n_ops, rng, &disk);
	struct raftlog_options opt = options(&disk, NULL);
	struct raftlog *l = NULL;
	struct raftlog_boot boot = {0};
	struct err err = ERR_INIT;
	int r = raftlog_open(&opt, &l, &boot, &err);
	bool good =
	    r == 0 && boot.mark.index <= run->compacted && matches_some_state(run, acked, &boot);
	if (!good)
		fail_msg("seed %llu, cut behind operation %zu of %zu, batch %llu acknowledged: "
		         "%d %s; last %llu",
		         (unsigned long long)seed, n_ops, run->disk.ops.n,
		         (unsigned long long)acked, r, err.text,
		         (unsigned long long)(boot.mark.index + boot.entries.n));
	check_bytes(&boot);
	size_t torn = boot.torn_bytes > 0;
	check_goes_on(&disk, l, &boot);
	simdisk_deinit(&disk);
	return torn;
}

static void test_every_prefix(void **state)
{
	size_t torn = 0, cuts = 0;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct run run;
		struct rng rng;
		record_run(&run, seed);
		rng_init(&rng, seed + 1000);
		for (size_t n = 0; n <= run.disk.ops.n; n++) {
			for (int i = 0; i < CUTS_EACH; i++, cuts++)
				torn += check_prefix(&run, n, &rng, seed);
		}
		vec_deinit(&run.steps);
		simdisk_deinit(&run.disk);
		pthread_mutex_destroy(&run.lock);
		pthread_cond_destroy(&run.changed);
	}
	print_message("%zu power cuts, %zu torn tails\n", cuts, torn);
	assert_true(cuts > 1000 && torn > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_prefix)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
