/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A growing array of any type, on the heap: `VEC(struct x) v = {0}; *vec_push(&v) = x;`
 * Elements move when the array grows: keep indexes, not pointers. Aborts when out of memory. */
#include <string.h>
#include "common/base/cleanup.h"

#define VEC(type)                                                                                  \
	struct {                                                                                   \
		type *at;                                                                          \
		size_t n, cap;                                                                     \
	}

void *vec_grow_(void *at, size_t *cap, size_t need, size_t elem_bytes);

#define vec_reserve(v, extra)                                                                      \
	((v)->n + (extra) > (v)->cap                                                               \
	     ? (void)((v)->at = vec_grow_((v)->at, &(v)->cap, (v)->n + (extra), sizeof(*(v)->at))) \
	     : (void)0)
/* The address of a new, uninitialised last element. */
#define vec_push(v) (vec_reserve((v), 1), &(v)->at[(v)->n++])
#define vec_pop(v) ((v)->at[--(v)->n])
#define vec_last(v) (&(v)->at[(v)->n - 1])
#define vec_clear(v) ((void)((v)->n = 0))
/* Removes element i, keeping the order. */
#define vec_remove(v, i)                                                                           \
	((void)(memmove(&(v)->at[i], &(v)->at[(i) + 1], ((v)->n - (i)-1) * sizeof(*(v)->at)),      \
		(v)->n--))
/* Removes element i by moving the last one into its place. */
#define vec_swap_remove(v, i) ((void)((v)->at[i] = (v)->at[(v)->n - 1], (v)->n--))
#define vec_deinit(v) ((void)(free((v)->at), (v)->at = NULL, (v)->n = (v)->cap = 0))
#define VEC_FOREACH(v, it)                                                                         \
	for (__typeof__((v)->at + 0) it = (v)->at; it && it < (v)->at + (v)->n; it++)
