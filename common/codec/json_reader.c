/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/json_reader.h"

#include <stdio.h>
#include "common/codec/json_scan.h"
#include "common/codec/utf8.h"

void json_reader_init(struct json_reader *r, struct slice text, struct arena *a)
{
	const uint8_t *p = text.data ? text.data : (const uint8_t *)"";

	*r = (struct json_reader){
	    .p = p, .start = p, .end = p + text.len, .arena = a, .err.code = ERR_OK};
}

/* Quotes the offending byte as Go's scanner does. */
static void quote_byte(uint8_t c, char out[16])
{
	if (c == '\'')
		snprintf(out, 16, "'\\''");
	else if (c == '\\')
		snprintf(out, 16, "'\\\\'");
	else if (c >= 0x20 && c < 0x7f)
		snprintf(out, 16, "'%c'", c);
	else if (c >= '\a' && c <= '\r')
		snprintf(out, 16, "'\\%c'", "abtnvfr"[c - '\a']);
	else if (c < 0x80)
		snprintf(out, 16, "'\\x%02x'", c);
	else if (c < 0xa1 || c == 0xad)
		snprintf(out, 16, "'\\u%04x'", c);
	else
		snprintf(out, 16, "'%c%c'", 0xc0 | c >> 6, 0x80 | (c & 0x3f));
}

static bool fail(struct json_reader *r, const char *text)
{
	if (!r->failed) {
		r->failed = true;
		err_set(&r->err, ERR_BAD_REQUEST, "%s", text);
	}
	r->p = r->end;
	return false;
}

/* The byte at p cannot stand here: says so, or that the text ends too early. */
static bool fail_at(struct json_reader *r, const uint8_t *p, const char *context)
{
	char text[160], quoted[16];

	if (p >= r->end)
		return fail(r, "unexpected end of JSON input");
	quote_byte(*p, quoted);
	snprintf(text, sizeof(text), "invalid character %s %s", quoted, context);
	return fail(r, text);
}

static inline const uint8_t *skip_space(const uint8_t *p, const uint8_t *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}

static enum json_type peek_at(struct json_reader *r, const char *context)
{
	if (r->failed)
		return JSON_ERROR;
	r->p = skip_space(r->p, r->end);
	if (r->p < r->end) {
		switch (*r->p) {
		case '"':
			return JSON_STRING;
		case '{':
			return JSON_OBJECT;
		case '[':
			return JSON_ARRAY;
		case 't':
		case 'f':
			return JSON_BOOL;
		case 'n':
			return JSON_NULL;
		case '-':
		case '0' ... '9':
			return JSON_NUMBER;
		}
	}
	fail_at(r, r->p, context);
	return JSON_ERROR;
}

enum json_type json_peek(struct json_reader *r)
{
	return peek_at(r, "looking for beginning of value");
}

static bool read_literal(struct json_reader *r, const char *word)
{
	const uint8_t *p = r->p;

	for (size_t i = 0; word[i]; i++, p++) {
		if (p >= r->end || *p != (uint8_t)word[i]) {
			char context[64];

			if (i == 0)
				return fail_at(r, p, "looking for beginning of value");
			snprintf(context, sizeof(context), "in literal %s (expecting '%c')", word,
			         word[i]);
			return fail_at(r, p, context);
		}
	}
	r->p = p;
	return true;
}

bool json_read_null(struct json_reader *r)
{
	return json_peek(r) != JSON_ERROR && read_literal(r, "null");
}

bool json_read_bool(struct json_reader *r, bool *ret)
{
	if (json_peek(r) == JSON_ERROR)
		return false;
	*ret = *r->p == 't';
	return read_literal(r, *ret ? "true" : "false");
}

