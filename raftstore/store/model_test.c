/* SPDX-License-Identifier: Apache-2.0 */
/* MVCC over both stores against a model that keeps every version of every key in a plain list:
 * random transactions, ranges at random revisions with random options, compactions, long keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>
#include "common/base/rng.h"
#include "common/base/vec.h"
#include "raftstore/mvcc/lease.h"
#include "raftstore/mvcc/verify.h"
#include "raftstore/store/store.h"

enum { KEYS = 40, LONG_BYTES = 1500 };

struct model_version {
	unsigned key;
	int64_t create, mod, version, lease;
	uint64_t value;
	bool deleted;
};

struct world {
	struct rng rng;
	struct arena arena;
	struct slice keys[KEYS];
	VEC(struct model_version) versions; /* in order of mod */
	int64_t revision, compacted;
	struct kv_txn *memory;
	struct store *store;
	char dir[64];
	uint64_t applied;
};

static int slice_order(const void *a, const void *b)
{
	return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

/* Short keys, keys with zeros, keys around the limit, long ones with common beginnings. */
static struct slice random_key(struct world *w)
{
	uint8_t *p = arena_alloc(&w->arena, LONG_BYTES);
	size_t n;
	switch (rng_below(&w->rng, 4)) {
	case 0:
		n = 1 + rng_below(&w->rng, 4);
		for (size_t i = 0; i < n; i++)
			p[i] = (uint8_t)rng_below(&w->rng, 3);
		break;
	case 1:
		n = 470 + rng_below(&w->rng, 20);
		memset(p, 'k', n);
		break;
	case 2:
		n = 500 + rng_below(&w->rng, 5);
		memset(p, 'k', n);
		p[n - 1] = (uint8_t)('a' + rng_below(&w->rng, 26));
		break;
	default:
		n = LONG_BYTES - rng_below(&w->rng, 3);
		memset(p, 'z', n);
		p[rng_below(&w->rng, n)] = 'y';
	}
	return slice_of(p, n);
}

static void make_keys(struct world *w)
{
	for (size_t n = 0; n < KEYS;) {
		w->keys[n] = random_key(w);
		bool twice = false;
		for (size_t i = 0; i < n; i++)
			twice |= slice_eq(w->keys[i], w->keys[n]);
		n += !twice;
	}
	qsort(w->keys, KEYS, sizeof(*w->keys), slice_order);
}

static void world_open(struct world *w, uint64_t seed)
{
	*w = (struct world){.revision = 1};
	print_message("seed %llu\n", (unsigned long long)seed);
	rng_init(&w->rng, seed);
	arena_init(&w->arena);
	make_keys(w);
	w->memory = memory_store_new();
	snprintf(w->dir, sizeof(w->dir), "/tmp/mvcc_test.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	struct err err = ERR_INIT;
	struct store_options o = {.dir = w->dir, .map_bytes = 1 << 28, .no_sync = true};
	if (store_open(&o, &w->store, &err))
		fail_msg("%s", err.text);
}

static void world_close(struct world *w)
{
	store_close(w->store);
	memory_store_free(w->memory);
	DIR *d = opendir(w->dir);
	char path[400];
	for (struct dirent *e; d && (e = readdir(d));) {
		snprintf(path, sizeof(path), "%s/%s", w->dir, e->d_name);
		unlink(path);
	}
	closedir(d);
	rmdir(w->dir);
	vec_deinit(&w->versions);
	arena_deinit(&w->arena);
}

/* --- the model --- */

/* The newest version of a key at a revision; NULL: not there. */
static struct model_version *model_find(struct world *w, unsigned key, int64_t revision)
{
	for (size_t i = w->versions.n; i-- > 0;) {
		struct model_version *v = &w->versions.at[i];
		if (v->key == key && v->mod <= revision)
			return v->deleted ? NULL : v;
	}
	return NULL;
}

static void model_change(struct world *w, unsigned key, uint64_t value, bool deleted)
{
	struct model_version *old = model_find(w, key, w->revision);
	struct model_version v = {.key = key, .mod = w->revision + 1, .value = value};
	v.deleted = deleted;
	v.create = old ? old->create : v.mod;
	v.version = old ? old->version + 1 : 1;
	*vec_push(&w->versions) = v;
}

/* --- changes on both --- */

struct change {
	unsigned key;
	uint64_t value;
	bool deleted;
};

static void apply_to(struct kv_txn *kv, struct world *w, const struct change *at, size_t n)
{
	_cleanup_mvcc_ struct mvcc m = {0};
	assert_int_equal(mvcc_open(&m, kv), 0);
	mvcc_begin(&m);
	for (size_t i = 0; i < n; i++) {
		struct slice value = slice_of(&at[i].value, sizeof(at[i].value));
		int r = at[i].deleted ? mvcc_delete(&m, w->keys[at[i].key])
		                      : mvcc_put(&m, w->keys[at[i].key], value, 0);
		assert_int_equal(r, 0);
	}
	assert_int_equal(mvcc_end(&m), w->revision + 1);
	assert_int_equal(mvcc_save(&m), 0);
}

static struct kv_txn *begin(struct world *w, bool write)
{
	struct kv_txn *kv = NULL;
	assert_int_equal(store_begin(w->store, write, &kv), 0);
	return kv;
}

static void commit(struct kv_txn *kv)
{
	struct err err = ERR_INIT;
	if (store_commit(kv, &err))
		fail_msg("%s", err.text);
}

static void step_change(struct world *w)
{
	struct change list[8];
	size_t n = 0, want = 1 + rng_below(&w->rng, ARRAY_LEN(list));
	for (unsigned key = (unsigned)rng_below(&w->rng, KEYS); n < want && key < KEYS; key++) {
		if (rng_below(&w->rng, 3) == 0)
			continue;
		bool there = model_find(w, key, w->revision);
		list[n++] =
		    (struct change){key, rng_next(&w->rng), there && rng_below(&w->rng, 3) == 0};
	}
	if (!n)
		return;
	apply_to(w->memory, w, list, n);
	struct kv_txn *kv = begin(w, true);
	apply_to(kv, w, list, n);
	commit(kv);
	for (size_t i = 0; i < n; i++)
		model_change(w, list[i].key, list[i].value, list[i].deleted);
	w->revision++;
}

/* --- ranges on all three --- */

struct expected {
	struct world *w;
	const struct mvcc_range *q;
	struct model_version list[KEYS];
	size_t n, at;
};

static int64_t sort_number(const struct expected *e, const struct model_version *v)
{
	return e->q->target == TARGET_VERSION  ? v->version
	       : e->q->target == TARGET_CREATE ? v->create
	                                       : v->mod;
}

static int expected_cmp(const void *va, const void *vb, void *arg)
{
	struct expected *e = arg;
	const struct model_version *a = va, *b = vb;
	int r;
	if (e->q->target == TARGET_KEY) {
		r = (a->key > b->key) - (a->key < b->key);
	} else if (e->q->target == TARGET_VALUE) {
		r = memcmp(&a->value, &b->value, sizeof(a->value));
	} else {
		int64_t x = sort_number(e, a), y = sort_number(e, b);
		r = (x > y) - (x < y);
	}
	if (e->q->order == ORDER_DESCEND)
		r = -r;
	return r ? r : (a->key > b->key) - (a->key < b->key);
}

static int check_item(void *arg, const struct record *rec)
{
	struct expected *e = arg;
	assert_true(e->at < e->n);
	const struct model_version *v = &e->list[e->at++];
	assert_true(slice_eq(rec->key, e->w->keys[v->key]));
	assert_int_equal(rec->rev.main, v->mod);
	assert_int_equal(rec->create, v->create);
	assert_int_equal(rec->version, v->version);
	if (e->q->keys_only)
		assert_int_equal(rec->value.len, 0);
	else
		assert_memory_equal(rec->value.data, &v->value, sizeof(v->value));
	return 0;
}

static void check_range(struct world *w, struct kv_txn *kv, const struct mvcc_range *q)
{
	int64_t revision = q->revision ? q->revision : w->revision;
	struct expected e = {.w = w, .q = q};
	int64_t count = 0;
	for (unsigned key = 0; key < KEYS; key++) {
		struct model_version *v = model_find(w, key, revision);
		if (!v || !key_range_has(&q->keys, w->keys[key]))
			continue;
		count++;
		if (!(q->min_mod && v->mod < q->min_mod) &&
		    !(q->max_create && v->create > q->max_create))
			e.list[e.n++] = *v;
	}
	if (q->order == ORDER_DESCEND || q->target != TARGET_KEY)
		qsort_r(e.list, e.n, sizeof(*e.list), expected_cmp, &e);
	bool more = q->limit && e.n > (size_t)q->limit;
	if (more)
		e.n = (size_t)q->limit;
	if (q->count_only)
		e.n = 0;
	_cleanup_mvcc_ struct mvcc m = {0};
	struct arena a;
	arena_init(&a);
	struct mvcc_range_result found;
	assert_int_equal(mvcc_open(&m, kv), 0);
	int r = mvcc_range(&m, q, &a, check_item, &e, &found);
	if (q->revision && q->revision < w->compacted) {
		assert_int_equal(r, OUTCOME_COMPACTED);
	} else {
		assert_int_equal(r, 0);
		assert_int_equal(e.at, e.n);
		assert_int_equal(found.count, count);
		assert_int_equal(found.more, more && !q->count_only);
	}
	arena_deinit(&a);
}

static void step_range(struct world *w)
{
	static const uint8_t zero[1];
	struct rng *g = &w->rng;
	unsigned from = (unsigned)rng_below(g, KEYS), to = (unsigned)rng_below(g, KEYS);
	struct slice end[] = {SLICE_EMPTY, w->keys[to], slice_of(zero, 1)};
	struct mvcc_range q = {.keys = key_range_of(w->keys[from], end[rng_below(g, 3)])};
	if (rng_below(g, 2))
		q.revision = 1 + (int64_t)rng_below(g, (uint64_t)w->revision);
	if (rng_below(g, 2))
		q.limit = 1 + (int64_t)rng_below(g, 10);
	if (rng_below(g, 3) == 0) {
		q.target = (enum mvcc_target)rng_below(g, 5);
		q.order = rng_below(g, 2) ? ORDER_DESCEND : ORDER_ASCEND;
	}
	if (rng_below(g, 4) == 0)
		q.min_mod = (int64_t)rng_below(g, (uint64_t)w->revision);
	if (rng_below(g, 4) == 0)
		q.max_create = (int64_t)rng_below(g, (uint64_t)w->revision);
	q.keys_only = rng_below(g, 4) == 0;
	q.count_only = rng_below(g, 8) == 0;
	check_range(w, w->memory, &q);
	struct kv_txn *kv = begin(w, false);
	check_range(w, kv, &q);
	store_end(kv);
}

static void compact_on(struct kv_txn *kv, int64_t revision, bool finish)
{
	_cleanup_mvcc_ struct mvcc m = {0};
	bool done = false;
	assert_int_equal(mvcc_open(&m, kv), 0);
	assert_int_equal(mvcc_compact(&m, revision), 0);
	assert_int_equal(mvcc_save(&m), 0);
	do
		assert_int_equal(mvcc_compact_some(&m, 3, &done), 0);
	while (finish && !done);
}

static void step_compact(struct world *w)
{
	if (w->compacted + 5 > w->revision)
		return;
	int64_t at = w->compacted + 1 + (int64_t)rng_below(&w->rng, 4);
	bool finish = rng_below(&w->rng, 2);
	compact_on(w->memory, at, finish);
	struct kv_txn *kv = begin(w, true);
	compact_on(kv, at, finish);
	commit(kv);
	w->compacted = at;
}

static int count_change(void *arg, const struct record *rec)
{
	++*(size_t *)arg;
	return 0;
}

/* After the walk has ended only what a reader can still see is left. */
static void check_erased(struct world *w)
{
	struct kv_txn *kv = begin(w, true);
	_cleanup_mvcc_ struct mvcc m = {0};
	bool done = false;
	assert_int_equal(mvcc_open(&m, kv), 0);
	while (!done)
		assert_int_equal(mvcc_compact_some(&m, 100, &done), 0);
	size_t left = 0, want = 0;
	assert_int_equal(mvcc_changes(kv, 0, count_change, &left), 0);
	for (size_t i = 0; i < w->versions.n; i++) {
		struct model_version *v = &w->versions.at[i];
		want += v->mod >= w->compacted || model_find(w, v->key, w->compacted) == v;
	}
	assert_int_equal(left, want);
	mvcc_close(&m);
	commit(kv);
}

/* --- what fits together --- */

static void on_problem(void *arg, const char *text)
{
	fail_msg("%s", text);
}

static void check_sound(struct kv_txn *kv)
{
	struct mvcc_verify v = {.problem = on_problem};
	assert_int_equal(mvcc_verify(kv, &v), 0);
}

static void check_sound_now(struct world *w)
{
	struct kv_txn *kv = begin(w, false);
	check_sound(kv);
	store_end(kv);
	check_sound(w->memory);
}

static void count_problem(void *arg, const char *text)
{
}

static uint64_t problems(struct kv_txn *kv)
{
	struct mvcc_verify v = {.problem = count_problem};
	assert_int_equal(mvcc_verify(kv, &v), 0);
	return v.problems;
}

struct pair {
	struct slice key, value;
};

/* Takes each pair away in turn. */
static void check_each_missed(struct kv_txn *kv, enum kv_table table, struct arena *a)
{
	VEC(struct pair) pairs = {0};
	struct kv_cursor c;
	assert_int_equal(kv_cursor_open(kv, table, &c), 0);
	for (int r = kv_cursor_seek(&c, SLICE_EMPTY); !r; r = kv_cursor_next(&c))
		*vec_push(&pairs) = (struct pair){
		    slice_of(arena_memdup(a, c.key.data, c.key.len), c.key.len),
		    slice_of(arena_memdup(a, c.value.data, c.value.len), c.value.len)};
	kv_cursor_close(&c);
	assert_true(pairs.n > 0);
	VEC_FOREACH (&pairs, p) {
		assert_int_equal(kv_del(kv, table, p->key), 0);
		assert_true(problems(kv) > 0);
		assert_int_equal(kv_put(kv, table, p->key, p->value), 0);
	}
	vec_deinit(&pairs);
	check_sound(kv);
}

static void test_missing_pairs(void **state)
{
	struct kv_txn *kv = memory_store_new();
	struct arena a;
	struct mvcc m;
	arena_init(&a);
	assert_int_equal(mvcc_open(&m, kv), 0);
	assert_int_equal(lease_grant(&m, 7, 60), 0);
	for (int i = 0; i < 30; i++) {
		char key[2] = {(char)('a' + i % 7), 0};
		mvcc_begin(&m);
		assert_int_equal(mvcc_put(&m, slice_str(key), SLICE_LIT("v"), i % 3 ? 0 : 7), 0);
		if (i % 5 == 4)
			assert_int_equal(mvcc_delete(&m, slice_str(key)), 0);
		mvcc_end(&m);
	}
	assert_int_equal(mvcc_save(&m), 0);
	mvcc_close(&m);
	check_sound(kv);
	check_each_missed(kv, KV_REV, &a);
	check_each_missed(kv, KV_INDEX, &a);
	check_each_missed(kv, KV_LEASE, &a);
	check_each_missed(kv, KV_LEASE_KEYS, &a);
	arena_deinit(&a);
	memory_store_free(kv);
}

static void test_random(void **state)
{
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct world w;
		world_open(&w, seed);
		for (int i = 0; i < 1500; i++) {
			uint64_t dice = rng_below(&w.rng, 20);
			if (i % 200 == 0)
				check_sound_now(&w);
			if (dice < 6)
				step_change(&w);
			else if (dice < 19)
				step_range(&w);
			else
				step_compact(&w);
		}
		check_sound_now(&w);
		check_erased(&w);
		check_sound_now(&w);
		for (int i = 0; i < 100; i++)
			step_range(&w);
		world_close(&w);
	}
}

/* --- leases --- */

static int expect_key(void *arg, struct slice key)
{
	assert_true(slice_eq_str(key, *(const char **)arg));
	*(const char **)arg = NULL;
	return 0;
}

static void test_leases(void **state)
{
	struct kv_txn *kv = memory_store_new();
	struct mvcc m;
	struct arena a;
	struct lease l;
	arena_init(&a);
	assert_int_equal(mvcc_open(&m, kv), 0);
	assert_int_equal(lease_grant(&m, 7, 60), 0);
	assert_int_equal(lease_grant(&m, 7, 60), OUTCOME_LEASE_EXISTS);
	assert_int_equal(lease_grant(&m, 8, 60), 0);
	mvcc_begin(&m);
	assert_int_equal(mvcc_put(&m, SLICE_LIT("a"), SLICE_LIT("1"), 7), 0);
	mvcc_end(&m);
	mvcc_begin(&m);
	assert_int_equal(mvcc_put(&m, SLICE_LIT("b"), SLICE_LIT("1"), 7), 0);
	mvcc_end(&m);
	/* Another lease takes the key over. */
	mvcc_begin(&m);
	assert_int_equal(mvcc_put(&m, SLICE_LIT("a"), SLICE_LIT("2"), 8), 0);
	mvcc_end(&m);
	const char *want = "b";
	assert_int_equal(lease_each_key(kv, 7, expect_key, &want), 0);
	assert_null(want);
	mvcc_begin(&m);
	assert_int_equal(lease_revoke(&m, 7, &a), 0);
	mvcc_end(&m);
	struct record rec;
	assert_int_equal(mvcc_get(&m, SLICE_LIT("b"), &rec), -ERR_NOT_FOUND);
	assert_int_equal(mvcc_get(&m, SLICE_LIT("a"), &rec), 0);
	assert_int_equal(lease_get(kv, 7, &l), OUTCOME_LEASE_NOT_FOUND);
	assert_int_equal(lease_checkpoint(&m, 8, 12), 0);
	assert_int_equal(lease_get(kv, 8, &l), 0);
	assert_int_equal(l.remaining_s, 12);
	mvcc_close(&m);
	arena_deinit(&a);
	memory_store_free(kv);
}

/* --- defragmentation and checkpoints --- */

static void reopen(struct world *w)
{
	store_close(w->store);
	w->store = NULL;
	struct err err = ERR_INIT;
	struct store_options o = {.dir = w->dir, .map_bytes = 1 << 28, .no_sync = true};
	if (store_open(&o, &w->store, &err))
		fail_msg("%s", err.text);
}

/* With changes before, between and behind its steps; the next checkpoint makes it durable. */
static void defragment(struct world *w)
{
	struct err err = ERR_INIT;
	struct kv_txn *reader = begin(w, false);
	assert_int_equal(store_defragment_begin(w->store, &err), 0);
	assert_int_equal(store_defragment_begin(w->store, &err), -ERR_TOO_MANY_REQUESTS);
	for (int i = 0; i < 20; i++)
		step_change(w);
	assert_int_equal(store_defragment_copy(w->store, &err), 0);
	for (int i = 0; i < 20; i++)
		step_change(w);
	assert_int_equal(store_defragment_end(w->store, false, &err), -ERR_TOO_MANY_REQUESTS);
	store_end(reader);
	assert_int_equal(store_defragment_end(w->store, false, &err), 0);
	check_sound_now(w);
}

/* What was committed after the checkpoint is gone after a restart; what was before it stays. */
static void test_checkpoint(void **state)
{
	struct world w;
	struct err err = ERR_INIT;
	world_open(&w, 99);
	for (int round = 1; round < 20; round++) {
		for (int i = 0; i < 30; i++)
			step_change(&w);
		if (round % 5 == 0)
			defragment(&w);
		struct store_mark mark = {(uint64_t)round, 1};
		assert_int_equal(store_checkpoint_begin(w.store, mark), 0);
		assert_int_equal(store_checkpoint_finish(w.store, &err), 0);
		size_t versions = w.versions.n;
		int64_t revision = w.revision;
		if (round % 7 == 0)
			defragment(&w);
		for (int i = 0; i < 40; i++)
			step_change(&w);
		reopen(&w);
		w.versions.n = versions;
		w.revision = revision;
		assert_int_equal(store_durable(w.store).index, round);
		/* The model in memory cannot go back. */
		struct mvcc_range all = {.keys = key_range_of(w.keys[0], SLICE_LIT("\0"))};
		struct kv_txn *kv = begin(&w, false);
		check_range(&w, kv, &all);
		check_sound(kv);
		store_end(kv);
		memory_store_free(w.memory);
		w.memory = memory_store_new();
		kv = begin(&w, false);
		for (int t = 0; t < KV_TABLES; t++) {
			struct kv_cursor c;
			assert_int_equal(kv_cursor_open(kv, (enum kv_table)t, &c), 0);
			for (int r = kv_cursor_seek(&c, SLICE_EMPTY); !r; r = kv_cursor_next(&c))
				assert_int_equal(kv_put(w.memory, c.table, c.key, c.value), 0);
			kv_cursor_close(&c);
		}
		store_end(kv);
	}
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_random),
	    cmocka_unit_test(test_missing_pairs),
	    cmocka_unit_test(test_leases),
	    cmocka_unit_test(test_checkpoint),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
