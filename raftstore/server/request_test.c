/* SPDX-License-Identifier: Apache-2.0 */
/* Commands in the log: who asks comes through, whatever is cut or changed is found or harmless. */
#include "raftstore/server/request.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>
#include "common/base/rng.h"
#include "raftstore/mvcc/txn.h"

/* Calls are not made here. */
struct rpc_call {
	int unused;
};

static struct request *put(struct rpc_call *call, struct identity who)
{
	struct request *q = request_new(call, COMMAND_PUT);
	Etcdserverpb__PutRequest *m = arena_new(&q->arena, Etcdserverpb__PutRequest);
	etcdserverpb__put_request__init(m);
	m->key = (ProtobufCBinaryData){3, (uint8_t *)"key"};
	m->value = (ProtobufCBinaryData){5, (uint8_t *)"value"};
	q->message = &m->base;
	if (call)
		q->who = who;
	request_pack_command(q);
	return q;
}

static void expect_put(struct slice command, const struct identity *want)
{
	struct arena a;
	enum command_kind kind;
	struct identity who;
	arena_init(&a);
	const Etcdserverpb__PutRequest *m = (const void *)command_decode(command, &a, &kind, &who);
	assert_non_null(m);
	assert_int_equal(kind, COMMAND_PUT);
	assert_true(slice_eq_str(pb_slice(m->key), "key"));
	assert_true(slice_eq_str(pb_slice(m->value), "value"));
	assert_int_equal(who.revision, want->revision);
	assert_int_equal(who.system, want->system);
	assert_true(slice_eq(who.user, want->user));
	arena_deinit(&a);
}

static void test_identities(void **state)
{
	struct rpc_call call = {0};
	const struct identity all[] = {
	    {0},
	    {.user = SLICE_LIT("u"), .revision = 1},
	    {.user = SLICE_LIT("with \0 and \xff"), .revision = UINT64_MAX},
	    {.revision = 7},
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct request *q = put(&call, all[i]);
		expect_put(blob_view(q->command), &all[i]);
		struct blob *f = command_forwarded(blob_view(q->command), 5, 6);
		uint64_t member, sequence;
		assert_non_null(f);
		assert_true(command_origin(blob_view(f), &member, &sequence));
		assert_int_equal(member, 5);
		assert_int_equal(sequence, 6);
		expect_put(blob_view(f), &all[i]);
		blob_unref(f);
		q->call = NULL;
		request_free(q);
	}
	struct request *q = put(NULL, (struct identity){0});
	expect_put(blob_view(q->command), &(struct identity){.system = true});
	request_free(q);
}

/* Kinds that there are not, cut commands, and a user that is longer than the command. */
static void test_malformed(void **state)
{
	struct rpc_call call = {0};
	struct arena a;
	enum command_kind kind;
	struct identity who;
	arena_init(&a);
	struct request *q = put(&call, (struct identity){SLICE_LIT("user"), 9, false});
	struct slice whole = blob_view(q->command);
	size_t head = COMMAND_HEAD_BYTES + 12 + 4;
	for (size_t n = 0; n < head; n++)
		assert_null(command_decode(slice_of(whole.data, n), &a, &kind, &who));
	uint8_t *bytes = arena_memdup(&a, whole.data, whole.len);
	for (unsigned k = 0; k <= COMMAND_KIND_MASK; k++) {
		bytes[1] = (uint8_t)(k | COMMAND_KNOWN);
		bool known = command_decode(slice_of(bytes, whole.len), &a, &kind, &who);
		if (k == 0 || k >= COMMANDS)
			assert_false(known);
	}
	bytes[1] = COMMAND_PUT | COMMAND_KNOWN;
	memset(bytes + COMMAND_HEAD_BYTES + 8, 0xff, 4);
	assert_null(command_decode(slice_of(bytes, whole.len), &a, &kind, &who));
	bytes[0] = 99;
	assert_null(command_decode(slice_of(bytes, whole.len), &a, &kind, &who));
	q->call = NULL;
	request_free(q);
	arena_deinit(&a);
}

static void test_random_bytes(void **state)
{
	struct rpc_call call = {0};
	struct rng rng;
	rng_init(&rng, 11);
	struct request *q = put(&call, (struct identity){SLICE_LIT("user"), 9, false});
	for (unsigned round = 0; round < 20000; round++) {
		_cleanup_arena_ struct arena a;
		enum command_kind kind;
		struct identity who;
		arena_init(&a);
		size_t n = rng_below(&rng, q->command->len + 1);
		uint8_t *bytes = arena_memdup(&a, q->command->data, n);
		for (unsigned i = 0; n && i < 3; i++)
			bytes[rng_below(&rng, n)] = (uint8_t)rng_next(&rng);
		if (command_decode(slice_of(bytes, n), &a, &kind, &who))
			assert_true(who.user.len <= n);
	}
	q->call = NULL;
	request_free(q);
}

struct heard {
	unsigned n;
	int outcome;
	size_t bytes;
};

static void hear(void *arg, int outcome, struct slice answer)
{
	struct heard *h = arg;
	h->n++;
	h->outcome = outcome;
	h->bytes = answer.len;
}

/* Who waits without a call is told exactly once. */
static void test_done(void **state)
{
	struct heard h = {0};
	struct request *q = put(NULL, (struct identity){0});
	q->done = hear;
	q->done_arg = &h;
	request_reply(q, SLICE_LIT("answer"));
	assert_int_equal(h.n, 1);
	assert_int_equal(h.bytes, 6);
	q = put(NULL, (struct identity){0});
	q->done = hear;
	q->done_arg = &h;
	request_give_up(q, OUTCOME_TIMEOUT);
	assert_int_equal(h.n, 2);
	assert_int_equal(h.outcome, OUTCOME_TIMEOUT);
	request_reply(q, SLICE_LIT("late"));
	assert_int_equal(h.n, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_identities),
	    cmocka_unit_test(test_malformed),
	    cmocka_unit_test(test_random_bytes),
	    cmocka_unit_test(test_done),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
