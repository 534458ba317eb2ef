/* SPDX-License-Identifier: Apache-2.0 */
/* Values: lists and maps that are made or seen through an API object, equality and order. */
#include <math.h>
#include "common/cel/internal.h"
#include "common/codec/base64.h"
#include "common/codec/duration.h"
#include "common/codec/rfc3339.h"

struct cel_value cel_of_slice(struct slice s)
{
	return (struct cel_value){.kind = CEL_STRING, .s = s};
}
struct cel_value cel_of_str(const char *s)
{
	return cel_of_slice(slice_str(s));
}
struct cel_value cel_of_bool(bool b)
{
	return (struct cel_value){.kind = CEL_BOOL, .b = b};
}
struct cel_value cel_of_int(int64_t i)
{
	return (struct cel_value){.kind = CEL_INT, .i = i};
}
struct cel_value cel_of_opaque(const struct cel_opaque *o)
{
	return (struct cel_value){.kind = CEL_OPAQUE, .opaque = o};
}

struct cel_value cel_error(struct arena *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	const char *text = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return (struct cel_value){.kind = CEL_ERROR, .s = slice_str(text)};
}

struct cel_value cel_of_value(struct value v, struct arena *a)
{
	struct cel_value out = {.kind = CEL_NULL};

	switch ((enum value_kind)v.kind) {
	case VALUE_NONE:
	case VALUE_NULL:
		break;
	case VALUE_BOOL:
		return cel_of_bool(v.b);
	case VALUE_INT:
		return cel_of_int(v.i);
	case VALUE_DOUBLE:
		out.kind = CEL_DOUBLE;
		out.d = v.d;
		break;
	case VALUE_STRING:
		return cel_of_slice(v.s);
	case VALUE_LIST: {
		struct cel_list *l = arena_new(a, struct cel_list);
		l->n = value_len(v);
		l->view = v;
		out.kind = CEL_LIST;
		out.list = l;
		break;
	}
	case VALUE_OBJECT: {
		struct cel_map *m = arena_new(a, struct cel_map);
		m->n = value_len(v);
		m->view = v;
		out.kind = CEL_MAP;
		out.map = m;
		break;
	}
	}
	return out;
}

struct cel_value cel_list_of(struct arena *a, const struct cel_value *items, size_t n)
{
	struct cel_list *l = arena_new(a, struct cel_list);
	static const struct cel_value none = {.kind = CEL_NULL};

	l->n = n;
	l->items = items ? items : &none;
	return (struct cel_value){.kind = CEL_LIST, .list = l};
}

struct cel_value cel_list_at(const struct cel_list *l, size_t i, struct arena *a)
{
	return l->items ? l->items[i] : cel_of_value(value_at(l->view, i), a);
}

struct cel_value cel_map_of(struct arena *a, const struct cel_entry *entries, size_t n)
{
	struct cel_map *m = arena_new(a, struct cel_map);
	static const struct cel_entry none = {{.kind = CEL_NULL}, {.kind = CEL_NULL}};

	m->n = n;
	m->entries = entries ? entries : &none;
	return (struct cel_value){.kind = CEL_MAP, .map = m};
}

struct cel_value cel_of_members(const char *const *names, const struct cel_value *values, size_t n,
                                struct arena *a)
{
	struct cel_entry *e = arena_array(a, struct cel_entry, n);

	for (size_t i = 0; i < n; i++)
		e[i] = (struct cel_entry){cel_of_str(names[i]), values[i]};
	return cel_map_of(a, e, n);
}

struct cel_value cel_of_lookup(bool (*find)(void *arg, struct slice name, struct cel_value *ret),
                               void *arg, struct arena *a)
{
	struct cel_map *m = arena_new(a, struct cel_map);

	m->find = find;
	m->arg = arg;
	return (struct cel_value){.kind = CEL_MAP, .map = m};
}

bool cel_map_find(const struct cel_map *m, struct cel_value key, struct arena *a,
                  struct cel_value *ret)
{
	if (m->entries) {
		for (size_t i = 0; i < m->n; i++) {
			if (cel_equal(m->entries[i].key, key)) {
				*ret = m->entries[i].value;
				return true;
			}
		}
		return false;
	}
	if (key.kind != CEL_STRING)
		return false;
	if (m->find)
		return m->find(m->arg, key.s, ret);
	struct value v = value_get(m->view, key.s);
	if (!value_exists(v))
		return false;
	*ret = cel_of_value(v, a);
	return true;
}

const struct cel_entry *cel_map_entries(const struct cel_map *m, struct arena *a, size_t *ret_n)
{
	size_t n = 0;

	*ret_n = m->n;
	if (m->entries || m->find)
		return m->entries;
	struct cel_entry *e = arena_array(a, struct cel_entry, m->n);
	struct value_iter it = value_members(m->view);
	while (n < m->n && value_next(&it))
		e[n++] = (struct cel_entry){cel_of_slice(it.name), cel_of_value(it.value, a)};
	*ret_n = n;
	return e;
}

/* --- equality and order --------------------------------------------------------------------------
 */

static bool is_number(struct cel_value v)
{
	return v.kind == CEL_INT || v.kind == CEL_UINT || v.kind == CEL_DOUBLE;
}

/* Exact, also where a double cannot hold the integer. */
static int compare_int_double(bool is_signed, int64_t i, uint64_t u, double d)
{
	if (isnan(d))
		return -1;
	if (is_signed) {
		if (d < -9223372036854775808.0)
			return 1;
		if (d >= 9223372036854775808.0)
			return -1;
		int64_t whole = (int64_t)d;
		return i != whole ? (i > whole) - (i < whole)
		                  : (d < (double)whole) - (d > (double)whole);
	}
	if (d < 0)
		return 1;
	if (d >= 18446744073709551616.0)
		return -1;
	uint64_t whole = (uint64_t)d;
	return u != whole ? (u > whole) - (u < whole) : -(d > (double)whole);
}

