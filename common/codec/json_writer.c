/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/json_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include "common/codec/json_scan.h"
#include "common/codec/utf8.h"

static void write_escape(struct buf *b, uint8_t c)
{
	static const char hex[] = "0123456789abcdef";

	switch (c) {
	case '"':
	case '\\':
		buf_add(b, (char[]){'\\', (char)c}, 2);
		break;
	case '\b':
		buf_add(b, "\\b", 2);
		break;
	case '\f':
		buf_add(b, "\\f", 2);
		break;
	case '\n':
		buf_add(b, "\\n", 2);
		break;
	case '\r':
		buf_add(b, "\\r", 2);
		break;
	case '\t':
		buf_add(b, "\\t", 2);
		break;
	default:
		buf_add(b, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
	}
}

/* A byte from 0x80 on: the length consumed. */
static size_t write_rune(struct buf *b, const uint8_t *p, const uint8_t *end)
{
	size_t n;
	uint32_t rune = utf8_decode(p, end, &n);

	if (n == 1)
		buf_add(b, "\\ufffd", 6);
	else if (rune == 0x2028)
		buf_add(b, "\\u2028", 6);
	else if (rune == 0x2029)
		buf_add(b, "\\u2029", 6);
	else
		buf_add(b, p, n);
	return n;
}

void json_write_string(struct buf *b, struct slice s)
{
	const uint8_t *p = s.data, *end = p + s.len;

	buf_reserve(b, s.len + 3);
	size_t run = s.len ? json_safe_run(p, end) : 0;
	uint8_t *o = b->data + b->len;
	*o++ = '"';
	if (run)
		memcpy(o, p, run);
	o += run;
	if (run == s.len) {
		*o++ = '"';
		*o = 0;
		b->len = (size_t)(o - b->data);
		return;
	}
	b->len = (size_t)(o - b->data);
	p += run;
	while (p < end) {
		if (*p < 0x80) {
			write_escape(b, *p);
			p++;
		} else {
			p += write_rune(b, p, end);
		}
		run = json_safe_run(p, end);
		buf_add(b, p, run);
		p += run;
	}
	buf_byte(b, '"');
}

void json_write_cstr(struct buf *b, const char *s)
{
	json_write_string(b, slice_str(s));
}

void json_write_u64(struct buf *b, uint64_t v)
{
	char text[20], *p = text + sizeof(text);

	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	buf_add(b, p, (size_t)(text + sizeof(text) - p));
}

void json_write_i64(struct buf *b, int64_t v)
{
	if (v < 0) {
		buf_byte(b, '-');
		json_write_u64(b, 0 - (uint64_t)v);
	} else {
		json_write_u64(b, (uint64_t)v);
	}
}

void json_write_bool(struct buf *b, bool v)
{
	if (v)
		buf_add(b, "true", 4);
	else
		buf_add(b, "false", 5);
}

/* Writes digits d[0..n) with the decimal point after `point` digits. */
static void write_fixed(struct buf *b, const char *d, int n, int point)
{
	if (point <= 0) {
		buf_add(b, "0.", 2);
		for (int i = point; i < 0; i++)
			buf_byte(b, '0');
		buf_add(b, d, (size_t)n);
		return;
	}
	buf_add(b, d, (size_t)MIN(n, point));
	for (int i = n; i < point; i++)
		buf_byte(b, '0');
	if (n > point) {
		buf_byte(b, '.');
		buf_add(b, d + point, (size_t)(n - point));
	}
}

static void write_shortest(struct buf *b, double v, bool is_float)
{
	char text[40], digits[24];
	int n = 0;

	if (v != v || v - v != 0) {
		buf_add(b, "null", 4);
		return;
	}
	if (v == 0) {
		buf_str(b, __builtin_signbit(v) ? "-0" : "0");
		return;
	}
	for (int precision = 0; precision <= 17; precision++) {
		snprintf(text, sizeof(text), "%.*e", precision, v);
		if (is_float ? (float)strtod(text, NULL) == (float)v : strtod(text, NULL) == v)
			break;
	}
	const char *p = text;
	if (*p == '-') {
		buf_byte(b, '-');
		p++;
	}
	for (; *p && *p != 'e'; p++)
		if (*p != '.')
			digits[n++] = *p;
	int exponent = (int)strtol(p + 1, NULL, 10);
	while (n > 1 && digits[n - 1] == '0')
		n--;
	if (exponent >= -6 && exponent < 21) {
		write_fixed(b, digits, n, exponent + 1);
		return;
	}
	buf_byte(b, (uint8_t)digits[0]);
	if (n > 1) {
		buf_byte(b, '.');
		buf_add(b, digits + 1, (size_t)n - 1);
	}
	buf_printf(b, exponent < 0 ? "e-%d" : "e+%d", abs(exponent));
}

void json_write_double(struct buf *b, double v)
{
	if (v == (double)(int32_t)MAX(MIN(v, 2e9), -2e9) && v != 0)
		json_write_i64(b, (int64_t)v);
	else
		write_shortest(b, v, false);
}

void json_write_float(struct buf *b, float v)
{
	write_shortest(b, (double)v, true);
}

/* Copies a string literal of JSON text, escaping what HTML would see; p stands at its quote. */
static const uint8_t *compact_string(struct buf *b, const uint8_t *p, const uint8_t *end)
{
	static const char hex[] = "0123456789abcdef";

	buf_byte(b, *p++);
	while (p < end && *p != '"') {
		size_t run = json_safe_run(p, end);
		if (run) {
			buf_add(b, p, run);
			p += run;
		} else if (*p == '\\' && end - p >= 2) {
			buf_add(b, p, 2);
			p += 2;
		} else if (*p == '<' || *p == '>' || *p == '&') {
			buf_add(b, (char[]){'\\', 'u', '0', '0', hex[*p >> 4], hex[*p & 15]}, 6);
			p++;
		} else if (end - p >= 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] & ~1) == 0xa8) {
			buf_add(b, (char[]){'\\', 'u', '2', '0', '2', hex[p[2] & 15]}, 6);
			p += 3;
		} else {
			buf_byte(b, *p++);
		}
	}
	if (p < end)
		buf_byte(b, *p++);
	return p;
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Nothing to leave out or to escape: what encoders without indent write. */
static bool is_compact(const uint8_t *p, const uint8_t *end)
{
	bool plain = true;

	for (; p < end; p++)
		plain &= *p > 0x20 && *p != '<' && *p != '>' && *p != '&' && *p != 0xe2;
	return plain;
}

