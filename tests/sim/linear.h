/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Is a history of one key linearizable (Herlihy and Wing, 1990)? The search is that of Wing and
 * Gong with the memory of Lowe ("Testing for linearizability", 2017): it takes operations off the
 * history one after the other, in any order that real time allows, as long as each one's result is
 * what the key's value says, and never looks at the same set with the same value twice. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum linear_kind {
	LINEAR_WRITE, /* the value becomes `value`; 0: deleted */
	LINEAR_READ,  /* the value was `value` */
	LINEAR_SWAP,  /* becomes `value` if it was `expected`; `swapped` says whether it was */
};

#define LINEAR_UNKNOWN UINT64_MAX /* nobody has heard how, or whether, it ended */

struct linear_op {
	enum linear_kind kind;
	uint64_t invoked, returned; /* times; returned may be LINEAR_UNKNOWN */
	uint64_t expected, value;
	bool swapped;
};

enum linear_result { LINEAR_YES, LINEAR_NO, LINEAR_GIVEN_UP };

/* The key has no value (0) at first. Gives up after so many steps. */
enum linear_result linear_check(const struct linear_op *ops, size_t n, uint64_t steps_max);
