/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of MVCC that need no store: watch matching and lease deadlines against naive models,
 * the checks of transactions. (raftstore/store/model_test.c has the rest.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "common/base/rng.h"
#include "raftstore/mvcc/compact_plan.h"
#include "raftstore/mvcc/lease_heap.h"
#include "raftstore/mvcc/txn.h"
#include "raftstore/mvcc/watch_index.h"

/* --- watch index --- */

enum { WATCHERS = 200, KEY_BYTES = 3 };

struct watching {
	struct watch_entry entry;
	uint8_t key[KEY_BYTES], end[KEY_BYTES];
	bool added;
	unsigned hits;
};

static size_t random_bytes(struct rng *g, uint8_t *p)
{
	size_t n = 1 + rng_below(g, KEY_BYTES);
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)rng_below(g, 4);
	return n;
}

static void on_hit(void *arg, struct watch_entry *e)
{
	CONTAINER_OF(e, struct watching, entry)->hits++;
}

static void test_watch_index(void **state)
{
	static struct watching all[WATCHERS];
	struct watch_index x;
	struct rng g;
	rng_init(&g, 5);
	watch_index_init(&x, 1);
	for (int i = 0; i < 20000; i++) {
		struct watching *w = &all[rng_below(&g, WATCHERS)];
		if (w->added) {
			watch_index_remove(&x, &w->entry);
		} else {
			size_t n = random_bytes(&g, w->key), m = random_bytes(&g, w->end);
			if (rng_below(&g, 3) == 0)
				m = 0;
			w->entry = (struct watch_entry){0};
			w->entry.keys = key_range_of(slice_of(w->key, n), slice_of(w->end, m));
			watch_index_add(&x, &w->entry);
		}
		w->added = !w->added;
		uint8_t key[KEY_BYTES];
		struct slice k = slice_of(key, random_bytes(&g, key));
		watch_index_match(&x, k, on_hit, NULL);
		for (size_t j = 0; j < WATCHERS; j++) {
			bool want = all[j].added && key_range_has(&all[j].entry.keys, k);
			assert_int_equal(all[j].hits, want);
			all[j].hits = 0;
		}
	}
	watch_index_deinit(&x);
}

/* --- lease heap --- */

enum { LEASES = 50 };

static void test_lease_heap(void **state)
{
	struct lease_heap h;
	struct rng g;
	uint64_t due[LEASES] = {0}; /* 0: none */
	rng_init(&g, 6);
	lease_heap_init(&h, 1);
	for (int i = 0; i < 20000; i++) {
		unsigned id = (unsigned)rng_below(&g, LEASES);
		uint64_t at = 1 + rng_below(&g, 1000);
		struct lease_timer *t = lease_heap_find(&h, id + 1);
		assert_int_equal(t != NULL, due[id] != 0);
		if (!t || rng_below(&g, 4) == 0) {
			lease_heap_put(&h, id + 1, 10, at);
			due[id] = at;
		} else if (rng_below(&g, 2)) {
			lease_heap_move(&h, t, at);
			due[id] = at;
		} else {
			lease_heap_remove(&h, id + 1);
			due[id] = 0;
		}
		uint64_t least = UINT64_MAX;
		for (size_t j = 0; j < LEASES; j++)
			least = due[j] ? MIN(least, due[j]) : least;
		t = lease_heap_first(&h);
		assert_int_equal(t ? t->expires_ms : UINT64_MAX, least);
	}
	lease_heap_remove(&h, 12345);
	lease_heap_deinit(&h);
	struct lease_timer t = {.expires_ms = 5001};
	assert_int_equal(lease_timer_left_ms(&t, 4000), 1001);
	assert_int_equal(lease_timer_left_ms(&t, 5001), 0);
}

/* --- checks of transactions --- */

/* A transaction in words: "pa" puts key a, "dbd" deletes [b, d), "db" deletes b, "ga" gets a,
 * "(...|...)" is a nested transaction with two branches; operations are separated by spaces. */
struct parser {
	struct arena arena;
	const char *at;
};

static void parse_ops(struct parser *p, Etcdserverpb__RequestOp ***ret, size_t *ret_n);

static ProtobufCBinaryData parse_key(struct parser *p)
{
	if (!*p->at || strchr(" |)", *p->at))
		return (ProtobufCBinaryData){0};
	return (ProtobufCBinaryData){1, (uint8_t *)p->at++};
}

