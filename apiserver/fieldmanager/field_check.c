/* SPDX-License-Identifier: Apache-2.0 */
/* Checks a document tree against a type before it is applied. */
#include "apiserver/fieldmanager/field_walk.h"

#include <stdlib.h>

enum { DEPTH_MAX = 512, FAULTS_MAX = 100 };

struct check {
	struct arena *a;
	struct buf path;
	struct buf *out; /* "  path: text" a line */
	size_t n;
	int depth;
};

static void fault(struct check *c, const char *text)
{
	if (c->n++ >= FAULTS_MAX)
		return;
	buf_str(c->out, c->n > 1 ? "\n  " : "  ");
	buf_slice(c->out, buf_view(&c->path));
	buf_printf(c->out, "%s%s", c->path.len ? ": " : "", text);
}

static void check(struct check *c, const struct jvalue *v, struct field_type t);

static void check_below(struct check *c, const struct field_elem *elem, const struct jvalue *v,
                        struct field_type t)
{
	size_t n = c->path.len;

	field_elem_print(elem, &c->path);
	check(c, v, t);
	c->path.len = n;
}

static const char *go_type(const struct jvalue *v)
{
	static const char *const names[] = {
	    [JVALUE_NULL] = "<nil>",
	    [JVALUE_BOOL] = "bool",
	    [JVALUE_INT] = "int64",
	    [JVALUE_DOUBLE] = "float64",
	    [JVALUE_STRING] = "string",
	    [JVALUE_ARRAY] = "[]interface {}",
	    [JVALUE_OBJECT] = "map[string]interface {}",
	};
	return names[v->kind];
}

/* As upstream prints a value that it did not expect. */
static const char *go_value(const struct jvalue *v, struct arena *a)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	if (v->kind == JVALUE_STRING)
		return arena_printf(a, "&{%s}", v->str);
	jvalue_write(v, &text);
	return arena_printf(a, "&{%s}", (const char *)text.data);
}

static void check_scalar(struct check *c, const struct jvalue *v, enum field_scalar kind)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	bool number = v->kind == JVALUE_INT || v->kind == JVALUE_DOUBLE;

	jvalue_write(v, &text);
	if (kind == SCALAR_NUMERIC && !number)
		fault(c, arena_printf(c->a, "expected numeric (int or float), got %s", go_type(v)));
	else if (kind == SCALAR_STRING && v->kind != JVALUE_STRING)
		fault(c,
		      arena_printf(c->a, "expected string, got &value.valueUnstructured{Value:%s}",
		                   (const char *)text.data));
	else if (kind == SCALAR_BOOL && v->kind != JVALUE_BOOL)
		fault(c, arena_printf(c->a, "expected boolean, got %s", go_value(v, c->a)));
	else if (v->kind == JVALUE_ARRAY || v->kind == JVALUE_OBJECT)
		fault(c, arena_printf(c->a, "expected any scalar, got %s", go_value(v, c->a)));
}

static int elem_cmp(const void *a, const void *b)
{
	return field_elem_cmp(a, b);
}

static void check_twins(struct check *c, struct field_elem *elems, uint32_t n)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	qsort(elems, n, sizeof(*elems), elem_cmp);
	for (uint32_t i = 1; i < n; i++) {
		if (field_elem_cmp(&elems[i - 1], &elems[i]) != 0)
			continue;
		buf_clear(&text);
		field_elem_print(&elems[i], &text);
		fault(c, arena_printf(c->a, "duplicate entries for key %s", text.data));
	}
}

static void check_list(struct check *c, const struct jvalue *v, struct field_type t)
{
	struct field_elem *elems = arena_array(c->a, struct field_elem, v->n);
	struct field_type item = field_type_item(t);
	uint32_t n = 0;

	for (uint32_t i = 0; i < v->n; i++) {
		struct field_elem elem = {ELEM_INDEX, slice_str(arena_printf(c->a, "%u", i))};
		const char *why = "";

		if (!t.atomic) {
			if (!field_item_elem(value_of_tree(v->items[i], c->a), t, c->a, &elem,
			                     &why)) {
				fault(c, arena_printf(c->a, "element %u: %s", i, why));
				return;
			}
			elems[n++] = elem;
		}
		check_below(c, &elem, v->items[i], item);
	}
	check_twins(c, elems, n);
}

static void check_map(struct check *c, const struct jvalue *v, struct field_type t)
{
	for (uint32_t i = 0; i < v->n; i++) {
		const struct jmember *m = &v->members[i];
		struct field_elem elem = {ELEM_FIELD, slice_of(m->key, m->key_len)};
		struct field_type type;
		size_t n = c->path.len;

		if (field_type_member(t, elem.text, &type)) {
			check_below(c, &elem, m->value, type);
			continue;
		}
		field_elem_print(&elem, &c->path);
		fault(c, "field not declared in schema");
		c->path.len = n;
	}
}

static void check(struct check *c, const struct jvalue *v, struct field_type t)
{
	if (v->kind == JVALUE_NULL || t.klass == CLASS_ANY)
		return;
	if (++c->depth > DEPTH_MAX)
		fault(c, "nested too deeply");
	else if (t.klass == CLASS_SCALAR)
		check_scalar(c, v, t.scalar);
	else if (t.klass == CLASS_LIST && v->kind != JVALUE_ARRAY)
		fault(c, arena_printf(c->a, "expected list, got %s", go_value(v, c->a)));
	else if (t.klass == CLASS_MAP && v->kind != JVALUE_OBJECT)
		fault(c, arena_printf(c->a, "expected map, got %s", go_value(v, c->a)));
	else if (t.klass == CLASS_LIST)
		check_list(c, v, t);
	else
		check_map(c, v, t);
	c->depth--;
}

size_t field_check(const struct jvalue *v, struct field_type t, struct arena *a, struct buf *out)
{
	struct check c = {.a = a, .out = out};

	check(&c, v, t);
	buf_deinit(&c.path);
	return c.n;
}
