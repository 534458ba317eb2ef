/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The bytes of a bbolt database (version 2), as far as writer and reader share them. All integers
 * are little-endian.
 *
 *   page     id u64, flags u16, count u16, overflow u32 (pages that follow it and belong to it)
 *   branch   count times {pos u32, key bytes u32, child page u64}, then the keys
 *   leaf     count times {flags u32, pos u32, key bytes u32, value bytes u32}, then keys and values
 *            pos counts from the element itself
 *   bucket   a leaf's value with the flag: root page u64, sequence u64; root 0: the page follows
 *   meta     pages 0 and 1: magic u32, version u32, page bytes u32, flags u32, root bucket,
 *            free list's page u64, pages u64, transaction u64, FNV-1a of what stands before u64
 *
 * Of both meta pages the valid one with the greater transaction counts. */
#include <stdint.h>
#include <string.h>

enum {
	BBOLT_PAGE_BYTES = 4096, /* of what the writer makes */
	BBOLT_PAGE_HEAD_BYTES = 16,
	BBOLT_ELEMENT_BYTES = 16,
	BBOLT_BUCKET_BYTES = 16,
	BBOLT_META_BYTES = 64,
	BBOLT_META_SUM_AT = 56,
	BBOLT_VERSION = 2,
	BBOLT_KEY_MAX_BYTES = 32768,
};

#define BBOLT_MAGIC 0xed0cdaedu

enum bbolt_page_flags {
	BBOLT_BRANCH = 1,
	BBOLT_LEAF = 2,
	BBOLT_META = 4,
	BBOLT_FREELIST = 16,
};

enum { BBOLT_ELEMENT_BUCKET = 1 };

static inline void bbolt_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void bbolt_put32(uint8_t *p, uint32_t v)
{
	bbolt_put16(p, (uint16_t)v);
	bbolt_put16(p + 2, (uint16_t)(v >> 16));
}

static inline void bbolt_put64(uint8_t *p, uint64_t v)
{
	bbolt_put32(p, (uint32_t)v);
	bbolt_put32(p + 4, (uint32_t)(v >> 32));
}

static inline uint16_t bbolt_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t bbolt_get32(const uint8_t *p)
{
	return bbolt_get16(p) | (uint32_t)bbolt_get16(p + 2) << 16;
}

static inline uint64_t bbolt_get64(const uint8_t *p)
{
	return bbolt_get32(p) | (uint64_t)bbolt_get32(p + 4) << 32;
}

static inline uint64_t bbolt_fnv1a(const uint8_t *p, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (; n; n--, p++)
		h = (h ^ *p) * 0x100000001b3u;
	return h;
}
