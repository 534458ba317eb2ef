/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/ip.h"

#include <stdio.h>
#include <string.h>

/* Reads a dotted quad up to `end`. */
static bool parse_v4(const char *s, const char *end, bool zeros, uint8_t ret[4])
{
	for (int i = 0; i < 4; i++) {
		unsigned v = 0;
		const char *start = s;
		for (; s < end && *s >= '0' && *s <= '9' && v <= 255; s++)
			v = v * 10 + (unsigned)(*s - '0');
		if (s == start || v > 255 || (!zeros && *start == '0' && s - start > 1))
			return false;
		ret[i] = (uint8_t)v;
		if (i < 3 && (s == end || *s++ != '.'))
			return false;
	}
	return s == end;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool parse_v6(const char *s, const char *end, bool zeros, uint8_t ret[16])
{
	int at = 0, gap = -1;

	if (end - s >= 2 && s[0] == ':' && s[1] == ':') {
		gap = 0;
		s += 2;
	}
	while (s < end && at < 16) {
		const char *start = s;
		unsigned v = 0;
		for (; s < end && hex_digit(*s) >= 0 && s - start < 5; s++)
			v = v << 4 | (unsigned)hex_digit(*s);
		if (s < end && *s == '.') {
			if (at > 12 || !parse_v4(start, end, zeros, ret + at))
				return false;
			at += 4;
			s = end;
			break;
		}
		if (s == start || s - start > 4)
			return false;
		ret[at++] = (uint8_t)(v >> 8);
		ret[at++] = (uint8_t)v;
		if (s == end)
			break;
		if (*s++ != ':' || s == end)
			return false;
		if (*s == ':') {
			if (gap >= 0)
				return false;
			gap = at;
			s++;
		}
	}
	if (s != end || (gap < 0 && at != 16) || (gap >= 0 && at == 16))
		return false;
	if (gap >= 0) {
		memmove(ret + gap + 16 - at, ret + gap, (size_t)(at - gap));
		memset(ret + gap, 0, (size_t)(16 - at));
	}
	return true;
}

static bool parse(const char *s, const char *end, bool zeros, struct ip *ret)
{
	struct ip ip = {0};

	if (memchr(s, ':', (size_t)(end - s))) {
		ip.len = 16;
		if (!parse_v6(s, end, zeros, ip.bytes))
			return false;
	} else {
		ip.len = 4;
		if (!parse_v4(s, end, zeros, ip.bytes))
			return false;
	}
	*ret = ip;
	return true;
}

bool ip_parse(const char *text, struct ip *ret)
{
	return parse(text, text + strlen(text), false, ret);
}

bool ip_parse_sloppy(const char *text, struct ip *ret)
{
	return parse(text, text + strlen(text), true, ret);
}

static bool parse_prefix(const char *text, bool zeros, struct ip_prefix *ret)
{
	const char *slash = strrchr(text, '/');
	struct ip_prefix p = {0};
	unsigned bits = 0;

	if (!slash || !slash[1] || strlen(slash) > 4 || !parse(text, slash, zeros, &p.ip))
		return false;
	for (const char *s = slash + 1; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		bits = bits * 10 + (unsigned)(*s - '0');
	}
	if (bits > p.ip.len * 8u || (!zeros && slash[1] == '0' && slash[2]))
		return false;
	p.bits = (uint8_t)bits;
	*ret = p;
	return true;
}

bool ip_prefix_parse(const char *text, struct ip_prefix *ret)
{
	return parse_prefix(text, false, ret);
}

bool ip_prefix_parse_sloppy(const char *text, struct ip_prefix *ret)
{
	return parse_prefix(text, true, ret);
}

static bool is_mapped_v4(const struct ip *ip)
{
	static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return ip->len == 16 && !memcmp(ip->bytes, prefix, 12);
}

static char *format_v6(const struct ip *ip, char *ret)
{
	int best = -1, best_n = 1;
	char *o = ret;

	for (int i = 0; i < 8; i++) {
		int n = 0;
		while (i + n < 8 && !ip->bytes[(i + n) * 2] && !ip->bytes[(i + n) * 2 + 1])
			n++;
		if (n > best_n) {
			best = i;
			best_n = n;
		}
	}
	for (int i = 0; i < 8; i++) {
		if (i == best) {
			*o++ = ':';
			*o++ = ':';
			i += best_n - 1;
			continue;
		}
		if (i && o[-1] != ':')
			*o++ = ':';
		o += snprintf(o, 5, "%x", (unsigned)(ip->bytes[i * 2] << 8 | ip->bytes[i * 2 + 1]));
	}
	*o = '\0';
	return ret;
}

char *ip_format(const struct ip *ip, char ret[IP_TEXT_BYTES])
{
	const uint8_t *b = ip->bytes;

	if (ip->len == 4)
		snprintf(ret, IP_TEXT_BYTES, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
	else if (is_mapped_v4(ip))
		snprintf(ret, IP_TEXT_BYTES, "::ffff:%u.%u.%u.%u", b[12], b[13], b[14], b[15]);
	else
		format_v6(ip, ret);
	return ret;
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
	return a->len == b->len && !memcmp(a->bytes, b->bytes, a->len);
}

struct ip ip_prefix_base(const struct ip_prefix *p)
{
	struct ip ip = p->ip;

	for (unsigned bit = p->bits; bit < ip.len * 8u; bit++)
		ip.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	return ip;
}

bool ip_prefix_contains(const struct ip_prefix *p, const struct ip *ip)
{
	struct ip_prefix other = {*ip, p->bits};
	struct ip a = ip_prefix_base(p), b;

	if (ip->len != p->ip.len)
		return false;
	b = ip_prefix_base(&other);
	return ip_equal(&a, &b);
}

bool ip_prefix_is_masked(const struct ip_prefix *p)
{
	struct ip base = ip_prefix_base(p);

	return ip_equal(&base, &p->ip);
}

bool ip_is_unspecified(const struct ip *ip)
{
	static const uint8_t zero[16];

	return !memcmp(ip->bytes, zero, ip->len);
}

bool ip_is_loopback(const struct ip *ip)
{
	static const uint8_t one[16] = {[15] = 1};

	return ip->len == 4 ? ip->bytes[0] == 127 : !memcmp(ip->bytes, one, 16);
}

bool ip_is_link_local(const struct ip *ip)
{
	if (ip->len == 4)
		return ip->bytes[0] == 169 && ip->bytes[1] == 254;
	return ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}

bool ip_is_link_local_multicast(const struct ip *ip)
{
	if (ip->len == 4)
		return ip->bytes[0] == 224 && !ip->bytes[1] && !ip->bytes[2];
	return ip->bytes[0] == 0xff && (ip->bytes[1] & 0x0f) == 2;
}
