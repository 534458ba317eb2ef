/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/core/addr.h"

#include <stdio.h>
#include <string.h>

static bool parse_ipv4(const char *text, uint8_t out[4])
{
	for (int part = 0; part < 4; part++) {
		unsigned value = 0, digits = 0;
		if (*text == '0' && text[1] >= '0' && text[1] <= '9')
			return false;
		for (; *text >= '0' && *text <= '9' && digits < 4; text++, digits++)
			value = value * 10 + (unsigned)(*text - '0');
		if (!digits || value > 255)
			return false;
		out[part] = (uint8_t)value;
		if (part < 3 && *text++ != '.')
			return false;
	}
	return !*text;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads one group of up to four digits; the number of digits, 0 when there is none. */
static int parse_group(const char *text, unsigned *ret)
{
	int n = 0;
	*ret = 0;
	while (n < 5 && hex_digit(text[n]) >= 0)
		*ret = *ret << 4 | (unsigned)hex_digit(text[n++]);
	return n <= 4 ? n : 0;
}

static bool parse_ipv6(const char *text, uint8_t out[16])
{
	uint8_t bytes[16] = {0};
	int at = 0, gap = -1;
	if (text[0] == ':' && text[1] == ':') {
		gap = 0;
		text += 2;
	}
	while (*text && at < 16) {
		unsigned group;
		if (strchr(text, '.') && !strchr(text, ':')) {
			if (at > 12 || !parse_ipv4(text, bytes + at))
				return false;
			at += 4;
			text += strlen(text);
			break;
		}
		int n = parse_group(text, &group);
		if (!n)
			return false;
		bytes[at++] = (uint8_t)(group >> 8);
		bytes[at++] = (uint8_t)group;
		text += n;
		if (*text == ':' && text[1] == ':' && gap < 0) {
			gap = at;
			text += 2;
		} else if (*text == ':' && text[1]) {
			text++;
		} else if (*text) {
			return false;
		}
	}
	if (*text || (gap < 0 ? at != 16 : at > 14))
		return false;
	memset(out, 0, 16);
	if (gap < 0)
		gap = at;
	memcpy(out, bytes, (size_t)gap);
	memcpy(out + 16 - (at - gap), bytes + gap, (size_t)(at - gap));
	return true;
}

static bool is_mapped_ipv4(const uint8_t b[16])
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
	return !memcmp(b, prefix, sizeof(prefix));
}

bool addr_parse(const char *text, enum family f, struct addr *ret)
{
	struct addr a = {{0}};
	if (!text)
		return false;
	if (f == FAMILY_IPV4 ? !parse_ipv4(text, a.bytes)
	                     : !parse_ipv6(text, a.bytes) || is_mapped_ipv4(a.bytes))
		return false;
	*ret = a;
	return true;
}

struct addr addr_mask(unsigned bits)
{
	struct addr mask = {{0}};
	memset(mask.bytes, 0xff, bits / 8);
	if (bits % 8)
		mask.bytes[bits / 8] = (uint8_t)(0xff00u >> (bits % 8));
	return mask;
}

bool cidr_parse(const char *text, struct cidr *ret)
{
	char host[ADDR_TEXT_BYTES];
	const char *slash = text ? strchr(text, '/') : NULL;
	if (!slash || (size_t)(slash - text) >= sizeof(host))
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)(slash - text), text);
	unsigned bits = 0, digits = 0;
	for (const char *p = slash + 1; *p; p++, digits++) {
		if (*p < '0' || *p > '9' || digits == 3)
			return false;
		bits = bits * 10 + (unsigned)(*p - '0');
	}
	if (!digits || (digits > 1 && slash[1] == '0'))
		return false;
	struct cidr c = {.bits = (uint8_t)bits};
	for (c.family = FAMILY_IPV4; c.family < FAMILIES; c.family++)
		if (addr_parse(host, c.family, &c.addr))
			break;
	if (c.family == FAMILIES || bits > addr_bytes(c.family) * 8)
		return false;
	struct addr mask = addr_mask(bits);
	for (int i = 0; i < 16; i++)
		c.addr.bytes[i] &= mask.bytes[i];
	*ret = c;
	return true;
}

bool cidr_contains(const struct cidr *c, enum family f, const struct addr *a)
{
	struct addr mask = addr_mask(c->bits);
	if (c->family != f)
		return false;
	for (int i = 0; i < 16; i++)
		if ((a->bytes[i] & mask.bytes[i]) != c->addr.bytes[i])
			return false;
	return true;
}

struct addr cidr_last(const struct cidr *c)
{
	struct addr last = c->addr, mask = addr_mask(c->bits);
	for (unsigned i = 0; i < addr_bytes(c->family); i++)
		last.bytes[i] |= (uint8_t)~mask.bytes[i];
	return last;
}

int addr_cmp(const struct addr *a, const struct addr *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

/* Start and length, in groups, of the longest run of zero groups; shorter than two counts as none
 * (RFC 5952). */
static int zero_run(const uint8_t b[16], int *ret_len)
{
	int best = -1;
	*ret_len = 1;
	for (int i = 0; i < 8; i++) {
		int n = 0;
		while (i + n < 8 && !b[2 * (i + n)] && !b[2 * (i + n) + 1])
			n++;
		if (n > *ret_len) {
			best = i;
			*ret_len = n;
		}
	}
	return best;
}

void addr_format(enum family f, const struct addr *a, char out[ADDR_TEXT_BYTES])
{
	const uint8_t *b = a->bytes;
	if (f == FAMILY_IPV4) {
		snprintf(out, ADDR_TEXT_BYTES, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
		return;
	}
	int len, run = zero_run(b, &len);
	size_t at = 0;
	out[0] = 0;
	for (int i = 0; i < 8; i++) {
		if (i == run) {
			at += (size_t)snprintf(out + at, ADDR_TEXT_BYTES - at, "::");
			i += len - 1;
			continue;
		}
		at += (size_t)snprintf(out + at, ADDR_TEXT_BYTES - at, "%s%x",
		                       i && i != run + len ? ":" : "",
		                       (unsigned)(b[2 * i] << 8 | b[2 * i + 1]));
	}
}
