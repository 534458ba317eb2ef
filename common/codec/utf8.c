/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/utf8.h"

uint32_t utf8_decode(const uint8_t *p, const uint8_t *end, size_t *ret_len)
{
	size_t left = (size_t)(end - p);
	uint8_t c = p[0];

	*ret_len = 1;
	if (c < 0x80)
		return c;
	if (c < 0xc2 || c > 0xf4)
		return 0xfffd;
	if (c < 0xe0) {
		if (left < 2 || (p[1] & 0xc0) != 0x80)
			return 0xfffd;
		*ret_len = 2;
		return (uint32_t)(c & 0x1f) << 6 | (p[1] & 0x3f);
	}
	/* The second byte's range excludes overlong forms, surrogates and runes that are too
	 * large. */
	uint8_t lo = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	uint8_t hi = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	if (left < 2 || p[1] < lo || p[1] > hi)
		return 0xfffd;
	if (left < 3 || (p[2] & 0xc0) != 0x80)
		return 0xfffd;
	if (c < 0xf0) {
		*ret_len = 3;
		return (uint32_t)(c & 0xf) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
	}
	if (left < 4 || (p[3] & 0xc0) != 0x80)
		return 0xfffd;
	*ret_len = 4;
	return (uint32_t)(c & 7) << 18 | (uint32_t)(p[1] & 0x3f) << 12 |
	       (uint32_t)(p[2] & 0x3f) << 6 | (p[3] & 0x3f);
}

bool utf8_valid(struct slice s)
{
	const uint8_t *p = s.data, *end = p + s.len;

	while (p < end) {
		while (end - p >= 8) {
			uint64_t w;

			memcpy(&w, p, 8);
			if (w & 0x8080808080808080u)
				break;
			p += 8;
		}
		if (p == end)
			break;
		if (*p < 0x80) {
			p++;
			continue;
		}
		size_t n;

		utf8_decode(p, end, &n);
		if (n == 1)
			return false;
		p += n;
	}
	return true;
}

size_t utf8_encode(uint32_t rune, uint8_t out[4])
{
	if (rune > 0x10ffff || (rune >= 0xd800 && rune < 0xe000))
		rune = 0xfffd;
	if (rune < 0x80) {
		out[0] = (uint8_t)rune;
		return 1;
	}
	if (rune < 0x800) {
		out[0] = (uint8_t)(0xc0 | rune >> 6);
		out[1] = (uint8_t)(0x80 | (rune & 0x3f));
		return 2;
	}
	if (rune < 0x10000) {
		out[0] = (uint8_t)(0xe0 | rune >> 12);
		out[1] = (uint8_t)(0x80 | (rune >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (rune & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | rune >> 18);
	out[1] = (uint8_t)(0x80 | (rune >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (rune >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (rune & 0x3f));
	return 4;
}
