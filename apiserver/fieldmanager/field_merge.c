/* SPDX-License-Identifier: Apache-2.0 */
/* Merging, removing and checking of document trees by type. */
#include "apiserver/fieldmanager/field_walk.h"

#include <stdlib.h>

static bool is_null(const struct jvalue *v)
{
	return !v || v->kind == JVALUE_NULL;
}

/* --- items with their elements --------------------------------------------------------------- */

struct tree_item {
	struct field_elem elem;
	const struct jvalue *tree;
	uint32_t twin;  /* index + 1 in the other list; 0: none */
	bool duplicate; /* another item before or after it has the same element */
	bool first;     /* the first of its element */
	bool merged;
};

struct tree_items {
	struct tree_item *at;
	uint32_t n;
};

static struct tree_items tree_items_of(const struct jvalue *list, struct field_type t,
                                       struct arena *a)
{
	uint32_t n = jvalue_is(list, JVALUE_ARRAY) ? list->n : 0;
	struct tree_items s = {.at = arena_array(a, struct tree_item, n)};

	for (uint32_t i = 0; i < n; i++) {
		struct tree_item *item = &s.at[s.n];

		item->tree = list->items[i];
		s.n += field_item_elem(value_of_tree(item->tree, a), t, a, &item->elem, NULL);
	}
	return s;
}

struct ref {
	struct tree_item *item;
	uint32_t at;
};

static int ref_cmp(const void *a, const void *b)
{
	const struct ref *x = a, *y = b;
	int order = field_elem_cmp(&x->item->elem, &y->item->elem);

	return order ? order : x->at < y->at ? -1 : x->at > y->at;
}

/* Sorted by element; marks those that are not alone. */
static struct ref *index_items(struct tree_items *s, struct arena *a)
{
	struct ref *refs = arena_array(a, struct ref, s->n);

	for (uint32_t i = 0; i < s->n; i++)
		refs[i] = (struct ref){&s->at[i], i};
	qsort(refs, s->n, sizeof(*refs), ref_cmp);
	for (uint32_t i = 0; i < s->n; i++) {
		bool same = i && field_elem_cmp(&refs[i - 1].item->elem, &refs[i].item->elem) == 0;

		refs[i].item->first = !same;
		if (same)
			refs[i].item->duplicate = refs[i - 1].item->duplicate = true;
	}
	return refs;
}

/* Tells each item where the other list has its element first. */
static void pair_items(struct tree_items *l, struct tree_items *r, struct arena *a)
{
	struct ref *ls = index_items(l, a), *rs = index_items(r, a);
	uint32_t i = 0, j = 0;

	while (i < l->n && j < r->n) {
		int order = field_elem_cmp(&ls[i].item->elem, &rs[j].item->elem);

		if (order < 0) {
			i++;
		} else if (order > 0) {
			j++;
		} else {
			uint32_t first_l = i, first_r = j;

			for (; i < l->n &&
			       field_elem_cmp(&ls[i].item->elem, &rs[first_r].item->elem) == 0;
			     i++)
				ls[i].item->twin = rs[first_r].at + 1;
			for (; j < r->n &&
			       field_elem_cmp(&ls[first_l].item->elem, &rs[j].item->elem) == 0;
			     j++)
				rs[j].item->twin = ls[first_l].at + 1;
		}
	}
}

/* --- merging --------------------------------------------------------------------------------- */

static uint32_t next_shared(const struct tree_items *r, uint32_t from)
{
	while (from < r->n && !r->at[from].twin)
		from++;
	return from;
}

static void append_merged(struct jvalue *out, struct tree_items *l, struct tree_item *r,
                          struct field_type item, struct arena *a)
{
	struct tree_item *twin = r->twin ? &l->at[r->twin - 1] : NULL;
	/* Items that share an element are replaced, not merged. */
	const struct jvalue *live = twin && !twin->duplicate ? twin->tree : NULL;

	r->merged = true;
	jvalue_append(a, out, field_merge(live, r->tree, item, a));
}

/* The items of both: those of the live list keep their places as far as the order of the patch
 * allows, new ones follow the item that they follow in the patch. */
static struct jvalue *merge_items(const struct jvalue *live, const struct jvalue *patch,
                                  struct field_type t, struct arena *a)
{
	struct tree_items l = tree_items_of(live, t, a), r = tree_items_of(patch, t, a);
	struct field_type item = field_type_item(t);
	struct jvalue *out = jvalue_array(a);
	uint32_t i = 0, j = 0, shared;

	pair_items(&l, &r, a);
	shared = next_shared(&r, 0);
	while (i < l.n || j < r.n) {
		if (i < l.n && !l.at[i].twin) {
			jvalue_append(a, out, (struct jvalue *)l.at[i++].tree);
			continue;
		}
		if (i < l.n) {
			struct tree_item *twin = &r.at[l.at[i].twin - 1];
			bool here = j < r.n && twin == &r.at[j];

			if (!here && j < r.n && shared < r.n && twin != &r.at[shared]) {
				i++; /* its turn comes where the patch has it */
				continue;
			}
			i += here || twin->merged;
		}
		if (j < r.n) {
			append_merged(out, &l, &r.at[j], item, a);
			if (j == shared)
				shared = next_shared(&r, j + 1);
			j++;
		}
	}
	return out;
}

