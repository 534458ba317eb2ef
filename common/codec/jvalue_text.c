/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/json_writer.h"
#include "common/codec/jvalue.h"

/* Where the reader stands, as a chain on the stack: made into text only for the report. */
struct place {
	const struct place *parent;
	struct slice name;
	size_t index; /* when name.data is NULL */
};

static char *place_text(struct arena *a, const struct place *at)
{
	const struct place *chain[JSON_DEPTH_MAX + 1];
	size_t n = 0;
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (; at; at = at->parent)
		chain[n++] = at;
	while (n--) {
		if (!chain[n]->name.data)
			buf_printf(&b, "[%zu]", chain[n]->index);
		else
			buf_printf(&b, "%s%.*s", b.len ? "." : "", SLICE_FMT(chain[n]->name));
	}
	return arena_strndup(a, b.data ? (const char *)b.data : "", b.len);
}

static struct jvalue *read_value(struct json_reader *r, struct json_report *report,
                                 const struct place *parent);

static struct jvalue *read_object(struct json_reader *r, struct json_report *report,
                                  const struct place *parent)
{
	struct jvalue *obj = jvalue_object(r->arena);
	struct slice key;

	json_object_begin(r);
	while (json_object_next(r, &key)) {
		struct place here = {.parent = parent, .name = key};

		if (!key.data)
			here.name.data = (const uint8_t *)"";
		struct jvalue *v = read_value(r, report, &here);
		if (!v)
			break;
		uint32_t before = obj->n;
		jvalue_setn(r->arena, obj, key, v);
		if (report && obj->n == before)
			json_report_add(report, "duplicate field \"%s\"",
			                place_text(report->arena, &here));
	}
	return r->failed ? NULL : obj;
}

static struct jvalue *read_array(struct json_reader *r, struct json_report *report,
                                 const struct place *parent)
{
	struct jvalue *arr = jvalue_array(r->arena);

	json_array_begin(r);
	while (json_array_next(r)) {
		struct place here = {.parent = parent, .index = arr->n};
		struct jvalue *v = read_value(r, report, &here);

		if (!v)
			break;
		jvalue_append(r->arena, arr, v);
	}
	return r->failed ? NULL : arr;
}

static struct jvalue *read_number(struct json_reader *r)
{
	struct json_number n;

	if (!json_read_number(r, &n))
		return NULL;
	if (n.fits_i64)
		return jvalue_int(r->arena, n.i64);
	double d = json_number_double(&n);
	if (d - d != 0) {
		r->failed = true;
		err_set(&r->err, ERR_BAD_REQUEST,
		        "json: cannot unmarshal number %.*s into Go value of type float64",
		        (int)MIN(n.text.len, 100u), (const char *)n.text.data);
		return NULL;
	}
	struct jvalue *v = jvalue_double(r->arena, d);
	v->text = arena_strndup(r->arena, n.text.data, n.text.len);
	return v;
}

static struct jvalue *read_value(struct json_reader *r, struct json_report *report,
                                 const struct place *parent)
{
	bool b;
	struct slice s;

	switch (json_peek(r)) {
	case JSON_OBJECT:
		return read_object(r, report, parent);
	case JSON_ARRAY:
		return read_array(r, report, parent);
	case JSON_STRING:
		return json_read_string(r, &s) ? jvalue_strn(r->arena, s) : NULL;
	case JSON_NUMBER:
		return read_number(r);
	case JSON_BOOL:
		return json_read_bool(r, &b) ? jvalue_bool(r->arena, b) : NULL;
	case JSON_NULL:
		return json_read_null(r) ? jvalue_null(r->arena) : NULL;
	case JSON_ERROR:
		break;
	}
	return NULL;
}

struct jvalue *jvalue_read(struct json_reader *r, struct json_report *report)
{
	return read_value(r, report, NULL);
}

int jvalue_parse(struct slice json, struct arena *a, struct json_report *report,
                 struct jvalue **ret, struct err *err)
{
	struct json_reader r;

	json_reader_init(&r, json, a);
	struct jvalue *v = jvalue_read(&r, report);
	if (v)
		json_end(&r);
	int k = json_reader_status(&r, err);
	if (k == 0)
		*ret = v;
	return k;
}

static int by_key(const void *a, const void *b)
{
	const struct jmember *x = *(const struct jmember *const *)a;
	const struct jmember *y = *(const struct jmember *const *)b;

	return slice_cmp(slice_of(x->key, x->key_len), slice_of(y->key, y->key_len));
}

static void write_value(const struct jvalue *v, bool sorted, struct buf *out);

static void write_member(const struct jmember *m, bool sorted, bool comma, struct buf *out)
{
	if (comma)
		buf_byte(out, ',');
	json_write_string(out, slice_of(m->key, m->key_len));
	buf_byte(out, ':');
	write_value(m->value, sorted, out);
}

static void write_object(const struct jvalue *v, bool sorted, struct buf *out)
{
	enum { ON_STACK = 64 };
	const struct jmember *few[ON_STACK];
	_cleanup_(free_p) const struct jmember **many = NULL;
	const struct jmember **order = few;

	buf_byte(out, '{');
	if (sorted && v->n > ON_STACK) {
		order = many = calloc(v->n, sizeof(*many));
		if (!many)
			abort();
	}
	if (sorted) {
		for (uint32_t i = 0; i < v->n; i++)
			order[i] = &v->members[i];
		qsort(order, v->n, sizeof(*order), by_key);
	}
	for (uint32_t i = 0; i < v->n; i++)
		write_member(sorted ? order[i] : &v->members[i], sorted, i > 0, out);
	buf_byte(out, '}');
}

static void write_value(const struct jvalue *v, bool sorted, struct buf *out)
{
	switch (v->kind) {
	case JVALUE_NULL:
		buf_add(out, "null", 4);
		break;
	case JVALUE_BOOL:
		json_write_bool(out, v->b);
		break;
	case JVALUE_INT:
		json_write_i64(out, v->i);
		break;
	case JVALUE_DOUBLE:
		json_write_double(out, v->d);
		break;
	case JVALUE_STRING:
		json_write_string(out, jvalue_slice(v));
		break;
	case JVALUE_ARRAY:
		buf_byte(out, '[');
		for (uint32_t i = 0; i < v->n; i++) {
			if (i)
				buf_byte(out, ',');
			write_value(v->items[i], sorted, out);
		}
		buf_byte(out, ']');
		break;
	case JVALUE_OBJECT:
		write_object(v, sorted, out);
		break;
	}
}

void jvalue_write(const struct jvalue *v, struct buf *out)
{
	write_value(v, false, out);
}

void jvalue_write_sorted(const struct jvalue *v, struct buf *out)
{
	write_value(v, true, out);
}
