/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of a value, and what differs between two. */
#include "apiserver/fieldmanager/field_walk.h"

#include <stdlib.h>

/* Where in an object a walk is: only the root and the metadata have fields to skip. */
enum place { PLACE_DEEP, PLACE_ROOT, PLACE_METADATA };

struct walk {
	struct arena *a;
	field_paths skip;
};

static bool skipped(const struct walk *w, enum place place, struct slice name)
{
	static const char metadata[] = "metadata.";

	if (place == PLACE_DEEP)
		return false;
	for (field_paths p = w->skip; p && *p; p++) {
		const char *path = *p;

		if (place == PLACE_METADATA) {
			if (strncmp(path, metadata, sizeof(metadata) - 1) != 0)
				continue;
			path += sizeof(metadata) - 1;
		}
		if (slice_eq_str(name, path))
			return true;
	}
	return false;
}

static enum place place_below(enum place place, struct slice name)
{
	return place == PLACE_ROOT && slice_eq_str(name, "metadata") ? PLACE_METADATA : PLACE_DEEP;
}

static struct field_elem field_elem_of(struct slice name)
{
	return (struct field_elem){ELEM_FIELD, name};
}

/* --- items of lists, by their elements ------------------------------------------------------- */

struct item {
	struct field_elem elem;
	struct value value;
	size_t at;
};

static int item_cmp(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int order = field_elem_cmp(&x->elem, &y->elem);

	return order ? order : x->at < y->at ? -1 : x->at > y->at;
}

struct items {
	struct item *at;
	size_t n, next;
};

/* Sorted; items without an element are left out. */
static struct items items_of(struct value list, struct field_type t, struct arena *a)
{
	size_t n = value_len(list);
	struct items s = {.at = n ? arena_alloc(a, n * sizeof(*s.at)) : NULL};

	for (size_t i = 0; i < n; i++) {
		struct item *item = &s.at[s.n];

		item->value = value_at(list, i);
		item->at = i;
		s.n += field_item_elem(item->value, t, a, &item->elem, NULL);
	}
	if (s.n > 1)
		qsort(s.at, s.n, sizeof(*s.at), item_cmp);
	return s;
}

/* The items that share the next element: 0 when none are left. */
static size_t twins(const struct items *s)
{
	size_t n = s->next < s->n;

	while (n && s->next + n < s->n &&
	       field_elem_cmp(&s->at[s->next].elem, &s->at[s->next + n].elem) == 0)
		n++;
	return n;
}

/* --- the fields of a value ------------------------------------------------------------------- */

static bool set_of(const struct walk *w, struct value v, struct field_type t, enum place place,
                   struct field_set *ret);

static void set_of_items(const struct walk *w, struct value v, struct field_type t,
                         struct field_set *ret)
{
	struct items items = items_of(v, t, w->a);
	size_t n;

	for (; (n = twins(&items)) > 0; items.next += n) {
		struct item *item = &items.at[items.next];
		struct field_set below = {0};

		if (n == 1) /* items that share a key are owned as one */
			set_of(w, item->value, field_type_item(t), PLACE_DEEP, &below);
		field_set_add(ret, item->elem, true, below, w->a);
	}
}

static void set_of_members(const struct walk *w, struct value v, struct field_type t,
                           enum place place, struct field_set *ret)
{
	for (struct value_iter it = value_members(v); value_next(&it);) {
		struct field_set below = {0};
		struct field_type type;
		bool member;

		if (skipped(w, place, it.name) || !field_type_member(t, it.name, &type))
			continue;
		member = set_of(w, it.value, type, place_below(place, it.name), &below);
		member |= value_is(it.value, VALUE_NULL) ||
		          (value_is(it.value, VALUE_OBJECT) && value_len(it.value) == 0) ||
		          !field_type_declares(t, it.name);
		field_set_add(ret, field_elem_of(it.name), member, below, w->a);
	}
	field_set_sort(ret);
}

/* Fills in what lies below; true when the place itself is a member. */
static bool set_of(const struct walk *w, struct value v, struct field_type t, enum place place,
                   struct field_set *ret)
{
	t = field_type_deduce(t, v);
	if (t.klass == CLASS_SCALAR || t.atomic)
		return true;
	if (t.klass == CLASS_LIST && value_is(v, VALUE_LIST))
		set_of_items(w, v, t, ret);
	else if (t.klass == CLASS_MAP && value_is(v, VALUE_OBJECT))
		set_of_members(w, v, t, place, ret);
	return false;
}