static struct jvalue *merge_members(const struct jvalue *live, const struct jvalue *patch,
                                    struct field_type t, struct arena *a)
{
	struct jvalue *out = jvalue_object(a);

	for (uint32_t i = 0; i < live->n; i++) {
		const struct jmember *m = &live->members[i];
		struct slice name = slice_of(m->key, m->key_len);
		struct field_type type;

		field_type_member(t, name, &type);
		jvalue_setn(a, out, name, field_merge(m->value, jvalue_getn(patch, name), type, a));
	}
	for (uint32_t i = 0; i < patch->n; i++) {
		const struct jmember *m = &patch->members[i];
		struct slice name = slice_of(m->key, m->key_len);

		if (!jvalue_getn(live, name))
			jvalue_setn(a, out, name, m->value);
	}
	return out;
}

struct jvalue *field_merge(const struct jvalue *live, const struct jvalue *patch,
                           struct field_type t, struct arena *a)
{
	if (!patch || !live)
		return (struct jvalue *)(patch ? patch : live);
	t = field_type_deduce(t, value_of_tree(is_null(patch) ? live : patch, a));
	if (t.klass == CLASS_SCALAR || t.atomic)
		return (struct jvalue *)patch;
	/* Null and empty: the other one counts; the patch's own emptiness when both are. */
	if (is_null(patch) || patch->n == 0)
		return (struct jvalue *)(is_null(live) || live->n == 0 ? patch : live);
	if (is_null(live) || live->n == 0 || live->kind != patch->kind)
		return (struct jvalue *)patch;
	return t.klass == CLASS_LIST ? merge_items(live, patch, t, a)
	                             : merge_members(live, patch, t, a);
}

/* --- removing -------------------------------------------------------------------------------- */

static struct jvalue *remove_or_null(const struct jvalue *v, const struct field_set *gone,
                                     struct field_type t, struct arena *a)
{
	struct jvalue *left = field_remove(v, gone, t, a);

	return left ? left : jvalue_null(a);
}

static struct jvalue *remove_items(const struct jvalue *v, const struct field_set *gone,
                                   struct field_type t, struct arena *a)
{
	struct jvalue *out = jvalue_array(a);

	for (uint32_t i = 0; i < v->n; i++) {
		const struct field_node *node = NULL;
		struct jvalue *item = v->items[i];
		struct field_elem elem;

		if (field_item_elem(value_of_tree(item, a), t, a, &elem, NULL))
			node = field_set_find(gone, &elem);
		if (node && node->member)
			continue;
		if (node)
			item = remove_or_null(item, &node->below, field_type_item(t), a);
		jvalue_append(a, out, item);
	}
	return out->n ? out : NULL;
}

static struct jvalue *remove_members(const struct jvalue *v, const struct field_set *gone,
                                     struct field_type t, struct arena *a)
{
	struct jvalue *out = jvalue_object(a);

	for (uint32_t i = 0; i < v->n; i++) {
		const struct jmember *m = &v->members[i];
		struct slice name = slice_of(m->key, m->key_len);
		struct field_elem elem = {ELEM_FIELD, name};
		const struct field_node *node = field_set_find(gone, &elem);
		struct field_type type;

		if (node && node->member)
			continue;
		field_type_member(t, name, &type);
		jvalue_setn(a, out, name,
		            node ? remove_or_null(m->value, &node->below, type, a) : m->value);
	}
	return out->n ? out : NULL;
}

struct jvalue *field_remove(const struct jvalue *v, const struct field_set *gone,
                            struct field_type t, struct arena *a)
{
	t = field_type_deduce(t, value_of_tree(v, a));
	if (t.klass == CLASS_SCALAR)
		return (struct jvalue *)v;
	if (t.atomic || is_null(v) || v->n == 0)
		return NULL;
	if (t.klass == CLASS_LIST)
		return v->kind == JVALUE_ARRAY ? remove_items(v, gone, t, a) : NULL;
	return v->kind == JVALUE_OBJECT ? remove_members(v, gone, t, a) : NULL;
}

struct field_set field_set_with_parents(const struct field_set *s, struct field_type t,
                                        struct arena *a)
{
	struct field_set ret = {0};

	for (uint32_t i = 0; i < s->n; i++) {
		const struct field_node *node = &s->at[i];
		bool declared = false;
		struct field_type type = {.klass = CLASS_ANY, .free_members = true};

		if (node->elem.kind == ELEM_FIELD && t.klass == CLASS_MAP) {
			declared = node->below.n && field_type_declares(t, node->elem.text);
			field_type_member(t, node->elem.text, &type);
		} else if (node->elem.kind == ELEM_KEY && t.klass == CLASS_LIST) {
			type = field_type_item(t);
		}
		field_set_add(&ret, node->elem, node->member || declared,
		              field_set_with_parents(&node->below, type, a), a);
	}
	return ret;
}
