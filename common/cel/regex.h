/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Patterns as RE2 has them, by pcre2 without backtracking's surprises: what RE2 does not admit
 * (back references, look-around, possessive and atomic groups, recursion) is refused, and matching
 * has a limit. */
#include "common/base/arena.h"

struct cel_regex;

/* -ERR_INVALID and *ret_why. */
int cel_regex_new(struct slice pattern, struct cel_regex **ret, struct arena *a,
                  const char **ret_why);
void cel_regex_free(struct cel_regex *re);
/* 1: found, from `from` on, at [*ret_begin, *ret_end) (NULL allowed); 0: not; <0: too expensive. */
int cel_regex_find(struct cel_regex *re, struct slice text, size_t from, size_t *ret_begin,
                   size_t *ret_end);