struct field_set field_set_of(struct value v, struct field_type t, field_paths skip,
                              struct arena *a)
{
	struct walk w = {.a = a, .skip = skip};
	struct field_set ret = {0};

	set_of(&w, v, t, PLACE_ROOT, &ret);
	return ret;
}

/* --- two objects, member by member ----------------------------------------------------------- */

struct named {
	struct slice name;
	struct value value;
};

static int named_cmp(const void *a, const void *b)
{
	return slice_cmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

/* Pairs up the members of two objects: messages of one type go in step, others by name. */
struct zip {
	bool in_step;
	struct value_iter l, r;
	bool has_l, has_r;
	struct named *ls, *rs;
	size_t n_l, n_r, i, j;
};

static struct named *sorted_members(struct value v, struct arena *a, size_t *ret_n)
{
	size_t n = value_len(v);
	struct named *at = n ? arena_alloc(a, n * sizeof(*at)) : NULL;

	n = 0;
	for (struct value_iter it = value_members(v); value_next(&it);)
		at[n++] = (struct named){it.name, it.value};
	if (n > 1)
		qsort(at, n, sizeof(*at), named_cmp);
	*ret_n = n;
	return at;
}

static struct zip zip_of(struct value l, struct value r, struct arena *a)
{
	struct zip z = {0};

	z.in_step = !value_is(l, VALUE_OBJECT) || !value_is(r, VALUE_OBJECT) ||
	            (l.impl == VALUE_MESSAGE && r.impl == VALUE_MESSAGE && l.schema == r.schema);
	if (z.in_step) {
		z.l = value_members(l);
		z.r = value_members(r);
		z.has_l = value_next(&z.l);
		z.has_r = value_next(&z.r);
	} else {
		z.ls = sorted_members(l, a, &z.n_l);
		z.rs = sorted_members(r, a, &z.n_r);
	}
	return z;
}

static bool zip_step(struct zip *z, struct slice *name, struct value *l, struct value *r)
{
	bool take_l = z->has_l && (!z->has_r || z->l.i <= z->r.i);
	bool take_r = z->has_r && (!z->has_l || z->r.i <= z->l.i);

	*l = take_l ? z->l.value : (struct value){0};
	*r = take_r ? z->r.value : (struct value){0};
	*name = take_l ? z->l.name : z->r.name;
	if (take_l)
		z->has_l = value_next(&z->l);
	if (take_r)
		z->has_r = value_next(&z->r);
	return take_l || take_r;
}

static bool zip_next(struct zip *z, struct slice *name, struct value *l, struct value *r)
{
	int order;

	if (z->in_step)
		return zip_step(z, name, l, r);
	if (z->i == z->n_l && z->j == z->n_r)
		return false;
	order = z->i == z->n_l   ? 1
	        : z->j == z->n_r ? -1
	                         : slice_cmp(z->ls[z->i].name, z->rs[z->j].name);
	*name = order <= 0 ? z->ls[z->i].name : z->rs[z->j].name;
	*l = order <= 0 ? z->ls[z->i++].value : (struct value){0};
	*r = order >= 0 ? z->rs[z->j++].value : (struct value){0};
	return true;
}

/* --- differences ----------------------------------------------------------------------------- */

enum { ADDED, MODIFIED, REMOVED, CHANGES };

/* What changed at a place, and below it. */
struct change {
	bool self[CHANGES];
	struct field_set below[CHANGES];
};

static void diff(const struct walk *w, struct value l, struct value r, struct field_type t,
                 enum place place, struct change *ret);

static void put_change(struct change *ret, struct field_elem elem, const struct change *c,
                       struct arena *a)
{
	for (int i = 0; i < CHANGES; i++)
		field_set_add(&ret->below[i], elem, c->self[i], c->below[i], a);
}

static void diff_leaf(struct value l, struct value r, struct change *ret)
{
	if (!value_exists(l))
		ret->self[ADDED] = true;
	else if (!value_exists(r))
		ret->self[REMOVED] = true;
	else if (!value_equal(l, r))
		ret->self[MODIFIED] = true;
}

static bool items_equal(const struct item *x, const struct item *y, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!value_equal(x[i].value, y[i].value))
			return false;
	return true;
}