void json_write_compact(struct buf *b, struct slice text)
{
	const uint8_t *p = text.data, *end = p + text.len;

	if (is_compact(p, end)) {
		buf_slice(b, text);
		return;
	}
	buf_reserve(b, text.len);
	while (p < end) {
		if (*p == '"') {
			p = compact_string(b, p, end);
		} else {
			if (!is_space(*p))
				buf_byte(b, *p);
			p++;
		}
	}
}

static void newline(struct buf *b, const char *indent, int depth)
{
	buf_byte(b, '\n');
	for (int i = 0; i < depth; i++)
		buf_str(b, indent);
}

void json_write_indented(struct buf *b, struct slice text, const char *indent)
{
	const uint8_t *p = text.data, *end = p + text.len;
	int depth = 0;
	bool opened = false; /* the last token opened a container that is still empty */

	while (p < end) {
		uint8_t c = *p;

		if (is_space(c)) {
			p++;
			continue;
		}
		if (opened && c != '}' && c != ']')
			newline(b, indent, depth);
		if (c == '"') {
			opened = false;
			const uint8_t *q = p + 1;
			while (q < end && *q != '"')
				q += *q == '\\' ? 2 : 1;
			q = q < end ? q + 1 : end;
			buf_add(b, p, (size_t)(q - p));
			p = q;
			continue;
		}
		if (c == '}' || c == ']') {
			depth--;
			if (!opened)
				newline(b, indent, depth);
		}
		opened = c == '{' || c == '[';
		depth += opened;
		buf_byte(b, c);
		if (c == ',')
			newline(b, indent, depth);
		else if (c == ':')
			buf_byte(b, ' ');
		p++;
	}
}
