/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/rng.h"
#include "tests/sim/linear.h"

/* Histories as text, one operation a line: invoked returned what; "-": unknown. The verdict comes
 * first. */
struct line {
	const char *name;
	bool good;
	const char *text;
};

static const struct line lines[] = {
    {"nothing", true, ""},
    {"a write is read", true, "1 2 w7\n 3 4 r7"},
    {"an absent key", true, "1 2 r0"},
    {"a value from nowhere", false, "1 2 r7"},
    {"a stale read", false, "1 2 w7\n 3 4 w8\n 5 6 r7"},
    {"a stale read after a deletion", false, "1 2 w7\n 3 4 w0\n 5 6 r7"},
    {"a lost write", false, "1 2 w7\n 3 4 r0"},
    {"reads that go back", false, "1 10 w7\n 2 3 r7\n 4 5 r0"},
    {"at the same time either may be first", true, "1 10 w7\n 2 3 r0\n 4 5 r7"},
    {"two writes at once, read both ways", false, "1 4 w7\n 1 4 w8\n 5 6 r7\n 7 8 r8"},
    {"two writes at once, one order", true, "1 4 w7\n 1 4 w8\n 5 6 r7\n 7 8 r7"},
    {"an unknown write may have happened", true, "1 - w7\n 2 3 r7"},
    {"an unknown write may not have happened", true, "1 - w7\n 2 3 r0\n 4 5 r0"},
    {"an unknown write may come late", true, "1 - w7\n 2 3 w8\n 4 5 r8\n 6 7 r7"},
    {"an unknown write happens once", false, "1 - w7\n 2 3 r7\n 4 5 w8\n 6 7 r7"},
    {"an unknown write not before it was asked for", false, "1 2 r7\n 3 - w7"},
    {"a swap that holds", true, "1 2 w7\n 3 4 s7,8+\n 5 6 r8"},
    {"a swap that held and did nothing", false, "1 2 w7\n 3 4 s7,8+\n 5 6 r7"},
    {"a swap that should have held", false, "1 2 w7\n 3 4 s7,8-"},
    {"a swap that did not hold", true, "1 2 w7\n 3 4 s6,8-\n 5 6 r7"},
    {"two swaps of one value", false, "1 2 w7\n 3 9 s7,8+\n 3 9 s7,9+"},
    {"one of two swaps", true, "1 2 w7\n 3 9 s7,8+\n 3 9 s7,9-\n 10 11 r8"},
    {"a creation twice", false, "1 2 s0,7+\n 3 4 s0,8+"},
    {"an unknown swap that held", true, "1 2 w7\n 3 - s7,8+\n 4 5 r8"},
    {"an unknown swap that did not hold", false, "1 2 w7\n 3 - s6,8+\n 4 5 r8"},
    {"a write that was taken back", false, "1 2 w7\n 3 4 r7\n 5 6 r0\n 7 8 r7"},
    {"a doubled swap", false, "1 2 w1\n 3 4 s1,2+\n 5 6 w1\n 7 8 r2"},
};

static size_t parse(const char *text, struct linear_op *ops)
{
	size_t n = 0;
	char *copy = strdup(text), *save = NULL;
	for (char *l = strtok_r(copy, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char returned[16], what[32];
		unsigned long long from;
		assert_int_equal(sscanf(l, "%llu %15s %31s", &from, returned, what), 3);
		struct linear_op *o = &ops[n++];
		*o = (struct linear_op){.invoked = from};
		o->returned = *returned == '-' ? LINEAR_UNKNOWN : strtoull(returned, NULL, 10);
		char *end;
		o->value = strtoull(what + 1, &end, 10);
		o->kind = *what == 'w' ? LINEAR_WRITE : LINEAR_READ;
		if (*what == 's') {
			o->kind = LINEAR_SWAP;
			o->expected = o->value;
			o->value = strtoull(end + 1, &end, 10);
			o->swapped = *end == '+';
		}
	}
	free(copy);
	return n;
}

static void test_known(void **state)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		struct linear_op ops[16];
		size_t n = parse(lines[i].text, ops);
		enum linear_result r = linear_check(ops, n, 100000);
		if (r != (lines[i].good ? LINEAR_YES : LINEAR_NO))
			fail_msg("\"%s\" is judged wrongly", lines[i].name);
	}
}

/* Makes a history of a real register: each operation takes effect at some moment within it. */
static size_t make(struct rng *rng, struct linear_op *ops, size_t n)
{
	struct moment {
		uint64_t at;
		size_t op;
	} moments[200];
	for (size_t i = 0; i < n; i++) {
		uint64_t from = rng_below(rng, n * 10), len = rng_below(rng, 60);
		ops[i] = (struct linear_op){
		    .kind = (enum linear_kind)rng_below(rng, 3),
		    .invoked = from,
		    .returned = from + len,
		    .value = i + 1,
		};
		moments[i] = (struct moment){from + (len ? rng_below(rng, len) : 0), i};
	}
	for (size_t i = 1; i < n; i++)
		for (size_t k = i; k && moments[k].at < moments[k - 1].at; k--) {
			struct moment swap = moments[k];
			moments[k] = moments[k - 1];
			moments[k - 1] = swap;
		}
	uint64_t value = 0;
	for (size_t i = 0; i < n; i++) {
		struct linear_op *o = &ops[moments[i].op];
		if (o->kind == LINEAR_READ) {
			o->value = value;
		} else if (o->kind == LINEAR_SWAP) {
			o->expected = rng_below(rng, 2) ? value : value + 1;
			o->swapped = o->expected == value;
			value = o->swapped ? o->value : value;
		} else {
			value = o->value;
		}
		if (o->kind != LINEAR_READ && !rng_below(rng, 10))
			o->returned = LINEAR_UNKNOWN;
	}
	return n;
}

/* A changed read of a value that never was, or was gone before, is found. */
static void test_made(void **state)
{
	struct rng rng;
	rng_init(&rng, 5);
	unsigned found = 0;
	for (int round = 0; round < 300; round++) {
		struct linear_op ops[200];
		size_t n = make(&rng, ops, 20 + rng_below(&rng, 100));
		assert_int_equal(linear_check(ops, n, 5000000), LINEAR_YES);
		for (size_t i = 0; i < n; i++) {
			if (ops[i].kind != LINEAR_READ)
				continue;
			ops[i].value += 1000;
			assert_int_equal(linear_check(ops, n, 5000000), LINEAR_NO);
			found++;
			break;
		}
	}
	assert_true(found > 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_known),
	    cmocka_unit_test(test_made),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