/* Items that share an element are compared as one. */
static void diff_twins(const struct walk *w, const struct item *l, size_t n_l, const struct item *r,
                       size_t n_r, struct field_type item, struct change *ret)
{
	struct value none = {0};

	if (n_l <= 1 && n_r <= 1) {
		diff(w, n_l ? l->value : none, n_r ? r->value : none, item, PLACE_DEEP, ret);
	} else if (n_l >= 2 && n_r >= 2) {
		ret->self[MODIFIED] = n_l != n_r || !items_equal(l, r, n_l);
	} else if (n_l >= 2) {
		if (n_r)
			diff(w, none, r->value, item, PLACE_DEEP, ret);
		ret->self[REMOVED] = true;
	} else {
		if (n_l)
			diff(w, l->value, none, item, PLACE_DEEP, ret);
		ret->self[ADDED] = true;
	}
}

static void diff_items(const struct walk *w, struct value l, struct value r, struct field_type t,
                       struct change *ret)
{
	struct items ls = items_of(l, t, w->a), rs = items_of(r, t, w->a);
	struct field_type item = field_type_item(t);

	for (;;) {
		size_t n_l = twins(&ls), n_r = twins(&rs);
		struct change c = {0};
		const struct item *x = ls.n ? ls.at + ls.next : NULL;
		const struct item *y = rs.n ? rs.at + rs.next : NULL;
		int order;

		if (!n_l && !n_r)
			return;
		order = !n_l ? 1 : !n_r ? -1 : field_elem_cmp(&x->elem, &y->elem);
		if (order > 0)
			n_l = 0;
		if (order < 0)
			n_r = 0;
		diff_twins(w, x, n_l, y, n_r, item, &c);
		put_change(ret, order <= 0 ? x->elem : y->elem, &c, w->a);
		ls.next += n_l;
		rs.next += n_r;
	}
}

static void diff_members(const struct walk *w, struct value l, struct value r, struct field_type t,
                         enum place place, struct change *ret)
{
	struct zip z = zip_of(l, r, w->a);
	struct value x, y;
	struct slice name;

	while (zip_next(&z, &name, &x, &y)) {
		struct change c = {0};
		struct field_type type;

		if (skipped(w, place, name) || !field_type_member(t, name, &type))
			continue;
		diff(w, x, y, type, place_below(place, name), &c);
		put_change(ret, field_elem_of(name), &c, w->a);
	}
	for (int i = 0; i < CHANGES; i++)
		field_set_sort(&ret->below[i]);
}

static bool is_leaf(struct field_type t, struct value l, struct value r)
{
	enum value_kind kind = t.klass == CLASS_LIST ? VALUE_LIST : VALUE_OBJECT;

	return t.klass == CLASS_SCALAR || t.atomic ||
	       ((!value_is(l, kind) || value_len(l) == 0) &&
	        (!value_is(r, kind) || value_len(r) == 0));
}

/* Undeclared values of different kinds: the one goes, the other comes. */
static void diff_kinds(const struct walk *w, struct value l, struct value r, struct change *ret)
{
	static const struct field_type any = {.klass = CLASS_ANY};

	ret->self[MODIFIED] = true;
	set_of(w, l, any, PLACE_DEEP, &ret->below[REMOVED]);
	set_of(w, r, any, PLACE_DEEP, &ret->below[ADDED]);
}

static void diff(const struct walk *w, struct value l, struct value r, struct field_type t,
                 enum place place, struct change *ret)
{
	bool other_kind = t.klass == CLASS_ANY && value_exists(l) && value_exists(r) &&
	                  !value_is(l, VALUE_NULL) && !value_is(r, VALUE_NULL) && l.kind != r.kind;

	if (other_kind) {
		diff_kinds(w, l, r, ret);
		return;
	}
	t = field_type_deduce(t, value_exists(r) && !value_is(r, VALUE_NULL) ? r : l);
	if (is_leaf(t, l, r)) {
		diff_leaf(l, r, ret);
		return;
	}
	if (t.klass == CLASS_LIST)
		diff_items(w, l, r, t, ret);
	else
		diff_members(w, l, r, t, place, ret);
	ret->self[ADDED] |= !value_exists(l);
	ret->self[REMOVED] |= !value_exists(r);
}

struct field_diff field_diff_of(struct value old, struct value now, struct field_type t,
                                field_paths skip, struct arena *a)
{
	struct walk w = {.a = a, .skip = skip};
	struct change c = {0};

	diff(&w, old, now, t, PLACE_ROOT, &c);
	return (struct field_diff){c.below[ADDED], c.below[MODIFIED], c.below[REMOVED]};
}