/* Steps over a number's text; *ret_integer says that it has neither fraction nor exponent. */
static bool scan_number(struct json_reader *r, bool *ret_integer)
{
	const uint8_t *p = r->p, *end = r->end;

	*ret_integer = true;
	if (p < end && *p == '-')
		p++;
	if (p >= end || *p < '0' || *p > '9')
		return fail_at(r, p,
		               p > r->p ? "in numeric literal" : "looking for beginning of value");
	if (*p == '0')
		p++;
	else
		while (p < end && *p >= '0' && *p <= '9')
			p++;
	if (p < end && *p == '.') {
		*ret_integer = false;
		p++;
		if (p >= end || *p < '0' || *p > '9')
			return fail_at(r, p, "after decimal point in numeric literal");
		while (p < end && *p >= '0' && *p <= '9')
			p++;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		*ret_integer = false;
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		if (p >= end || *p < '0' || *p > '9')
			return fail_at(r, p, "in exponent of numeric literal");
		while (p < end && *p >= '0' && *p <= '9')
			p++;
	}
	r->p = p;
	return true;
}

bool json_read_number(struct json_reader *r, struct json_number *ret)
{
	bool integer;

	if (json_peek(r) == JSON_ERROR)
		return false;
	const uint8_t *start = r->p;
	if (!scan_number(r, &integer))
		return false;

	struct json_number n = {.text = slice_of(start, (size_t)(r->p - start)),
	                        .integer = integer};
	if (integer) {
		bool neg = *start == '-', fits = true;
		uint64_t v = 0;

		for (const uint8_t *p = start + neg; p < r->p; p++) {
			if (__builtin_mul_overflow(v, 10u, &v) ||
			    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v)) {
				fits = false;
				break;
			}
		}
		uint64_t limit = (uint64_t)INT64_MAX + neg;
		n.fits_u64 = fits && (!neg || v == 0);
		n.fits_i64 = fits && v <= limit;
		n.u64 = n.fits_u64 ? v : 0;
		n.i64 = n.fits_i64 ? (int64_t)(neg ? 0 - v : v) : 0;
	}
	*ret = n;
	return true;
}

double json_number_double(const struct json_number *n)
{
	char small[64];

	if (n->text.len < sizeof(small)) {
		memcpy(small, n->text.data, n->text.len);
		small[n->text.len] = 0;
		return strtod(small, NULL);
	}
	_cleanup_(free_p) char *large = strndup((const char *)n->text.data, n->text.len);
	if (!large)
		abort();
	return strtod(large, NULL);
}

static int hex4(const uint8_t *p)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		uint8_t c = p[i], lower = c | 0x20;
		int d = c >= '0' && c <= '9'           ? c - '0'
		        : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10
		                                       : -1;
		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

/* p stands behind "\u". Fails at the first byte that is no hexadecimal digit. */
static bool check_hex4(struct json_reader *r, const uint8_t *p)
{
	for (int i = 0; i < 4; i++)
		if (p + i >= r->end || !((p[i] >= '0' && p[i] <= '9') ||
		                         ((p[i] | 0x20) >= 'a' && (p[i] | 0x20) <= 'f')))
			return fail_at(r, p + i, "in \\u hexadecimal character escape");
	return true;
}

/* Finds the closing quote; p stands behind the opening one. *ret_plain: may be borrowed as is. */
static const uint8_t *scan_string(struct json_reader *r, const uint8_t *p, bool *ret_plain)
{
	*ret_plain = true;
	for (;;) {
		p += json_plain_run(p, r->end);
		if (p >= r->end)
			return fail(r, "unexpected end of JSON input"), NULL;
		if (*p == '"')
			return p;
		if (*p == '\\') {
			*ret_plain = false;
			p++;
			if (p >= r->end)
				return fail(r, "unexpected end of JSON input"), NULL;
			if (*p == 'u') {
				if (!check_hex4(r, p + 1))
					return NULL;
				p += 5;
			} else if (memchr("\"\\/bfnrt", *p, 8)) {
				p++;
			} else {
				return fail_at(r, p, "in string escape code"), NULL;
			}
		} else if (*p < 0x20) {
			return fail_at(r, p, "in string literal"), NULL;
		} else {
			size_t n;

			utf8_decode(p, r->end, &n);
			if (n == 1)
				*ret_plain = false;
			p += n;
		}
	}
}

