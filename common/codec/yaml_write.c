/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/json_writer.h"
#include "common/codec/utf8.h"
#include "common/codec/yaml.h"

enum style { STYLE_PLAIN, STYLE_SINGLE, STYLE_DOUBLE };

/* Double quotes for what would be read as another type, single quotes for what would not be read
 * as one scalar. */
static enum style style_by_reading(struct slice s)
{
	_cleanup_arena_ struct arena a = {0};
	struct jvalue *v = NULL;

	if (s.data[0] == '#' || yaml_parse(s, &a, NULL, &v, NULL) < 0)
		return STYLE_SINGLE;
	if (v->kind == JVALUE_STRING)
		return slice_eq(jvalue_slice(v), s) ? STYLE_PLAIN : STYLE_SINGLE;
	return v->kind < JVALUE_STRING ? STYLE_DOUBLE : STYLE_SINGLE;
}

/* YAML 1.1 has base 60 numbers, dates and "=" which our reader takes for strings. */
static bool is_ambiguous(struct slice s)
{
	bool digits = s.len > 0;

	for (size_t i = 0; i < s.len; i++)
		digits &= (s.data[i] >= '0' && s.data[i] <= '9') ||
		          (s.data[i] && strchr(":._+-TZtz ", s.data[i]));
	return (digits && s.data[0] >= '0' && s.data[0] <= '9') || slice_eq_str(s, "=") ||
	       slice_eq_str(s, "<<");
}

static bool is_word(struct slice s)
{
	if (!s.len || !((s.data[0] | 0x20) >= 'a' && (s.data[0] | 0x20) <= 'z'))
		return s.len && s.data[0] == '/';
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.data[i], l = c | 0x20;
		if (!(l >= 'a' && l <= 'z') && !(c >= '0' && c <= '9') && !strchr("-_./", c))
			return false;
	}
	return true;
}

static enum style style_of(struct slice s)
{
	if (is_ambiguous(s))
		return STYLE_DOUBLE;
	/* Words of some length are plain: those with a meaning are short. */
	if (is_word(s) && s.len > 5 && s.data[0] != '/')
		return STYLE_PLAIN;
	return style_by_reading(s);
}

static bool has_controls(struct slice s, bool newlines)
{
	for (size_t i = 0; i < s.len; i++)
		if ((s.data[i] < 0x20 && !(newlines && s.data[i] == '\n')) || s.data[i] == 0x7f)
			return true;
	return !utf8_valid(s);
}

static void indent(struct buf *out, int n)
{
	for (int i = 0; i < n; i++)
		buf_add(out, "  ", 2);
}

/* A literal block needs an indent, and its first line tells how deep it is. */
static bool literal_fits(struct slice s, int depth)
{
	return depth > 0 && s.data[0] > 0x20;
}

/* "|", "|-" or "|+" and the lines. */
static void write_literal(struct slice s, int depth, struct buf *out)
{
	bool ends = s.data[s.len - 1] == '\n';
	bool twice = ends && s.len > 1 && s.data[s.len - 2] == '\n';

	buf_str(out, twice ? "|+\n" : ends ? "|\n" : "|-\n");
	for (size_t i = 0; i < s.len;) {
		const uint8_t *nl = memchr(s.data + i, '\n', s.len - i);
		size_t n = nl ? (size_t)(nl - s.data) - i : s.len - i;

		if (n)
			indent(out, depth);
		buf_add(out, s.data + i, n);
		if (nl || !ends)
			buf_byte(out, '\n');
		i += n + 1;
	}
	out->len--; /* the caller ends the line */
}

static void write_single(struct slice s, struct buf *out)
{
	buf_byte(out, '\'');
	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] == '\'')
			buf_byte(out, '\'');
		buf_byte(out, s.data[i]);
	}
	buf_byte(out, '\'');
}

static void write_string(struct slice s, int depth, struct buf *out)
{
	if (s.len == 0 || has_controls(s, true)) {
		json_write_string(out, s);
		return;
	}
	if (memchr(s.data, '\n', s.len)) {
		if (literal_fits(s, depth))
			write_literal(s, depth, out);
		else
			json_write_string(out, s);
		return;
	}
	switch (style_of(s)) {
	case STYLE_PLAIN:
		buf_slice(out, s);
		break;
	case STYLE_SINGLE:
		write_single(s, out);
		break;
	case STYLE_DOUBLE:
		json_write_string(out, s);
		break;
	}
}

/* A key stands in one line. */
static void write_key(struct slice s, struct buf *out)
{
	write_string(s, 0, out);
}

static bool is_empty(const struct jvalue *v)
{
	return (v->kind == JVALUE_ARRAY || v->kind == JVALUE_OBJECT) && v->n == 0;
}

static bool is_block(const struct jvalue *v)
{
	return (v->kind == JVALUE_ARRAY || v->kind == JVALUE_OBJECT) && v->n > 0;
}

static int by_key(const void *a, const void *b)
{
	const struct jmember *x = *(const struct jmember *const *)a;
	const struct jmember *y = *(const struct jmember *const *)b;

	return slice_cmp(slice_of(x->key, x->key_len), slice_of(y->key, y->key_len));
}

static void write_block(const struct jvalue *v, int depth, bool inline_first, struct buf *out);

static void write_scalar(const struct jvalue *v, int depth, struct buf *out)
{
	if (v->kind == JVALUE_STRING)
		write_string(jvalue_slice(v), depth, out);
	else if (is_empty(v))
		buf_str(out, v->kind == JVALUE_ARRAY ? "[]" : "{}");
	else
		jvalue_write(v, out);
}

static void write_object(const struct jvalue *v, int depth, bool inline_first, struct buf *out)
{
	const struct jmember **order = malloc(v->n * sizeof(*order));

	if (!order)
		abort();
	for (uint32_t i = 0; i < v->n; i++)
		order[i] = &v->members[i];
	qsort(order, v->n, sizeof(*order), by_key);
	for (uint32_t i = 0; i < v->n; i++) {
		const struct jmember *m = order[i];

		if (i || !inline_first)
			indent(out, depth);
		write_key(slice_of(m->key, m->key_len), out);
		buf_byte(out, ':');
		if (is_block(m->value)) {
			buf_byte(out, '\n');
			/* Sequences stand at the indent of their key. */
			write_block(m->value, depth + (m->value->kind == JVALUE_OBJECT), false,
			            out);
			continue;
		}
		buf_byte(out, ' ');
		write_scalar(m->value, depth + 1, out);
		buf_byte(out, '\n');
	}
	free(order);
}

static void write_array(const struct jvalue *v, int depth, bool inline_first, struct buf *out)
{
	for (uint32_t i = 0; i < v->n; i++) {
		if (i || !inline_first)
			indent(out, depth);
		buf_add(out, "- ", 2);
		if (is_block(v->items[i])) {
			write_block(v->items[i], depth + 1, true, out);
			continue;
		}
		write_scalar(v->items[i], depth + 1, out);
		buf_byte(out, '\n');
	}
}

static void write_block(const struct jvalue *v, int depth, bool inline_first, struct buf *out)
{
	if (v->kind == JVALUE_ARRAY)
		write_array(v, depth, inline_first, out);
	else
		write_object(v, depth, inline_first, out);
}

void yaml_write(const struct jvalue *v, struct buf *out)
{
	if (is_block(v)) {
		write_block(v, 0, false, out);
		return;
	}
	write_scalar(v, 0, out);
	buf_byte(out, '\n');
}
