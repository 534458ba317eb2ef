/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The inner loops of the JSON reader and writer: sixteen bytes at a step where SSE2 is there. */
#include <stddef.h>
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* How many bytes from p are plain inside a string: none of '"', '\\', below 0x20, above 0x7e. */
static inline size_t json_plain_run(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *start = p;
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
	const __m128i low = _mm_set1_epi8(0x20);

	for (; end - p >= 16; p += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)p);
		/* Signed: bytes from 0x80 are negative, hence below 0x20 as well. */
		__m128i bad =
		    _mm_or_si128(_mm_cmplt_epi8(v, low),
		                 _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)));
		int mask = _mm_movemask_epi8(bad);
		if (mask)
			return (size_t)(p - start) + (size_t)__builtin_ctz((unsigned)mask);
	}
#endif
	while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return (size_t)(p - start);
}

/* The same for what a writer may copy: '<', '>' and '&' stop it as well. */
static inline size_t json_safe_run(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *start = p;
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
	const __m128i low = _mm_set1_epi8(0x20), amp = _mm_set1_epi8('&');
	const __m128i angle = _mm_set1_epi8('<' | 2);

	for (; end - p >= 16; p += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)p);
		/* '<' and '>' differ in the bit of value 2 only. */
		__m128i bad = _mm_or_si128(
		    _mm_or_si128(_mm_cmplt_epi8(v, low),
		                 _mm_cmpeq_epi8(_mm_or_si128(v, _mm_set1_epi8(2)), angle)),
		    _mm_or_si128(_mm_cmpeq_epi8(v, amp),
		                 _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash))));
		int mask = _mm_movemask_epi8(bad);
		if (mask)
			return (size_t)(p - start) + (size_t)__builtin_ctz((unsigned)mask);
	}
#endif
	while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\' && *p != '<' &&
	       *p != '>' && *p != '&')
		p++;
	return (size_t)(p - start);
}
