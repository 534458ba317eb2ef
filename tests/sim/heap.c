/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/heap.h"
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The linker leads every reference to malloc and its kind here (--wrap). What the C library
 * allocates inside of itself (strdup) stays its own, and is told by its address. */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);

#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SIM_REAL_HEAP
#endif
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(SIM_REAL_HEAP)

void *__wrap_malloc(size_t n)
{
	return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t m)
{
	return __real_calloc(n, m);
}

void *__wrap_realloc(void *p, size_t n)
{
	return __real_realloc(p, n);
}

void __wrap_free(void *p)
{
	__real_free(p);
}

void sim_heap_reset(void)
{
}

size_t sim_heap_used(void)
{
	return 0;
}

#else

enum { CLASSES = 64, HEAD = 16 };

#define REGION_BASE ((uint8_t *)0x200000000000)
#define REGION_BYTES ((size_t)4 << 30)
#define KEEP_BYTES ((size_t)64 << 20)

struct chunk {
	size_t class; /* of its size; stands before what is handed out */
	struct chunk *next;
};

static uint8_t *base, *at;
static struct chunk *unused[CLASSES];

/* Four classes between powers of two, from 64 bytes on; multiples of 16. */
static size_t class_bytes(size_t class)
{
	size_t power = class / 4, quarter = class % 4;
	return ((size_t)64 << power) + ((size_t)16 << power) * quarter;
}

static size_t class_of(size_t n)
{
	if (n <= 64)
		return 0;
	size_t power = (size_t)(63 - __builtin_clzll(n - 1)) - 6;
	for (size_t class = power * 4;; class ++)
		if (class_bytes(class) >= n)
			return class;
}

void *__wrap_malloc(size_t n)
{
	if (!base) {
		base =
		    mmap(REGION_BASE, REGION_BYTES, PROT_READ | PROT_WRITE,
		         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
		if (base != REGION_BASE)
			abort();
		at = base;
	}
	size_t class = class_of(n + HEAD);
	struct chunk *c = unused[class];
	if (c) {
		unused[class] = c->next;
	} else {
		c = (struct chunk *)at;
		at += class_bytes(class);
		if (class >= CLASSES || at > base + REGION_BYTES)
			abort();
	}
	c->class = class;
	return (uint8_t *)c + HEAD;
}

void *__wrap_calloc(size_t n, size_t m)
{
	void *p = __wrap_malloc(n * m);
	memset(p, 0, n * m);
	return p;
}

static int is_ours(const void *p)
{
	return (const uint8_t *)p >= REGION_BASE && (const uint8_t *)p < REGION_BASE + REGION_BYTES;
}

void *__wrap_realloc(void *p, size_t n)
{
	if (!p)
		return __wrap_malloc(n);
	if (!is_ours(p))
		return __real_realloc(p, n);
	struct chunk *c = (struct chunk *)((uint8_t *)p - HEAD);
	size_t room = class_bytes(c->class) - HEAD;
	if (n <= room)
		return p;
	void *q = __wrap_malloc(n);
	memcpy(q, p, room);
	__wrap_free(p);
	return q;
}

void __wrap_free(void *p)
{
	if (!p)
		return;
	if (!is_ours(p)) {
		__real_free(p);
		return;
	}
	struct chunk *c = (struct chunk *)((uint8_t *)p - HEAD);
	c->next = unused[c->class];
	unused[c->class] = c;
}

void sim_heap_reset(void)
{
	if (at && at > base + KEEP_BYTES)
		madvise(base + KEEP_BYTES, (size_t)(at - base) - KEEP_BYTES, MADV_DONTNEED);
	at = base;
	memset(unused, 0, sizeof(unused));
}

size_t sim_heap_used(void)
{
	return base ? (size_t)(at - base) : 0;
}

#endif
