/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/arena.h"

#include <assert.h>
#include <stdio.h>

struct arena_chunk {
	struct arena_chunk *next;
	size_t size;
	uint8_t data[] __attribute__((aligned(16)));
};

enum { CHUNK_FIRST = 2048, CHUNK_MAX = 256 * 1024 };

static size_t align16(size_t n)
{
	return (n + 15) & ~(size_t)15;
}

void arena_init(struct arena *a)
{
	*a = (struct arena){0};
}

void arena_deinit(struct arena *a)
{
	if (!a)
		return;
	for (struct arena_chunk *c = a->head, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	size_t limit = a->limit_bytes;
	*a = (struct arena){.limit_bytes = limit};
}

void arena_reset(struct arena *a)
{
	struct arena_chunk *keep = a->head;
	if (!keep)
		return;
	for (struct arena_chunk *c = keep->next, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	keep->next = NULL;
	a->at = keep->data;
	a->end = keep->data + keep->size;
	a->used_bytes = 0;
}

static void add_chunk(struct arena *a, size_t need)
{
	size_t size = a->head ? MIN(a->head->size * 2, (size_t)CHUNK_MAX) : CHUNK_FIRST;
	size = MAX(size, need);
	struct arena_chunk *c = malloc(sizeof(*c) + size);
	if (!c)
		abort();
	c->size = size;
	c->next = a->head;
	a->head = c;
	a->at = c->data;
	a->end = c->data + size;
}

void *arena_alloc(struct arena *a, size_t n)
{
	size_t need = align16(n ? n : 1);
	assert(need >= n);
	if ((size_t)(a->end - a->at) < need)
		add_chunk(a, need);
	void *p = a->at;
	a->at += need;
	a->used_bytes += need;
	return p;
}

void *arena_try_alloc(struct arena *a, size_t n)
{
	if (a->limit_bytes && (n > a->limit_bytes || a->used_bytes > a->limit_bytes - n))
		return NULL;
	return arena_alloc(a, n);
}

void *arena_zalloc(struct arena *a, size_t n)
{
	return memset(arena_alloc(a, n), 0, n);
}

void *arena_memdup(struct arena *a, const void *p, size_t n)
{
	void *q = arena_alloc(a, n);
	if (n)
		memcpy(q, p, n);
	return q;
}

char *arena_strndup(struct arena *a, const void *s, size_t n)
{
	char *q = arena_alloc(a, n + 1);
	if (n)
		memcpy(q, s, n);
	q[n] = 0;
	return q;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return s ? arena_strndup(a, s, strlen(s)) : NULL;
}

char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
	assert(fmt); /* with its own null checks in, UBSan's GCC takes it for NULL otherwise */
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	assert(n >= 0);
	char *q = arena_alloc(a, (size_t)n + 1);
	vsnprintf(q, (size_t)n + 1, fmt, again);
	va_end(again);
	return q;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *q = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return q;
}

void *arena_grow(struct arena *a, void *p, size_t old_n, size_t new_n)
{
	size_t old_need = align16(old_n ? old_n : 1), new_need = align16(new_n ? new_n : 1);
	if (p && new_n <= old_n)
		return p;
	if (p && (uint8_t *)p + old_need == a->at && (size_t)(a->end - (uint8_t *)p) >= new_need) {
		a->at = (uint8_t *)p + new_need;
		a->used_bytes += new_need - old_need;
		return p;
	}
	void *q = arena_alloc(a, new_n);
	if (p && old_n)
		memcpy(q, p, old_n);
	return q;
}
