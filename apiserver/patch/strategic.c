/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "apiserver/patch/order.h"
#include "apiserver/patch/patch.h"
#include "proto/schema.h"

#define DIRECTIVE "$patch"
#define RETAIN_KEYS "$retainKeys"
#define SET_ORDER "$setElementOrder/"
#define DELETE_PRIMITIVES "$deleteFromPrimitiveList/"

struct patcher {
	struct arena *arena;
	struct err *err;
};

/* What the schema says of a node: the message of an object, or the map field it is a value of. */
struct type {
	const struct schema_message *message;
	const struct schema_field *map;
};

/* What it says of a member. */
struct member_type {
	struct type type; /* of the member, or of a list's elements */
	bool merge, replace;
	const char *merge_key;
};

static struct member_type member_of(struct type in, struct slice key)
{
	struct member_type m = {0};
	const struct schema_field *f = NULL;

	if (in.map) {
		m.type.message = in.map->message->fields[1].message;
		return m;
	}
	if (in.message) {
		const struct schema_json *j =
		    schema_json_find(in.message, (const char *)key.data, key.len);
		f = j ? j->field : NULL;
	}
	if (!f)
		return m;
	m.merge = f->flags & SCHEMA_PATCH_MERGE;
	m.replace = f->flags & SCHEMA_PATCH_REPLACE;
	m.merge_key = f->extra->patch_merge_key;
	if (f->flags & SCHEMA_MAP)
		m.type.map = f;
	else
		m.type.message = f->message;
	return m;
}

static struct slice key_of(const struct jmember *m)
{
	return slice_of(m->key, m->key_len);
}

static bool after_prefix(const struct jmember *m, const char *prefix, struct slice *ret_rest)
{
	struct slice p = slice_str(prefix);

	if (!slice_has_prefix(key_of(m), p))
		return false;
	*ret_rest = slice_skip(key_of(m), p.len);
	return true;
}

static bool is_str(const struct jvalue *v, const char *s)
{
	return jvalue_is(v, JVALUE_STRING) && slice_eq_str(jvalue_slice(v), s);
}

static char *text_of(struct patcher *p, const struct jvalue *v)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	jvalue_write(v, &b);
	return arena_strndup(p->arena, b.data, MIN(b.len, 400u));
}

static int bad_directive(struct patcher *p, const struct jvalue *directive,
                         const struct jvalue *patch)
{
	return err_set(p->err, ERR_INTERNAL, "unknown patch type: %s in map: %s",
	               directive->kind == JVALUE_STRING ? directive->str : text_of(p, directive),
	               text_of(p, patch));
}

static int merge_object(struct patcher *p, struct type type, struct jvalue *original,
                        struct jvalue *patch, struct jvalue **ret);

/* Values that are new to the document: without nulls and directives. NULL: nothing is left of an
 * element that a directive deletes. */
static struct jvalue *without_directives(struct patcher *p, struct jvalue *v)
{
	struct slice rest;

	if (v->kind == JVALUE_ARRAY) {
		struct jvalue *out = jvalue_array(p->arena);

		for (uint32_t i = 0; i < v->n; i++) {
			struct jvalue *el = without_directives(p, v->items[i]);
			if (el)
				jvalue_append(p->arena, out, el);
		}
		return out;
	}
	if (v->kind != JVALUE_OBJECT)
		return v;
	struct jvalue *directive = jvalue_get(v, DIRECTIVE), *out = jvalue_object(p->arena);
	if (directive && is_str(directive, "delete"))
		return NULL;
	/* An element that only says "replace the list" is no element. */
	if (directive && v->n == 1)
		return NULL;
	for (uint32_t i = 0; i < v->n; i++) {
		const struct jmember *m = &v->members[i];

		if (m->value->kind == JVALUE_NULL || slice_eq_str(key_of(m), DIRECTIVE) ||
		    slice_eq_str(key_of(m), RETAIN_KEYS) || after_prefix(m, SET_ORDER, &rest) ||
		    after_prefix(m, DELETE_PRIMITIVES, &rest))
			continue;
		struct jvalue *sub = without_directives(p, m->value);
		jvalue_setn(p->arena, out, key_of(m), sub ? sub : jvalue_object(p->arena));
	}
	return out;
}