static Etcdserverpb__TxnRequest *parse_txn(struct parser *p)
{
	Etcdserverpb__TxnRequest *t = arena_new(&p->arena, Etcdserverpb__TxnRequest);
	etcdserverpb__txn_request__init(t);
	parse_ops(p, &t->success, &t->n_success);
	if (*p->at == '|') {
		p->at++;
		parse_ops(p, &t->failure, &t->n_failure);
	}
	return t;
}

static Etcdserverpb__RequestOp *parse_op(struct parser *p)
{
	Etcdserverpb__RequestOp *op = arena_new(&p->arena, Etcdserverpb__RequestOp);
	etcdserverpb__request_op__init(op);
	switch (*p->at++) {
	case 'p':
		op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
		op->request_put = arena_new(&p->arena, Etcdserverpb__PutRequest);
		etcdserverpb__put_request__init(op->request_put);
		op->request_put->key = parse_key(p);
		break;
	case 'd':
		op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
		op->request_delete_range = arena_new(&p->arena, Etcdserverpb__DeleteRangeRequest);
		etcdserverpb__delete_range_request__init(op->request_delete_range);
		op->request_delete_range->key = parse_key(p);
		op->request_delete_range->range_end = parse_key(p);
		break;
	case 'g':
		op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
		op->request_range = arena_new(&p->arena, Etcdserverpb__RangeRequest);
		etcdserverpb__range_request__init(op->request_range);
		op->request_range->key = parse_key(p);
		break;
	case '(':
		op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
		op->request_txn = parse_txn(p);
		assert_int_equal(*p->at++, ')');
		break;
	default:
		break;
	}
	return op;
}

static void parse_ops(struct parser *p, Etcdserverpb__RequestOp ***ret, size_t *ret_n)
{
	enum { OPS = 16 };
	*ret = arena_array(&p->arena, Etcdserverpb__RequestOp *, OPS);
	while (*p->at && *p->at != '|' && *p->at != ')') {
		if (*p->at == ' ') {
			p->at++;
			continue;
		}
		assert_true(*ret_n < OPS);
		(*ret)[(*ret_n)++] = parse_op(p);
	}
}

