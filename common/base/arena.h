/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A bump allocator: many small allocations, one release. One request, one decode, one plan.
 *
 * Memory is aligned to 16 bytes. Allocation aborts the process when the system is out of memory
 * (as g_malloc does): an arena never returns NULL, so that the code that fills it stays readable.
 * A limit set with arena_limit is different: arena_try_alloc returns NULL beyond it, for
 * decoders of outside bytes. Not thread-safe: one owner at a time. */
#include <stdarg.h>
#include "common/base/slice.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *head;
	uint8_t *at, *end;
	size_t used_bytes;  /* sum of all allocations, padding included */
	size_t limit_bytes; /* 0: none; only arena_try_alloc honours it */
};

void arena_init(struct arena *a);
/* Releases everything; the arena may be used again. */
void arena_deinit(struct arena *a);
/* Forgets all allocations and keeps the newest chunk for reuse. */
void arena_reset(struct arena *a);
static inline void arena_limit(struct arena *a, size_t limit_bytes)
{
	a->limit_bytes = limit_bytes;
}

void *arena_alloc(struct arena *a, size_t n); /* uninitialised */
void *arena_try_alloc(struct arena *a, size_t n);
void *arena_zalloc(struct arena *a, size_t n);
void *arena_memdup(struct arena *a, const void *p, size_t n);
char *arena_strdup(struct arena *a, const char *s); /* NULL gives NULL */
char *arena_strndup(struct arena *a, const void *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) _printf_(2, 3);
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap) _printf_(2, 0);
/* Grows an array allocated in the arena; extends in place when it was the last allocation. */
void *arena_grow(struct arena *a, void *p, size_t old_n, size_t new_n);

#define arena_new(a, type) ((type *)arena_zalloc((a), sizeof(type)))
#define arena_array(a, type, n) ((type *)arena_zalloc((a), sizeof(type) * (size_t)(n)))
#define _cleanup_arena_ _cleanup_(arena_deinit)