/* Lists of scalars. */

static bool scalars_only(const struct jvalue *list)
{
	for (uint32_t i = 0; i < list->n; i++)
		if (list->items[i]->kind >= JVALUE_ARRAY)
			return false;
	return true;
}

static struct jvalue *union_of(struct patcher *p, const struct jvalue *a, const struct jvalue *b)
{
	struct jvalue *out = jvalue_array(p->arena);

	for (int pass = 0; pass < 2; pass++) {
		const struct jvalue *list = pass ? b : a;
		for (uint32_t i = 0; i < list->n; i++)
			if (order_index(out, list->items[i], NULL) < 0)
				jvalue_append(p->arena, out, list->items[i]);
	}
	return out;
}

static struct jvalue *difference_of(struct patcher *p, const struct jvalue *a,
                                    const struct jvalue *b)
{
	struct jvalue *out = jvalue_array(p->arena);

	for (uint32_t i = 0; i < a->n; i++)
		if (order_index(b, a->items[i], NULL) < 0)
			jvalue_append(p->arena, out, a->items[i]);
	return out;
}

/* Lists of objects. */

static int no_merge_key(struct patcher *p, const struct jvalue *el, const char *merge_key)
{
	return err_set(p->err, ERR_INTERNAL, "map: %s does not contain declared merge key: %s",
	               text_of(p, el), merge_key);
}

static void delete_matching(struct jvalue *list, const struct jvalue *el, const char *merge_key)
{
	for (uint32_t i = list->n; i-- > 0;)
		if (order_same(list->items[i], el, merge_key))
			jvalue_remove(list, i);
}

/* Takes the elements with a directive out of the patch and does what they say. */
static int special_elements(struct patcher *p, struct jvalue **original, const struct jvalue *patch,
                            const char *merge_key, struct jvalue *ret_rest)
{
	bool replace = false;

	for (uint32_t i = 0; i < patch->n; i++) {
		struct jvalue *el = patch->items[i], *directive = jvalue_get(el, DIRECTIVE);

		if (!directive) {
			jvalue_append(p->arena, ret_rest, el);
		} else if (is_str(directive, "delete")) {
			if (!jvalue_get(el, merge_key))
				return no_merge_key(p, el, merge_key);
			delete_matching(*original, el, merge_key);
		} else if (is_str(directive, "replace")) {
			replace = true;
		} else if (is_str(directive, "merge")) {
			return err_set(
			    p->err, ERR_INTERNAL,
			    "merging of list elements is the default: directive %s: merge "
			    "is not supported in lists",
			    DIRECTIVE);
		} else {
			return bad_directive(p, directive, el);
		}
	}
	if (replace) {
		struct jvalue *only = without_directives(p, ret_rest);

		*original = only;
		ret_rest->n = 0;
	}
	return 0;
}

static int merge_elements(struct patcher *p, struct type type, struct jvalue *original,
                          const struct jvalue *patch, const char *merge_key)
{
	for (uint32_t i = 0; i < patch->n; i++) {
		struct jvalue *el = patch->items[i], *merged;

		if (!jvalue_get(el, merge_key))
			return no_merge_key(p, el, merge_key);
		int64_t at = order_index(original, el, merge_key);
		struct jvalue *base = at >= 0 ? original->items[at] : jvalue_object(p->arena);
		int k = merge_object(p, type, base, el, &merged);
		if (k < 0)
			return k;
		if (at >= 0)
			original->items[at] = merged;
		else
			jvalue_append(p->arena, original, merged);
	}
	return 0;
}

