/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "common/base/rng.h"
#include "common/base/vec.h"
#include "raftstore/raft/chunks.h"

/* The byte at each place of a snapshot depends on its id, so that a mixture shows. */
static uint8_t byte_at(uint64_t id, uint64_t offset)
{
	return (uint8_t)(id * 31 + offset * 7 + (offset >> 8));
}

struct file {
	VEC(uint8_t) bytes;
	uint64_t complete; /* the id of the last that had all its bytes */
};

static bool receive(struct chunks_receive *r, struct file *f, const struct chunk *c,
                    struct chunk_result *ret)
{
	uint64_t skip;
	switch (chunks_receive(r, c, &skip)) {
	case CHUNK_BAD:
		return false;
	case CHUNK_BEGIN:
		vec_clear(&f->bytes);
		break;
	case CHUNK_WRITE:
		break;
	case CHUNK_IGNORE:
		*ret = chunks_receive_result(r, c);
		return true;
	}
	assert_int_equal(f->bytes.n, c->offset + skip);
	for (uint64_t i = skip; i < c->len; i++)
		*vec_push(&f->bytes) = byte_at(c->id, c->offset + i);
	chunks_receive_written(r, c);
	if (chunks_receive_done(r)) {
		assert_int_equal(f->bytes.n, c->size);
		for (uint64_t i = 0; i < c->size; i++)
			assert_int_equal(f->bytes.at[i], byte_at(c->id, i));
		f->complete = c->id;
	}
	*ret = chunks_receive_result(r, c);
	return true;
}

static const struct chunks_options small = {
    .chunk_bytes = 10, .window_bytes = 30, .resend_ms = 100, .give_up_ms = 1000};

static void test_window_and_resume(void **state)
{
	struct chunks_send s;
	struct chunks_receive r = {0};
	struct file f = {0};
	struct chunk c[4];
	struct chunk_result res;
	chunks_send_init(&s, &small, 7, 45, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_true(chunks_send_next(&s, 0, &c[i]));
	assert_false(chunks_send_next(&s, 0, &c[3])); /* the window is full */
	assert_true(receive(&r, &f, &c[0], &res));
	chunks_send_result(&s, &res, 1);
	assert_true(chunks_send_next(&s, 1, &c[3]));
	assert_int_equal(c[3].offset, 30);
	/* The second one is lost: the third tells, and the sender goes back once. */
	assert_true(receive(&r, &f, &c[2], &res));
	assert_int_equal(res.offset, 10);
	chunks_send_result(&s, &res, 2);
	assert_true(chunks_send_next(&s, 2, &c[1]));
	assert_int_equal(c[1].offset, 10);
	assert_true(receive(&r, &f, &c[3], &res));
	chunks_send_result(&s, &res, 3);
	assert_int_equal(s.next, 20);
	/* Nothing comes back: from what was answered last, after a while. */
	assert_true(chunks_send_next(&s, 3, &c[2]));
	assert_true(chunks_send_next(&s, 3, &c[3]));
	assert_false(chunks_send_next(&s, 102, &c[0]));
	assert_int_equal(chunks_send_deadline(&s), 103);
	assert_true(chunks_send_next(&s, 103, &c[0]));
	assert_int_equal(c[0].offset, 10);
	/* The receiver restarts with the file, and once without. */
	struct chunks_receive kept = {.id = 7, .size = 45, .have = f.bytes.n};
	assert_true(receive(&kept, &f, &c[0], &res));
	assert_int_equal(res.offset, 20);
	chunks_send_result(&s, &res, 104);
	struct chunks_receive empty = {0};
	assert_true(receive(&empty, &f, &c[3], &res));
	assert_int_equal(res.offset, 0);
	chunks_send_result(&s, &res, 105);
	assert_true(chunks_send_next(&s, 105, &c[0]));
	assert_int_equal(c[0].offset, 0);
	/* No progress: given up. */
	assert_int_equal(chunks_send_state(&s, 1103), CHUNKS_RUNNING);
	assert_int_equal(chunks_send_state(&s, 1104), CHUNKS_GIVEN_UP);
	vec_deinit(&f.bytes);
}

static void test_bad_chunks(void **state)
{
	struct chunks_receive r = {.id = 7, .size = 45, .have = 20};
	const struct chunk bad[] = {
	    {.id = 0, .size = 1},
	    {.id = 7, .size = 44, .offset = 20, .len = 1},
	    {.id = 7, .size = 45, .offset = 46},
	    {.id = 7, .size = 45, .offset = 45, .len = 1},
	    {.id = 8, .size = UINT64_MAX, .offset = UINT64_MAX - 1, .len = 3},
	    {.id = 8, .size = 5, .offset = 1, .len = UINT64_MAX},
	};
	uint64_t skip;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(chunks_receive(&r, &bad[i], &skip), CHUNK_BAD);
	assert_int_equal(r.have, 20);
}

struct packet {
	uint64_t due_ms;
	bool is_result;
	struct chunk chunk;
	struct chunk_result result;
};

struct link {
	struct rng rng;
	uint64_t now_ms, lost_percent;
	VEC(struct packet) net;
};

static void put(struct link *l, struct packet p)
{
	for (unsigned n = rng_below(&l->rng, 100) < 10 ? 2 : 1; n; n--) {
		if (rng_below(&l->rng, 100) < l->lost_percent)
			continue;
		p.due_ms = l->now_ms + rng_below(&l->rng, 30);
		*vec_push(&l->net) = p;
	}
}

static void pass_on(struct link *l, struct chunks_send *s, struct chunks_receive *r, struct file *f)
{
	struct chunk_result res;
	for (size_t i = 0; i < l->net.n;) {
		struct packet p = l->net.at[i];
		if (p.due_ms > l->now_ms) {
			i++;
			continue;
		}
		vec_swap_remove(&l->net, i);
		if (p.is_result)
			chunks_send_result(s, &p.result, l->now_ms);
		else if (receive(r, f, &p.chunk, &res))
			put(l, (struct packet){.is_result = true, .result = res});
	}
}

/* Loss, doubles, reordering, restarts of both sides; messages of an earlier transfer come late. */
static void test_chaos(void **state)
{
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct link l = {.now_ms = 0};
		struct chunks_send s;
		struct chunks_receive r = {0};
		struct file f = {0};
		struct chunk c;
		struct chunks_options opt = small;
		opt.give_up_ms = 1 << 30;
		rng_init(&l.rng, seed);
		l.lost_percent = rng_below(&l.rng, 40);
		uint64_t id = seed * 100, size = seed == 1 ? 0 : rng_below(&l.rng, 2000);
		chunks_send_init(&s, &opt, id, size, 0);
		while (chunks_send_state(&s, l.now_ms) == CHUNKS_RUNNING) {
			l.now_ms++;
			if (l.now_ms > 1000000)
				fail_msg("seed %llu makes no progress", (unsigned long long)seed);
			uint64_t dice = l.now_ms < 5000 ? rng_below(&l.rng, 2000) : 9;
			if (dice == 0)
				chunks_send_init(&s, &opt, ++id, size, l.now_ms);
			else if (dice == 1)
				r = (struct chunks_receive){0};
			while (chunks_send_next(&s, l.now_ms, &c))
				put(&l, (struct packet){.chunk = c});
			pass_on(&l, &s, &r, &f);
		}
		/* Who says done has had all bytes, whatever became of them since. */
		assert_int_equal(f.complete, s.id);
		vec_deinit(&f.bytes);
		vec_deinit(&l.net);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_window_and_resume),
	    cmocka_unit_test(test_bad_chunks),
	    cmocka_unit_test(test_chaos),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