/* One escape at p (at the backslash) to out; the bytes read in *ret_in. */
static size_t decode_escape(const uint8_t *p, const uint8_t *end, uint8_t *out, size_t *ret_in)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";

	*ret_in = 2;
	if (p[1] != 'u') {
		*out = (uint8_t)to[strchr(from, p[1]) - from];
		return 1;
	}
	*ret_in = 6;
	int rune = hex4(p + 2);
	if (rune >= 0xd800 && rune < 0xdc00 && end - p >= 12 && p[6] == '\\' && p[7] == 'u') {
		int low = hex4(p + 8);
		if (low >= 0xdc00 && low < 0xe000) {
			*ret_in = 12;
			rune = 0x10000 + ((rune - 0xd800) << 10) + (low - 0xdc00);
		}
	}
	return utf8_encode((uint32_t)rune, out);
}

/* Decodes a scanned string whose text is not what it means. */
static struct slice decode_string(struct arena *a, const uint8_t *p, const uint8_t *end)
{
	/* An invalid byte grows to three, an escape never grows. */
	uint8_t *out = arena_alloc(a, (size_t)(end - p) * 3 + 1), *o = out;
	size_t n;

	while (p < end) {
		if (*p == '\\') {
			o += decode_escape(p, end, o, &n);
		} else if (*p < 0x80) {
			n = 1;
			*o++ = *p;
		} else {
			o += utf8_encode(utf8_decode(p, end, &n), o);
		}
		p += n;
	}
	*o = 0;
	return slice_of(out, (size_t)(o - out));
}

static bool read_string(struct json_reader *r, struct slice *ret)
{
	bool plain;
	const uint8_t *start = r->p + 1;
	const uint8_t *close = scan_string(r, start, &plain);

	if (!close)
		return false;
	r->p = close + 1;
	*ret = plain ? slice_of(start, (size_t)(close - start))
	             : decode_string(r->arena, start, close);
	return true;
}

bool json_read_string(struct json_reader *r, struct slice *ret)
{
	if (json_peek(r) == JSON_ERROR)
		return false;
	if (*r->p != '"')
		return fail_at(r, r->p, "looking for beginning of string");
	return read_string(r, ret);
}

static bool enter(struct json_reader *r, uint8_t open)
{
	if (json_peek(r) == JSON_ERROR)
		return false;
	if (*r->p != open)
		return fail_at(r, r->p, "looking for beginning of value");
	if (++r->depth > JSON_DEPTH_MAX)
		return fail(r, "exceeded max depth");
	r->p++;
	r->first = true;
	return true;
}

static bool leave(struct json_reader *r)
{
	r->p++;
	r->depth--;
	r->first = false;
	return false;
}

bool json_object_begin(struct json_reader *r)
{
	return enter(r, '{');
}

/* Reads `"key" :` where r->p stands at the key; "}" is not accepted here. */
static bool read_key(struct json_reader *r, struct slice *ret_key)
{
	if (r->p >= r->end || *r->p != '"')
		return fail_at(r, r->p, "looking for beginning of object key string");
	if (!read_string(r, ret_key))
		return false;
	r->p = skip_space(r->p, r->end);
	if (r->p >= r->end || *r->p != ':')
		return fail_at(r, r->p, "after object key");
	r->p++;
	return true;
}

bool json_object_next(struct json_reader *r, struct slice *ret_key)
{
	if (r->failed)
		return false;
	r->p = skip_space(r->p, r->end);
	if (r->p < r->end && *r->p == '}')
		return leave(r);
	if (!r->first) {
		if (r->p >= r->end || *r->p != ',')
			return fail_at(r, r->p, "after object key:value pair");
		r->p = skip_space(r->p + 1, r->end);
	}
	r->first = false;
	return read_key(r, ret_key);
}

bool json_array_begin(struct json_reader *r)
{
	return enter(r, '[');
}