static void test_check_txn(void **state)
{
	static const struct {
		const char *txn;
		int want;
	} cases[] = {
	    {"", 0},
	    {"pa pb", 0},
	    {"pa pa", OUTCOME_DUPLICATE_KEY},
	    {"pa | pa", 0},
	    {"pb dac", OUTCOME_DUPLICATE_KEY},
	    {"dac pb", OUTCOME_DUPLICATE_KEY},
	    {"dac pc", 0},
	    {"db pb", OUTCOME_DUPLICATE_KEY},
	    {"dac dbd", 0},
	    {"ga pa ga", 0},
	    {"pa (pb|pc)", 0},
	    {"pa (pb|pa)", OUTCOME_DUPLICATE_KEY},
	    {"(pa|pb) pb", OUTCOME_DUPLICATE_KEY},
	    {"(pa|pa)", 0},
	    {"(pa|pb) (pb|pc)", OUTCOME_DUPLICATE_KEY},
	    {"(pa|pb) (pc|pd)", 0},
	    {"dac (pb|px)", OUTCOME_DUPLICATE_KEY},
	    {"(dac|) pb", OUTCOME_DUPLICATE_KEY},
	    {"(dac|pb)", 0},
	    {"pa ((pb|pc)|pd) (pe|pf)", 0},
	    {"pc ((pb|pc)|pd)", OUTCOME_DUPLICATE_KEY},
	    {"p", OUTCOME_EMPTY_KEY},
	    {"d", OUTCOME_EMPTY_KEY},
	    {"g", OUTCOME_EMPTY_KEY},
	    {"x", OUTCOME_KEY_NOT_FOUND},
	    {"pa pb pc pd pe pf pg", OUTCOME_TOO_MANY_OPS},
	    {"(pa pb pc pd pe|)", 0},
	    {"(pa pb pc pd pe pf|)", OUTCOME_TOO_MANY_OPS},
	    {"pa pb pc (pd pe pf|)", OUTCOME_TOO_MANY_OPS},
	    {"pa pb pc (pd pe|)", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct parser p = {.at = cases[i].txn};
		arena_init(&p.arena);
		int got = check_txn(parse_txn(&p), 6);
		if (got != cases[i].want)
			fail_msg("\"%s\": %s", cases[i].txn, outcome_text(got));
		arena_deinit(&p.arena);
	}
}

static void test_nesting(void **state)
{
	struct parser p = {0};
	arena_init(&p.arena);
	Etcdserverpb__TxnRequest *t = arena_new(&p.arena, Etcdserverpb__TxnRequest);
	etcdserverpb__txn_request__init(t);
	for (unsigned depth = 0; depth < TXN_DEPTH_MAX + 2; depth++) {
		assert_int_equal(check_txn(t, 128),
		                 depth <= TXN_DEPTH_MAX ? 0 : OUTCOME_TOO_MANY_OPS);
		Etcdserverpb__RequestOp *op = arena_new(&p.arena, Etcdserverpb__RequestOp);
		etcdserverpb__request_op__init(op);
		op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
		op->request_txn = t;
		t = arena_new(&p.arena, Etcdserverpb__TxnRequest);
		etcdserverpb__txn_request__init(t);
		t->success = arena_memdup(&p.arena, &op, sizeof(op));
		t->n_success = 1;
	}
	arena_deinit(&p.arena);
}

static void test_outcomes(void **state)
{
	assert_string_equal(outcome_text(OUTCOME_COMPACTED),
	                    "etcdserver: mvcc: required revision has been compacted");
	assert_int_equal(outcome_grpc_code(OUTCOME_COMPACTED), 11);
	assert_int_equal(outcome_grpc_code(-ERR_NO_SPACE), 8);
	assert_int_equal(outcome_grpc_code(-ERR_IO), 14);
}

/* Each tick writes ten revisions. Returns the tick and revision of the first compactions. */
static void play_compactions(struct compact_plan *p, unsigned ticks, bool leads,
                             unsigned ret_tick[4], int64_t ret_revision[4])
{
	size_t n = 0;
	for (unsigned i = 1; i <= ticks && n < 4; i++) {
		int64_t to = compact_plan_tick(p, i * p->every_ms, 1 + 10 * (int64_t)i, leads);
		if (to) {
			ret_tick[n] = i;
			ret_revision[n++] = to;
		}
	}
	while (n < 4)
		ret_revision[n++] = 0;
}

static void test_compact_periodic(void **state)
{
	struct compact_plan p;
	unsigned tick[4];
	int64_t rev[4];
	/* Half an hour: a note each three minutes; what is older than ten notes goes each period.
	 */
	compact_plan_init(&p, false, 1800000, 0, 1);
	assert_int_equal(p.every_ms, 180000);
	play_compactions(&p, 100, true, tick, rev);
	assert_int_equal(tick[0], 10);
	assert_int_equal(rev[0], 1);
	assert_int_equal(tick[1], 20);
	assert_int_equal(rev[1], 91);
	assert_int_equal(tick[2], 30);
	assert_int_equal(rev[2], 191);
	compact_plan_deinit(&p);
	/* Three hours: not before they are over, then each hour. */
	compact_plan_init(&p, false, 3 * 3600000, 0, 1);
	assert_int_equal(p.every_ms, 360000);
	play_compactions(&p, 100, true, tick, rev);
	assert_int_equal(tick[0], 30);
	assert_int_equal(rev[0], 1);
	assert_int_equal(tick[1], 40);
	assert_int_equal(rev[1], 91);
	compact_plan_deinit(&p);
	/* Who follows does nothing, but knows the revisions when it becomes the leader. */
	compact_plan_init(&p, false, 1800000, 0, 1);
	play_compactions(&p, 30, false, tick, rev);
	assert_int_equal(rev[0], 0);
	assert_int_equal(compact_plan_tick(&p, 31 * p.every_ms, 311, true), 201);
	compact_plan_deinit(&p);
}

static void test_compact_revision(void **state)
{
	struct compact_plan p;
	unsigned tick[4];
	int64_t rev[4];
	compact_plan_init(&p, true, 25, 0, 1);
	assert_int_equal(p.every_ms, 300000);
	play_compactions(&p, 10, true, tick, rev);
	assert_int_equal(tick[0], 3);
	assert_int_equal(rev[0], 6);
	assert_int_equal(tick[1], 4);
	assert_int_equal(rev[1], 16);
	/* Nothing was written since. */
	assert_int_equal(compact_plan_tick(&p, 10 * p.every_ms, 61, true), 0);
	compact_plan_deinit(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_watch_index),      cmocka_unit_test(test_lease_heap),
	    cmocka_unit_test(test_check_txn),        cmocka_unit_test(test_nesting),
	    cmocka_unit_test(test_outcomes),         cmocka_unit_test(test_compact_periodic),
	    cmocka_unit_test(test_compact_revision),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
