/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Sets of completion indexes, kept and written as intervals: "1,3-5,7". Pure. */
#include <stdbool.h>
#include "common/base/arena.h"

struct interval {
	int32_t first, last;
};

/* Sorted, disjoint and not adjacent. */
struct indexes {
	struct interval *at;
	size_t n;
};

/* What lies from 0 to limit - 1; text that is malformed ends the set there. NULL: empty. */
struct indexes indexes_parse(const char *text, int32_t limit, struct arena *a);
/* The set of a list of numbers, which is sorted in place; may repeat. */
struct indexes indexes_of(int32_t *list, size_t n, struct arena *a);
struct indexes indexes_union(const struct indexes *x, const struct indexes *y, struct arena *a);
bool indexes_has(const struct indexes *s, int32_t index);
int64_t indexes_total(const struct indexes *s);
/* How many indexes are in both. */
int64_t indexes_common(const struct indexes *x, const struct indexes *y);
const char *indexes_format(const struct indexes *s, struct arena *a);
/* The first n that are not in the set, below limit; how many there are. */
size_t indexes_missing(const struct indexes *s, int32_t limit, size_t n, int32_t *ret);