/* The lists must hold objects only, or scalars only. */
static int check_elements(struct patcher *p, const struct jvalue *a, const struct jvalue *b,
                          bool *ret_objects)
{
	bool objects = false, scalars = false;

	for (int pass = 0; pass < 2; pass++) {
		const struct jvalue *list = pass ? b : a;
		for (uint32_t i = 0; i < list->n; i++) {
			if (list->items[i]->kind == JVALUE_ARRAY)
				return err_set(p->err, ERR_INVALID,
				               "lists of lists are not supported");
			if (list->items[i]->kind == JVALUE_OBJECT)
				objects = true;
			else
				scalars = true;
		}
	}
	/* Matching elements takes time that grows with the square of their number. */
	if (a->n > PATCH_LIST_MAX || b->n > PATCH_LIST_MAX)
		return err_set(p->err, ERR_TOO_LARGE,
		               "lists of more than %d elements cannot be merged", PATCH_LIST_MAX);
	if (objects && scalars)
		return err_set(p->err, ERR_INTERNAL, "list element types are not identical");
	*ret_objects = objects;
	return 0;
}

static int merge_list(struct patcher *p, const struct member_type *m, struct jvalue *original,
                      struct jvalue *patch, struct jvalue **ret)
{
	bool objects = false;
	struct jvalue *server = jvalue_array(p->arena), *rest = jvalue_array(p->arena);
	int k = check_elements(p, original, patch, &objects);

	if (k < 0)
		return k;
	for (uint32_t i = 0; i < original->n; i++)
		jvalue_append(p->arena, server, original->items[i]);
	if (!objects) {
		*ret = order_arrange(union_of(p, original, patch), patch, server, NULL, p->arena);
		return 0;
	}
	if (!m->merge_key)
		return err_set(p->err, ERR_INTERNAL, "cannot merge lists without merge key");
	k = special_elements(p, &original, patch, m->merge_key, rest);
	if (k == 0)
		k = merge_elements(p, m->type, original, rest, m->merge_key);
	if (k < 0)
		return k;
	*ret = order_arrange(original, rest, server, m->merge_key, p->arena);
	return 0;
}

/* Objects. */

static int retain_keys(struct patcher *p, struct jvalue *original, struct jvalue *patch)
{
	struct jvalue *keep = jvalue_get(patch, RETAIN_KEYS);
	struct slice rest;

	if (!keep)
		return 0;
	if (keep->kind != JVALUE_ARRAY || !scalars_only(keep))
		return err_set(p->err, ERR_BAD_REQUEST, "invalid patch format of retainKeys");
	jvalue_del(patch, RETAIN_KEYS);
	for (uint32_t i = 0; i < patch->n; i++) {
		const struct jmember *m = &patch->members[i];
		struct jvalue *name = jvalue_strn(p->arena, key_of(m));

		if (m->value->kind == JVALUE_NULL || after_prefix(m, SET_ORDER, &rest) ||
		    after_prefix(m, DELETE_PRIMITIVES, &rest))
			continue;
		if (order_index(keep, name, NULL) < 0)
			return err_set(p->err, ERR_BAD_REQUEST,
			               "invalid patch format of retainKeys");
	}
	for (uint32_t i = original->n; i-- > 0;) {
		struct slice key = key_of(&original->members[i]);
		if (order_index(keep, jvalue_strn(p->arena, key), NULL) < 0)
			jvalue_deln(original, key);
	}
	return 0;
}

/* The patch's elements must appear in the order list, in the same order. */
static int check_order(struct patcher *p, const struct jvalue *patch, const struct jvalue *order,
                       const char *merge_key)
{
	int64_t last = -1;

	for (uint32_t i = 0; patch && i < patch->n; i++) {
		if (jvalue_get(patch->items[i], DIRECTIVE))
			continue;
		int64_t at = order_index(order, patch->items[i], merge_key);
		if (at < 0 || at < last)
			return err_set(p->err, ERR_BAD_REQUEST,
			               "The order in patch list:\n%s\n doesn't match "
			               "$setElementOrder list:\n%s\n",
			               text_of(p, patch), text_of(p, order));
		last = at;
	}
	return 0;
}

static int set_order(struct patcher *p, struct type type, struct jvalue *original,
                     struct jvalue *patch, struct slice key, struct jvalue *order)
{
	struct member_type m = member_of(type, key);
	struct jvalue *have = jvalue_getn(original, key), *want = jvalue_getn(patch, key);
	int k;

