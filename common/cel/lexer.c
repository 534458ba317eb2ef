/* SPDX-License-Identifier: Apache-2.0 */
/* Words of an expression (cel-spec langdef.md, "Syntax"). */
#include <stdlib.h>
#include "common/cel/internal.h"
#include "common/codec/utf8.h"

void cel_lex_init(struct cel_lexer *l, struct cel_source *src)
{
	*l = (struct cel_lexer){.src = src, .at = (const uint8_t *)src->text};
	l->end = l->at + strlen(src->text);
}

static int peek(const struct cel_lexer *l, size_t i)
{
	return (size_t)(l->end - l->at) > i ? l->at[i] : 0;
}

/* Over n bytes; positions count characters. */
static void skip(struct cel_lexer *l, size_t n)
{
	for (size_t i = 0; i < n; i++)
		l->pos += (l->at[i] & 0xc0) != 0x80;
	l->at += n;
}

static bool is_word(int c)
{
	return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}
static bool is_number(int c)
{
	return c >= '0' && c <= '9';
}
static int hex(int c)
{
	if (is_number(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static struct cel_token bad(struct cel_lexer *l, uint32_t pos, const char *why)
{
	cel_report(l->src, pos, "Syntax error: %s", why);
	return (struct cel_token){.kind = TOKEN_BAD, .pos = pos};
}

static struct cel_token number(struct cel_lexer *l)
{
	struct cel_token t = {.kind = TOKEN_INT, .pos = l->pos};
	const uint8_t *begin = l->at;
	uint64_t v = 0;
	bool over = false,
	     is_hex = peek(l, 0) == '0' && (peek(l, 1) | 32) == 'x' && hex(peek(l, 2)) >= 0;

	if (is_hex) {
		skip(l, 2);
		while (hex(peek(l, 0)) >= 0) {
			over |= v >> 60 != 0;
			v = v << 4 | (unsigned)hex(peek(l, 0));
			skip(l, 1);
		}
	} else {
		while (is_number(peek(l, 0))) {
			over |= __builtin_mul_overflow(v, 10, &v);
			over |= __builtin_add_overflow(v, (uint64_t)(peek(l, 0) - '0'), &v);
			skip(l, 1);
		}
		int e = (peek(l, 0) | 32) == 'e' ? 1 + (peek(l, 1) == '+' || peek(l, 1) == '-') : 0;
		if ((peek(l, 0) == '.' && is_number(peek(l, 1))) ||
		    (e && is_number(peek(l, (size_t)e))))
			t.kind = TOKEN_DOUBLE;
	}
	if (t.kind == TOKEN_DOUBLE) {
		char *end;

		/* The text is NUL-terminated; strtod would also take hexadecimal, which cannot
		 * stand here. */
		t.value =
		    (struct cel_value){.kind = CEL_DOUBLE, .d = strtod((const char *)begin, &end)};
		skip(l, (size_t)((const uint8_t *)end - l->at));
	} else if (peek(l, 0) == 'u' || peek(l, 0) == 'U') {
		t.kind = TOKEN_UINT;
		t.value = (struct cel_value){.kind = CEL_UINT, .u = v};
		skip(l, 1);
	} else {
		/* 2^63 is only good behind a minus: the parser looks. */
		over |= v > (uint64_t)INT64_MAX + 1;
		t.value = (struct cel_value){.kind = CEL_INT, .u = v};
	}
	t.text = slice_of(begin, (size_t)(l->at - begin));
	if (over)
		return bad(l, t.pos,
		           t.kind == TOKEN_UINT ? "invalid uint literal" : "invalid int literal");
	return t;
}

/* One escape, behind the backslash, into `out`; false: not one. */
static bool escape(struct cel_lexer *l, bool bytes, uint8_t **out)
{
	static const char FROM[] = "abfnrtv\\?\"'`", TO[] = "\a\b\f\n\r\t\v\\?\"'`";
	int c = peek(l, 0), digits = 0, base = 16;
	uint32_t rune = 0;
	const char *plain = c ? strchr(FROM, c) : NULL;

	if (plain) {
		*(*out)++ = (uint8_t)TO[plain - FROM];
		skip(l, 1);
		return true;
	}
	if (c == 'x' || c == 'X')
		digits = 2;
	else if (c == 'u' && !bytes)
		digits = 4;
	else if (c == 'U' && !bytes)
		digits = 8;
	else if (c >= '0' && c <= '3')
		digits = 3, base = 8;
	else
		return false;
	if (base == 16)
		skip(l, 1);
	for (int i = 0; i < digits; i++) {
		int d = hex(peek(l, 0));
		if (d < 0 || d >= base)
			return false;
		rune = rune * (uint32_t)base + (uint32_t)d;
		skip(l, 1);
	}
	if (bytes) {
		*(*out)++ = (uint8_t)rune;
		return true;
	}
	if (rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff))
		return false;
	*out += utf8_encode(rune, *out);
	return true;
}

/* Up to the quote that ends a literal. */
static size_t literal_bytes(const struct cel_lexer *l, int quote, bool three, bool raw)
{
	size_t i = 0, left = (size_t)(l->end - l->at);

	for (; i < left; i++) {
		if (peek(l, i) == '\\' && !raw)
			i++;
		else if (peek(l, i) == quote &&
		         (!three || (peek(l, i + 1) == quote && peek(l, i + 2) == quote)))
			break;
	}
	return MIN(i, left);
}

static struct cel_token string(struct cel_lexer *l, uint32_t pos, bool raw, bool bytes)
{
	int quote = peek(l, 0);
	bool three = peek(l, 1) == quote && peek(l, 2) == quote;
	size_t n_quotes = three ? 3 : 1;

	skip(l, n_quotes);
	/* An escape is never longer as a character than it was written. */
	uint8_t *text = arena_alloc(l->src->arena, literal_bytes(l, quote, three, raw) + 1),
	        *out = text;
	for (;;) {
		int c = peek(l, 0);

		if (l->at == l->end || (!three && (c == '\n' || c == '\r')))
			return bad(l, pos, "unterminated string literal");
		if (c == quote && (!three || (peek(l, 1) == quote && peek(l, 2) == quote)))
			break;
		if (c != '\\' || raw) {
			*out++ = (uint8_t)c;
			skip(l, 1);
			continue;
		}
		skip(l, 1);
		if (!escape(l, bytes, &out))
			return bad(l, l->pos, "invalid escape sequence in string literal");
	}
	skip(l, n_quotes);
	*out = '\0';
	struct slice s = slice_of(text, (size_t)(out - text));
	return (struct cel_token){.kind = bytes ? TOKEN_BYTES : TOKEN_STRING,
	                          .pos = pos,
	                          .text = s,
	                          .value = {.kind = bytes ? CEL_BYTES : CEL_STRING, .s = s}};
}

/* A string behind its prefix r, b, rb or br; false: no string. */
static bool prefixed(struct cel_lexer *l, struct cel_token *ret)
{
	bool raw = false, bytes = false;
	size_t n = 0;

	for (; n < 2; n++) {
		int c = peek(l, n) | 32;
		if (c == 'r' && !raw)
			raw = true;
		else if (c == 'b' && !bytes)
			bytes = true;
		else
			break;
	}
	if (peek(l, n) != '"' && peek(l, n) != '\'')
		return false;
	uint32_t pos = l->pos;
	skip(l, n);
	*ret = string(l, pos, raw, bytes);
	return true;
}

static struct cel_token quoted_identifier(struct cel_lexer *l)
{
	struct cel_token t = {.kind = TOKEN_IDENT, .pos = l->pos, .quoted = true};

	skip(l, 1);
	const uint8_t *begin = l->at;
	while (is_word(peek(l, 0)) || (peek(l, 0) && strchr(".-/ ", peek(l, 0))))
		skip(l, 1);
	t.text = slice_of(begin, (size_t)(l->at - begin));
	if (peek(l, 0) != '`' || t.text.len == 0)
		return bad(l, t.pos, "token recognition error at: '`'");
	skip(l, 1);
	return t;
}

struct cel_token cel_lex(struct cel_lexer *l)
{
	static const char *const TWO[] = {"==", "!=", "<=", ">=", "&&", "||"};
	struct cel_token t;

	for (;;) {
		int c = peek(l, 0);
		if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f') {
			skip(l, 1);
		} else if (c == '/' && peek(l, 1) == '/') {
			while (l->at < l->end && peek(l, 0) != '\n')
				skip(l, 1);
		} else {
			break;
		}
	}
	int c = peek(l, 0);
	t = (struct cel_token){.kind = TOKEN_END, .pos = l->pos, .text = SLICE_LIT("<EOF>")};
	if (l->at == l->end)
		return t;
	if (prefixed(l, &t))
		return t;
	if (is_number(c) || (c == '.' && is_number(peek(l, 1))))
		return number(l);
	if (c == '`')
		return quoted_identifier(l);
	const uint8_t *begin = l->at;
	if (is_word(c)) {
		while (is_word(peek(l, 0)))
			skip(l, 1);
		t.kind = TOKEN_IDENT;
	} else if (strchr("=!<>&|+-*/%.,?:()[]{}", c)) {
		size_t n = 1;
		for (size_t i = 0; i < ARRAY_LEN(TWO); i++)
			if (c == TWO[i][0] && peek(l, 1) == TWO[i][1])
				n = 2;
		if (n == 1 && strchr("=&|", c)) {
			skip(l, 1);
			return bad(
			    l, t.pos,
			    arena_printf(l->src->arena, "token recognition error at: '%c'", c));
		}
		skip(l, n);
		t.kind = TOKEN_PUNCT;
	} else {
		size_t n;
		utf8_decode(l->at, l->end, &n);
		skip(l, n);
		return bad(l, t.pos,
		           arena_printf(l->src->arena, "token recognition error at: '%.*s'", (int)n,
		                        begin));
	}
	t.text = slice_of(begin, (size_t)(l->at - begin));
	return t;
}
