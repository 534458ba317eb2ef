/* SPDX-License-Identifier: Apache-2.0 */
/* Field sets as FieldsV1 JSON, and paths as people read them. */
#include "apiserver/fieldmanager/field_set.h"

#include <stdlib.h>
#include "common/codec/json_writer.h"
#include "common/codec/jvalue.h"

/* --- writing --------------------------------------------------------------------------------- */

static bool plain(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] < 0x20 || s.data[i] > 0x7e || strchr("\"\\<>&", s.data[i]))
			return false;
	return true;
}

static void write_elem(const struct field_elem *e, struct buf *out)
{
	static const char kinds[] = "fkvi";
	_cleanup_buf_ struct buf text = BUF_INIT;
	char prefix[2] = {kinds[e->kind], ':'};

	if (plain(e->text)) {
		buf_byte(out, '"');
		buf_add(out, prefix, 2);
		buf_slice(out, e->text);
		buf_byte(out, '"');
		return;
	}
	buf_add(&text, prefix, 2);
	buf_slice(&text, e->text);
	json_write_string(out, buf_view(&text));
}

static void write_nodes(const struct field_set *s, bool self, struct buf *out)
{
	buf_byte(out, '{');
	if (self)
		buf_str(out, "\".\":{}");
	for (uint32_t i = 0; i < s->n; i++) {
		const struct field_node *node = &s->at[i];

		if (i || self)
			buf_byte(out, ',');
		write_elem(&node->elem, out);
		buf_byte(out, ':');
		if (node->below.n)
			write_nodes(&node->below, node->member, out);
		else
			buf_str(out, "{}");
	}
	buf_byte(out, '}');
}

void field_set_write(const struct field_set *s, struct buf *out)
{
	write_nodes(s, false, out);
}

/* --- reading --------------------------------------------------------------------------------- */

struct reading {
	struct json_reader r;
	struct arena *a;
	size_t nodes;
};

static int elem_error(struct err *err, struct slice key)
{
	return err_set(err, ERR_BAD_REQUEST, "invalid path element %.*s",
	               (int)MIN(key.len, (size_t)200), (const char *)key.data);
}

/* Keys and values as this folder writes them: compact, members sorted. */
static int canonical(struct slice text, bool object, struct arena *a, struct slice *ret)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct jvalue *v;

	if (jvalue_parse(text, a, NULL, &v, NULL) < 0 || (v->kind == JVALUE_OBJECT) != object)
		return -ERR_BAD_REQUEST;
	jvalue_write_sorted(v, &out);
	if (slice_eq(buf_view(&out), text))
		*ret = text;
	else
		*ret = slice_of(arena_memdup(a, out.data, out.len), out.len);
	return 0;
}

/* 0, 1 for an element of a kind that nobody knows, or -ERR_BAD_REQUEST. */
static int read_elem(struct slice key, struct arena *a, struct field_elem *ret)
{
	struct slice text = slice_skip(key, 2);
	char *end;

	if (key.len < 2 || key.data[1] != ':')
		return -ERR_BAD_REQUEST;
	switch (key.data[0]) {
	case 'f':
		*ret = (struct field_elem){ELEM_FIELD, text};
		return 0;
	case 'k':
		ret->kind = ELEM_KEY;
		return canonical(text, true, a, &ret->text);
	case 'v':
		ret->kind = ELEM_VALUE;
		return canonical(text, false, a, &ret->text);
	case 'i':
		*ret = (struct field_elem){
		    ELEM_INDEX,
		    slice_str(arena_printf(
		        a, "%ld", strtol(arena_strndup(a, text.data, text.len), &end, 10)))};
		return *end || !text.len ? -ERR_BAD_REQUEST : 0;
	}
	return 1;
}

/* Two nodes of one element, where a text says it twice. */
static void join_twins(struct field_set *s, struct arena *a)
{
	uint32_t n = 0;

	field_set_sort(s);
	for (uint32_t i = 0; i < s->n; i++) {
		if (n && field_elem_cmp(&s->at[n - 1].elem, &s->at[i].elem) == 0) {
			s->at[n - 1].member |= s->at[i].member;
			s->at[n - 1].below = field_set_union(s->at[n - 1].below, s->at[i].below, a);
		} else {
			s->at[n++] = s->at[i];
		}
	}
	s->n = n;
}