	if (order->kind != JVALUE_ARRAY || (have && have->kind != JVALUE_ARRAY) ||
	    (want && want->kind != JVALUE_ARRAY))
		return err_set(p->err, ERR_BAD_REQUEST,
		               "invalid patch format of setElementOrder list");
	k = check_order(p, want, order, m.merge_key);
	if (k < 0 || (!have && !want))
		return k;
	struct jvalue *merged = have, *server = jvalue_array(p->arena);
	for (uint32_t i = 0; have && i < have->n; i++)
		jvalue_append(p->arena, server, have->items[i]);
	if (!have)
		merged = without_directives(p, want);
	else if (want && m.merge)
		k = merge_list(p, &m, have, want, &merged);
	else if (want)
		merged = want;
	if (k < 0)
		return k;
	merged = order_arrange(merged, order, server, m.merge_key, p->arena);
	jvalue_setn(p->arena, original, key, merged);
	jvalue_deln(patch, key);
	return 0;
}

/* All `$setElementOrder/x` of a patch; they and the lists they order are consumed. */
static int set_orders(struct patcher *p, struct type type, struct jvalue *original,
                      struct jvalue *patch)
{
	struct slice key;

	for (uint32_t i = 0; i < patch->n;) {
		const struct jmember *m = &patch->members[i];

		if (!after_prefix(m, SET_ORDER, &key)) {
			i++;
			continue;
		}
		struct jvalue *order = m->value;
		jvalue_deln(patch, key_of(m));
		int k = set_order(p, type, original, patch, key, order);
		if (k < 0)
			return k;
		i = 0;
	}
	return 0;
}

static int merge_member(struct patcher *p, struct type type, struct jvalue *original,
                        const struct jmember *pm)
{
	struct slice key = key_of(pm), list_key;
	struct jvalue *patch = pm->value, *merged = patch;
	int k = 0;

	if (after_prefix(pm, DELETE_PRIMITIVES, &list_key)) {
		struct jvalue *have = jvalue_getn(original, list_key);

		if (patch->kind != JVALUE_ARRAY || !scalars_only(patch))
			return err_set(p->err, ERR_BAD_REQUEST,
			               "invalid patch format of primitive list");
		if (jvalue_is(have, JVALUE_ARRAY))
			jvalue_setn(p->arena, original, list_key, difference_of(p, have, patch));
		return 0;
	}
	if (patch->kind == JVALUE_NULL) {
		jvalue_deln(original, key);
		return 0;
	}
	struct jvalue *have = jvalue_getn(original, key);
	struct member_type m = member_of(type, key);
	if (!have || have->kind == JVALUE_NULL) {
		merged = without_directives(p, patch);
		/* {"$patch": "delete"} over nothing leaves nothing. */
		if (!merged)
			return 0;
	} else if (have->kind == JVALUE_OBJECT && patch->kind == JVALUE_OBJECT && !m.replace) {
		k = merge_object(p, m.type, have, patch, &merged);
	} else if (have->kind == JVALUE_ARRAY && patch->kind == JVALUE_ARRAY && m.merge) {
		k = merge_list(p, &m, have, patch, &merged);
	}
	if (k == 0)
		jvalue_setn(p->arena, original, key, merged);
	return k;
}

static int merge_object(struct patcher *p, struct type type, struct jvalue *original,
                        struct jvalue *patch, struct jvalue **ret)
{
	struct jvalue *directive = jvalue_get(patch, DIRECTIVE);
	int k;

	if (directive) {
		if (is_str(directive, "delete")) {
			*ret = jvalue_object(p->arena);
			return 0;
		}
		if (!is_str(directive, "replace"))
			return bad_directive(p, directive, patch);
		jvalue_del(patch, DIRECTIVE);
		*ret = patch;
		return 0;
	}
	k = retain_keys(p, original, patch);
	if (k == 0)
		k = set_orders(p, type, original, patch);
	for (uint32_t i = 0; k == 0 && i < patch->n; i++)
		k = merge_member(p, type, original, &patch->members[i]);
	if (k == 0)
		*ret = original;
	return k;
}

int patch_apply_strategic(const struct schema_message *schema, struct jvalue *doc,
                          struct jvalue *patch, struct arena *a, struct jvalue **ret,
                          struct err *err)
{
	struct patcher p = {.arena = a, .err = err};

	return merge_object(&p, (struct type){.message = schema}, doc, patch, ret);
}
