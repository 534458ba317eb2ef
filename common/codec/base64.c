/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/base64.h"

static const char std_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode(struct slice in, const char *alphabet, bool pad, struct buf *out)
{
	const uint8_t *p = in.data;
	size_t n = in.len;

	buf_reserve(out, (n + 2) / 3 * 4);
	uint8_t *o = out->data + out->len;
	for (; n >= 3; n -= 3, p += 3) {
		uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];

		*o++ = (uint8_t)alphabet[v >> 18];
		*o++ = (uint8_t)alphabet[v >> 12 & 63];
		*o++ = (uint8_t)alphabet[v >> 6 & 63];
		*o++ = (uint8_t)alphabet[v & 63];
	}
	if (n) {
		uint32_t v = (uint32_t)p[0] << 16 | (n == 2 ? (uint32_t)p[1] << 8 : 0);

		*o++ = (uint8_t)alphabet[v >> 18];
		*o++ = (uint8_t)alphabet[v >> 12 & 63];
		if (n == 2)
			*o++ = (uint8_t)alphabet[v >> 6 & 63];
		for (size_t i = n; pad && i < 3; i++)
			*o++ = '=';
	}
	out->len = (size_t)(o - out->data);
	*o = 0;
}

void base64_encode(struct slice in, struct buf *out)
{
	encode(in, std_alphabet, true, out);
}

void base64url_encode(struct slice in, struct buf *out)
{
	encode(in, url_alphabet, false, out);
}

static int digit(uint8_t c, bool url)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (url ? '-' : '+'))
		return 62;
	return c == (url ? '_' : '/') ? 63 : -1;
}

static int illegal(struct err *err, size_t at)
{
	return err_set(err, ERR_BAD_REQUEST, "illegal base64 data at input byte %zu", at);
}

static size_t skip_newlines(struct slice in, size_t i)
{
	while (i < in.len && (in.data[i] == '\n' || in.data[i] == '\r'))
		i++;
	return i;
}

/* What may follow the first '=' at `i`, when `have` digits of the quantum were read. */
static int check_padding(struct slice in, size_t i, int have, struct err *err)
{
	size_t at = i;

	if (have < 2)
		return illegal(err, at);
	i = skip_newlines(in, i + 1);
	if (have == 2) {
		if (i == in.len)
			return illegal(err, in.len);
		if (in.data[i] != '=')
			return illegal(err, i - 1);
		i = skip_newlines(in, i + 1);
	}
	return i < in.len ? illegal(err, i) : 0;
}

static int decode(struct slice in, bool url, struct arena *a, struct slice *ret, struct err *err)
{
	uint8_t *out = arena_alloc(a, in.len / 4 * 3 + 4), *o = out;
	uint32_t v = 0;
	int have = 0, k;
	size_t i = 0, quantum = 0;

	for (i = skip_newlines(in, i); i < in.len; i = skip_newlines(in, i + 1)) {
		if (in.data[i] == '=' && !url) {
			k = check_padding(in, i, have, err);
			if (k < 0)
				return k;
			break;
		}
		int d = digit(in.data[i], url);
		if (d < 0)
			return illegal(err, i);
		if (have == 0)
			quantum = i;
		v = v << 6 | (uint32_t)d;
		if (++have == 4) {
			*o++ = (uint8_t)(v >> 16);
			*o++ = (uint8_t)(v >> 8);
			*o++ = (uint8_t)v;
			have = 0;
		}
	}
	/* Without padding the standard form ends in the middle of a quantum; the URL form may. */
	if (have == 1 || (have && !url && i >= in.len))
		return illegal(err, url ? in.len : quantum);
	if (have >= 2)
		*o++ = (uint8_t)(have == 2 ? v >> 4 : v >> 10);
	if (have == 3)
		*o++ = (uint8_t)(v >> 2);
	*o = 0;
	*ret = slice_of(out, (size_t)(o - out));
	return 0;
}

int base64_decode(struct slice in, struct arena *a, struct slice *ret, struct err *err)
{
	return decode(in, false, a, ret, err);
}

int base64url_decode(struct slice in, struct arena *a, struct slice *ret, struct err *err)
{
	return decode(in, true, a, ret, err);
}