/* An object of elements: what lies below, and whether its owner is a member (".", or nothing
 * below). */
static int read_nodes(struct reading *rd, int depth, struct field_set *ret, bool *ret_member,
                      struct err *err)
{
	struct field_set set = {0};
	bool member = false;
	struct slice key;

	if (depth > FIELD_SET_DEPTH_MAX)
		return err_set(err, ERR_LIMIT, "the fields are nested too deeply");
	json_object_begin(&rd->r);
	while (json_object_next(&rd->r, &key)) {
		struct field_set below = {0};
		struct field_elem elem;
		bool is_member = false;
		struct slice ignored;
		int r;

		if (++rd->nodes > FIELD_SET_NODES_MAX)
			return err_set(err, ERR_LIMIT, "too many fields");
		if (slice_eq_str(key, ".")) {
			member = true;
			json_read_raw(&rd->r, &ignored);
			continue;
		}
		r = read_elem(key, rd->a, &elem);
		if (r < 0)
			return elem_error(err, key);
		if (r > 0) {
			json_read_raw(&rd->r, &ignored);
			continue;
		}
		r = read_nodes(rd, depth + 1, &below, &is_member, err);
		if (r < 0)
			return r;
		field_set_add(&set, elem, is_member, below, rd->a);
	}
	join_twins(&set, rd->a);
	*ret = set;
	*ret_member = member || !set.n;
	return json_reader_status(&rd->r, err);
}

int field_set_read(struct slice json, struct arena *a, struct field_set *ret, struct err *err)
{
	struct reading rd = {.a = a};
	bool member;
	int r;

	json_reader_init(&rd.r, json, a);
	if (json_peek(&rd.r) == JSON_NULL) {
		json_read_null(&rd.r);
		*ret = FIELD_SET_EMPTY;
	} else {
		r = read_nodes(&rd, 0, ret, &member, err);
		if (r < 0)
			return r;
	}
	json_end(&rd.r);
	return json_reader_status(&rd.r, err);
}

/* --- paths ----------------------------------------------------------------------------------- */

/* JSON scalars are close enough to Go's %q and %v that strings of names look the same. */
void field_elem_print(const struct field_elem *e, struct buf *out)
{
	_cleanup_arena_ struct arena a = {0};
	struct jvalue *v;

	switch (e->kind) {
	case ELEM_FIELD:
		buf_byte(out, '.');
		buf_slice(out, e->text);
		return;
	case ELEM_KEY:
		if (jvalue_parse(e->text, &a, NULL, &v, NULL) < 0)
			return;
		buf_byte(out, '[');
		for (uint32_t i = 0; i < v->n; i++) {
			buf_printf(out, "%s%s=", i ? "," : "", v->members[i].key);
			jvalue_write(v->members[i].value, out);
		}
		buf_byte(out, ']');
		return;
	case ELEM_VALUE:
		buf_str(out, "[=");
		buf_slice(out, e->text);
		buf_byte(out, ']');
		return;
	}
	buf_printf(out, "[%.*s]", SLICE_FMT(e->text));
}

static void each(const struct field_set *s, struct buf *path,
                 void (*fn)(void *arg, const char *path), void *arg)
{
	size_t at = path->len;

	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < s->n; i++) {
			const struct field_node *node = &s->at[i];

			if (pass == 0 ? !node->member : !node->below.n)
				continue;
			field_elem_print(&node->elem, path);
			if (pass == 0)
				fn(arg, (const char *)path->data);
			else
				each(&node->below, path, fn, arg);
			path->len = at;
			path->data[at] = 0;
		}
	}
}

void field_set_each(const struct field_set *s, void (*fn)(void *arg, const char *path), void *arg)
{
	_cleanup_buf_ struct buf path = BUF_INIT;

	buf_reserve(&path, 64);
	each(s, &path, fn, arg);
}