bool json_array_next(struct json_reader *r)
{
	if (r->failed)
		return false;
	r->p = skip_space(r->p, r->end);
	if (r->p < r->end && *r->p == ']')
		return leave(r);
	if (!r->first) {
		if (r->p >= r->end || *r->p != ',')
			return fail_at(r, r->p, "after array element");
		r->p++;
	}
	r->first = false;
	return true;
}

/* One scalar, or the opening of a container (then *ret_open is its byte). */
static bool skip_one(struct json_reader *r, uint8_t *ret_open)
{
	bool ignored;

	*ret_open = 0;
	switch (json_peek(r)) {
	case JSON_STRING: {
		const uint8_t *close = scan_string(r, r->p + 1, &ignored);
		if (!close)
			return false;
		r->p = close + 1;
		return true;
	}
	case JSON_NUMBER:
		return scan_number(r, &ignored);
	case JSON_BOOL:
		return read_literal(r, *r->p == 't' ? "true" : "false");
	case JSON_NULL:
		return read_literal(r, "null");
	case JSON_OBJECT:
	case JSON_ARRAY:
		*ret_open = *r->p;
		return enter(r, *r->p);
	case JSON_ERROR:
		break;
	}
	return false;
}

/* Steps over a key without decoding it. */
static bool skip_key(struct json_reader *r)
{
	bool ignored;

	if (r->p >= r->end || *r->p != '"')
		return fail_at(r, r->p, "looking for beginning of object key string");
	const uint8_t *close = scan_string(r, r->p + 1, &ignored);
	if (!close)
		return false;
	r->p = skip_space(close + 1, r->end);
	if (r->p >= r->end || *r->p != ':')
		return fail_at(r, r->p, "after object key");
	r->p++;
	return true;
}

bool json_read_raw(struct json_reader *r, struct slice *ret)
{
	int base = r->depth;
	uint8_t open[JSON_DEPTH_MAX + 1], opened;

	if (json_peek(r) == JSON_ERROR)
		return false;
	const uint8_t *start = r->p;
	if (!skip_one(r, &opened))
		return false;
	if (opened)
		open[r->depth] = opened;

	while (r->depth > base) {
		bool object = open[r->depth] == '{';

		r->p = skip_space(r->p, r->end);
		if (r->p < r->end && *r->p == (object ? '}' : ']')) {
			leave(r);
			continue;
		}
		if (!r->first) {
			if (r->p >= r->end || *r->p != ',')
				return fail_at(r, r->p,
				               object ? "after object key:value pair"
				                      : "after array element");
			r->p = skip_space(r->p + 1, r->end);
		}
		r->first = false;
		if (object && !skip_key(r))
			return false;
		if (!skip_one(r, &opened))
			return false;
		if (opened)
			open[r->depth] = opened;
	}
	if (ret)
		*ret = slice_of(start, (size_t)(r->p - start));
	return true;
}

bool json_end(struct json_reader *r)
{
	if (r->failed)
		return false;
	r->p = skip_space(r->p, r->end);
	return r->p == r->end || fail_at(r, r->p, "after top-level value");
}

int json_reader_status(const struct json_reader *r, struct err *err)
{
	if (!r->failed)
		return 0;
	return err_set(err, r->err.code, "%s", r->err.text);
}

int json_check(struct slice text, struct err *err)
{
	struct json_reader r;

	json_reader_init(&r, text, NULL);
	if (json_read_raw(&r, NULL))
		json_end(&r);
	return json_reader_status(&r, err);
}

void json_report_add(struct json_report *rep, const char *fmt, ...)
{
	va_list ap;

	if (!rep || rep->n >= JSON_REPORT_MAX)
		return;
	va_start(ap, fmt);
	const char *text = arena_vprintf(rep->arena, fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < rep->n; i++)
		if (strcmp(rep->at[i], text) == 0)
			return;
	if (rep->n == rep->cap) {
		size_t cap = rep->cap ? rep->cap * 2 : 8;

		rep->at = arena_grow(rep->arena, rep->at, rep->cap * sizeof(*rep->at),
		                     cap * sizeof(*rep->at));
		rep->cap = cap;
	}
	rep->at[rep->n++] = text;
}
