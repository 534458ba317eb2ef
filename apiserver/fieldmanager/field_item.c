/* SPDX-License-Identifier: Apache-2.0 */
/* The path elements of list items. */
#include "apiserver/fieldmanager/field_walk.h"

#include "common/codec/json_writer.h"

static void write_scalar(struct value v, struct buf *out)
{
	switch (v.kind) {
	case VALUE_BOOL:
		json_write_bool(out, v.b);
		break;
	case VALUE_INT:
		json_write_i64(out, v.i);
		break;
	case VALUE_DOUBLE:
		json_write_double(out, v.d);
		break;
	case VALUE_STRING:
		json_write_string(out, v.s);
		break;
	default:
		jvalue_write(value_to_tree(v, v.arena), out);
	}
}

static struct slice keep(struct buf *b, struct arena *a)
{
	return slice_of(arena_memdup(a, b->data, b->len), b->len);
}

static bool fault(const char **ret, const char *text)
{
	if (ret)
		*ret = text;
	return false;
}

static bool set_elem(struct value item, struct arena *a, struct field_elem *ret,
                     const char **ret_fault)
{
	_cleanup_buf_ struct buf out = BUF_INIT;

	if (value_is(item, VALUE_OBJECT))
		return fault(ret_fault,
		             "associative list without keys has an element that's a map type");
	if (value_is(item, VALUE_LIST))
		return fault(ret_fault, "not supported: associative list with lists as elements");
	if (value_is(item, VALUE_NULL) || !value_exists(item))
		return fault(
		    ret_fault,
		    "associative list without keys has an element that's an explicit null");
	write_scalar(item, &out);
	*ret = (struct field_elem){ELEM_VALUE, keep(&out, a)};
	return true;
}

static const char *omits_keys(const char *const *keys, size_t n, struct arena *a)
{
	const char *names = "";

	for (size_t i = 0; i < n; i++)
		names = arena_printf(a, "%s%s\"%s\"", names, i ? " " : "", keys[i]);
	return arena_printf(a,
	                    "associative list with keys has an element that omits all key fields "
	                    "[%s] (and doesn't have default values for any key fields)",
	                    names);
}

bool field_item_elem(struct value item, struct field_type list, struct arena *a,
                     struct field_elem *ret, const char **ret_fault)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	const char *keys[FIELD_TYPE_KEYS_MAX];
	size_t n;

	if (list.set)
		return set_elem(item, a, ret, ret_fault);
	if (value_is(item, VALUE_NULL))
		return fault(ret_fault, "associative list with keys may not have a null element");
	if (!value_is(item, VALUE_OBJECT))
		return fault(ret_fault, "associative list with keys may not have non-map elements");
	n = field_type_keys(list, keys);
	buf_reserve(&out, 64);
	for (size_t i = 0; i < n; i++) {
		struct value v = value_get_str(item, keys[i]);
		struct slice text = SLICE_EMPTY;

		if (!value_exists(v) && !field_type_key_default(list, keys[i], a, &text))
			continue;
		buf_byte(&out, out.len ? ',' : '{');
		json_write_cstr(&out, keys[i]);
		buf_byte(&out, ':');
		if (text.len)
			buf_slice(&out, text);
		else
			write_scalar(v, &out);
	}
	if (!out.len)
		return fault(ret_fault, ret_fault ? omits_keys(keys, n, a) : NULL);
	buf_byte(&out, '}');
	*ret = (struct field_elem){ELEM_KEY, keep(&out, a)};
	return true;
}