static int compare_numbers(struct cel_value a, struct cel_value b)
{
	if (a.kind == CEL_DOUBLE && b.kind == CEL_DOUBLE)
		return (a.d > b.d) - (a.d < b.d);
	if (b.kind == CEL_DOUBLE)
		return compare_int_double(a.kind == CEL_INT, a.i, a.u, b.d);
	if (a.kind == CEL_DOUBLE)
		return -compare_int_double(b.kind == CEL_INT, b.i, b.u, a.d);
	bool a_negative = a.kind == CEL_INT && a.i < 0, b_negative = b.kind == CEL_INT && b.i < 0;
	if (a_negative != b_negative)
		return a_negative ? -1 : 1;
	if (a_negative)
		return (a.i > b.i) - (a.i < b.i);
	return (a.u > b.u) - (a.u < b.u);
}

int cel_compare(struct cel_value a, struct cel_value b, bool *ret_ok)
{
	*ret_ok = true;
	if (is_number(a) && is_number(b))
		return compare_numbers(a, b);
	*ret_ok = a.kind == b.kind;
	if (!*ret_ok)
		return 0;
	switch (a.kind) {
	case CEL_BOOL:
		return a.b - b.b;
	case CEL_STRING:
	case CEL_BYTES:
		return slice_cmp(a.s, b.s);
	case CEL_DURATION:
		return (a.i > b.i) - (a.i < b.i);
	case CEL_TIMESTAMP:
		if (a.time.sec != b.time.sec)
			return a.time.sec < b.time.sec ? -1 : 1;
		return (a.time.nsec > b.time.nsec) - (a.time.nsec < b.time.nsec);
	default:
		*ret_ok = false;
		return 0;
	}
}

static bool types_equal(const struct cel_type *a, const struct cel_type *b)
{
	return a->kind == b->kind && (!a->name || !b->name || !strcmp(a->name, b->name));
}

/* Views make their elements in an arena of the comparison's own. */
static bool equal_in(struct cel_value a, struct cel_value b, struct arena *scratch)
{
	bool ok;

	if (is_number(a) && is_number(b)) {
		if ((a.kind == CEL_DOUBLE && isnan(a.d)) || (b.kind == CEL_DOUBLE && isnan(b.d)))
			return false;
		return compare_numbers(a, b) == 0;
	}
	if (a.kind != b.kind)
		return false;
	switch (a.kind) {
	case CEL_NULL:
		return true;
	case CEL_LIST:
		if (a.list->n != b.list->n)
			return false;
		for (size_t i = 0; i < a.list->n; i++)
			if (!equal_in(cel_list_at(a.list, i, scratch),
			              cel_list_at(b.list, i, scratch), scratch))
				return false;
		return true;
	case CEL_MAP: {
		size_t n, m;
		const struct cel_entry *e = cel_map_entries(a.map, scratch, &n);
		struct cel_value other;

		cel_map_entries(b.map, scratch, &m);
		if (n != m)
			return false;
		for (size_t i = 0; i < n; i++)
			if (!cel_map_find(b.map, e[i].key, scratch, &other) ||
			    !equal_in(e[i].value, other, scratch))
				return false;
		return true;
	}
	case CEL_TYPE:
		return types_equal(a.type, b.type);
	case CEL_OPTIONAL:
		return !a.optional == !b.optional &&
		       (!a.optional || equal_in(*a.optional, *b.optional, scratch));
	case CEL_OPAQUE:
		return a.opaque->class == b.opaque->class &&
		       a.opaque->class->equal(a.opaque, b.opaque);
	default:
		return cel_compare(a, b, &ok) == 0 && ok;
	}
}

bool cel_equal(struct cel_value a, struct cel_value b)
{
	_cleanup_arena_ struct arena scratch = {0};

	return equal_in(a, b, &scratch);
}

/* --- JSON ----------------------------------------------------------------------------------------
 */

struct jvalue *cel_to_tree(struct cel_value v, struct arena *a)
{
	char text[64];

	switch (v.kind) {
	case CEL_NULL:
		return jvalue_null(a);
	case CEL_BOOL:
		return jvalue_bool(a, v.b);
	case CEL_INT:
		return jvalue_int(a, v.i);
	case CEL_UINT:
		return v.u <= INT64_MAX ? jvalue_int(a, (int64_t)v.u)
		                        : jvalue_double(a, (double)v.u);
	case CEL_DOUBLE:
		return isfinite(v.d) ? jvalue_double(a, v.d) : NULL;
	case CEL_STRING:
		return jvalue_strn(a, v.s);
	case CEL_DURATION:
		return jvalue_strn(a, slice_of(text, duration_format(v.i, text)));
	case CEL_TIMESTAMP:
		return jvalue_strn(
		    a, slice_of(text, rfc3339_format_nano(v.time.sec, v.time.nsec, text)));
	case CEL_LIST: {
		struct jvalue *list = jvalue_array(a), *item;

		for (size_t i = 0; i < v.list->n; i++) {
			if (!(item = cel_to_tree(cel_list_at(v.list, i, a), a)))
				return NULL;
			jvalue_append(a, list, item);
		}
		return list;
	}
	case CEL_MAP: {
		struct jvalue *map = jvalue_object(a), *item;
		size_t n;
		const struct cel_entry *e = cel_map_entries(v.map, a, &n);

		for (size_t i = 0; i < n; i++) {
			if (e[i].key.kind != CEL_STRING || !(item = cel_to_tree(e[i].value, a)))
				return NULL;
			jvalue_setn(a, map, e[i].key.s, item);
		}
		return map;
	}
	default:
		return NULL;
	}
}
