/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/jvalue.h"

enum { INDEX_FROM = 16 }; /* objects with more members get a hash index */

static struct jvalue *node(struct arena *a, enum jvalue_kind kind)
{
	struct jvalue *v = arena_new(a, struct jvalue);

	v->kind = (uint8_t)kind;
	return v;
}

struct jvalue *jvalue_null(struct arena *a)
{
	return node(a, JVALUE_NULL);
}

struct jvalue *jvalue_bool(struct arena *a, bool b)
{
	struct jvalue *v = node(a, JVALUE_BOOL);

	v->b = b;
	return v;
}

struct jvalue *jvalue_int(struct arena *a, int64_t i)
{
	struct jvalue *v = node(a, JVALUE_INT);

	v->i = i;
	return v;
}

struct jvalue *jvalue_double(struct arena *a, double d)
{
	struct jvalue *v = node(a, JVALUE_DOUBLE);

	v->d = d;
	return v;
}

struct jvalue *jvalue_strn(struct arena *a, struct slice s)
{
	struct jvalue *v = node(a, JVALUE_STRING);

	v->str = arena_strndup(a, s.data ? (const char *)s.data : "", s.len);
	v->n = (uint32_t)s.len;
	return v;
}

struct jvalue *jvalue_str(struct arena *a, const char *s)
{
	return jvalue_strn(a, slice_str(s));
}

struct jvalue *jvalue_array(struct arena *a)
{
	return node(a, JVALUE_ARRAY);
}

struct jvalue *jvalue_object(struct arena *a)
{
	return node(a, JVALUE_OBJECT);
}

struct jvalue *jvalue_copy(struct arena *a, const struct jvalue *v)
{
	struct jvalue *c = node(a, (enum jvalue_kind)v->kind);

	switch (v->kind) {
	case JVALUE_STRING:
		c->str = arena_strndup(a, v->str, v->n);
		c->n = v->n;
		break;
	case JVALUE_ARRAY:
		for (uint32_t i = 0; i < v->n; i++)
			jvalue_append(a, c, jvalue_copy(a, v->items[i]));
		break;
	case JVALUE_OBJECT:
		for (uint32_t i = 0; i < v->n; i++)
			jvalue_setn(a, c, slice_of(v->members[i].key, v->members[i].key_len),
			            jvalue_copy(a, v->members[i].value));
		break;
	case JVALUE_DOUBLE:
		c->d = v->d;
		c->text = arena_strdup(a, v->text);
		break;
	case JVALUE_BOOL:
		c->b = v->b;
		break;
	case JVALUE_INT:
		c->i = v->i;
		break;
	}
	return c;
}

/* Members. */

static uint32_t key_hash(struct slice key)
{
	/* FNV-1a: keys are short, and an object's size is bounded by the size of a body. */
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < key.len; i++)
		h = (h ^ key.data[i]) * 16777619u;
	return h;
}

static inline bool key_is(const struct jmember *m, struct slice key, uint32_t hash)
{
	return m->hash == hash && m->key_len == key.len && memcmp(m->key, key.data, key.len) == 0;
}

/* The table has at least two slots a member; a slot is a member's number + 1. */
static size_t index_slots(const struct jvalue *obj)
{
	return (size_t)obj->cap * 2;
}

static void index_add(struct jvalue *obj, uint32_t i)
{
	size_t mask = index_slots(obj) - 1, at = obj->members[i].hash & mask;

	while (obj->index[at])
		at = (at + 1) & mask;
	obj->index[at] = i + 1;
}

static void index_fill(struct jvalue *obj)
{
	if (!obj->index)
		return;
	memset(obj->index, 0, index_slots(obj) * sizeof(*obj->index));
	for (uint32_t i = 0; i < obj->n; i++)
		index_add(obj, i);
}

static struct jmember *find(const struct jvalue *obj, struct slice key, uint32_t hash)
{
	if (!obj->index) {
		for (uint32_t i = 0; i < obj->n; i++)
			if (key_is(&obj->members[i], key, hash))
				return &obj->members[i];
		return NULL;
	}
	size_t mask = index_slots(obj) - 1;
	for (size_t at = hash & mask; obj->index[at]; at = (at + 1) & mask)
		if (key_is(&obj->members[obj->index[at] - 1], key, hash))
			return &obj->members[obj->index[at] - 1];
	return NULL;
}

struct jvalue *jvalue_getn(const struct jvalue *v, struct slice key)
{
	if (!jvalue_is(v, JVALUE_OBJECT))
		return NULL;
	struct jmember *m = find(v, key, key_hash(key));
	return m ? m->value : NULL;
}

struct jvalue *jvalue_get(const struct jvalue *v, const char *key)
{
	return jvalue_getn(v, slice_str(key));
}

struct jvalue *jvalue_path(const struct jvalue *v, const char *path)
{
	for (;;) {
		const char *dot = strchrnul(path, '.');

		v = jvalue_getn(v, slice_of(path, (size_t)(dot - path)));
		if (!v || !*dot)
			return (struct jvalue *)v;
		path = dot + 1;
	}
}

const char *jvalue_get_str(const struct jvalue *v, const char *key, const char *dflt)
{
	const struct jvalue *m = jvalue_get(v, key);

	return jvalue_is(m, JVALUE_STRING) ? m->str : dflt;
}

int64_t jvalue_get_int(const struct jvalue *v, const char *key, int64_t dflt)
{
	const struct jvalue *m = jvalue_get(v, key);

	return jvalue_is(m, JVALUE_INT) ? m->i : dflt;
}

bool jvalue_get_bool(const struct jvalue *v, const char *key, bool dflt)
{
	const struct jvalue *m = jvalue_get(v, key);

	return jvalue_is(m, JVALUE_BOOL) ? m->b : dflt;
}

struct jvalue *jvalue_at(const struct jvalue *v, size_t i)
{
	return jvalue_is(v, JVALUE_ARRAY) && i < v->n ? v->items[i] : NULL;
}

static void grow_members(struct arena *a, struct jvalue *obj)
{
	uint32_t cap = obj->cap ? obj->cap * 2 : 4;

	obj->members = arena_grow(a, obj->members, obj->cap * sizeof(struct jmember),
	                          cap * sizeof(struct jmember));
	obj->cap = cap;
	if (cap > INDEX_FROM) {
		obj->index = arena_alloc(a, index_slots(obj) * sizeof(*obj->index));
		index_fill(obj);
	}
}

static void add_member(struct arena *a, struct jvalue *obj, struct slice key, uint32_t hash,
                       struct jvalue *value)
{
	if (obj->n == obj->cap)
		grow_members(a, obj);
	obj->members[obj->n] = (struct jmember){
	    .key = arena_strndup(a, key.data ? (const char *)key.data : "", key.len),
	    .key_len = (uint32_t)key.len,
	    .hash = hash,
	    .value = value};
	if (obj->index)
		index_add(obj, obj->n);
	obj->n++;
}

void jvalue_setn(struct arena *a, struct jvalue *obj, struct slice key, struct jvalue *value)
{
	uint32_t hash = key_hash(key);
	struct jmember *m = find(obj, key, hash);

	if (m)
		m->value = value;
	else
		add_member(a, obj, key, hash, value);
}

void jvalue_set(struct arena *a, struct jvalue *obj, const char *key, struct jvalue *value)
{
	jvalue_setn(a, obj, slice_str(key), value);
}

bool jvalue_deln(struct jvalue *obj, struct slice key)
{
	if (!jvalue_is(obj, JVALUE_OBJECT))
		return false;
	struct jmember *m = find(obj, key, key_hash(key));
	if (!m)
		return false;
	size_t i = (size_t)(m - obj->members);
	memmove(m, m + 1, (obj->n - i - 1) * sizeof(*m));
	obj->n--;
	index_fill(obj);
	return true;
}

bool jvalue_del(struct jvalue *obj, const char *key)
{
	return jvalue_deln(obj, slice_str(key));
}

void jvalue_insert(struct arena *a, struct jvalue *arr, size_t i, struct jvalue *value)
{
	if (arr->n == arr->cap) {
		uint32_t cap = arr->cap ? arr->cap * 2 : 4;

		arr->items = arena_grow(a, arr->items, arr->cap * sizeof(*arr->items),
		                        cap * sizeof(*arr->items));
		arr->cap = cap;
	}
	memmove(arr->items + i + 1, arr->items + i, (arr->n - i) * sizeof(*arr->items));
	arr->items[i] = value;
	arr->n++;
}

void jvalue_append(struct arena *a, struct jvalue *arr, struct jvalue *value)
{
	jvalue_insert(a, arr, arr->n, value);
}

void jvalue_remove(struct jvalue *arr, size_t i)
{
	memmove(arr->items + i, arr->items + i + 1, (arr->n - i - 1) * sizeof(*arr->items));
	arr->n--;
}

static int member_cmp(const void *a, const void *b)
{
	const struct jmember *x = a, *y = b;

	return slice_cmp(slice_of(x->key, x->key_len), slice_of(y->key, y->key_len));
}

void jvalue_sort(struct jvalue *v)
{
	if (v->kind == JVALUE_ARRAY) {
		for (uint32_t i = 0; i < v->n; i++)
			jvalue_sort(v->items[i]);
	} else if (v->kind == JVALUE_OBJECT) {
		for (uint32_t i = 0; i < v->n; i++)
			jvalue_sort(v->members[i].value);
		if (v->n > 1)
			qsort(v->members, v->n, sizeof(*v->members), member_cmp);
		index_fill(v);
	}
}

static bool number_equal(const struct jvalue *a, const struct jvalue *b)
{
	if (a->kind == b->kind)
		return a->kind == JVALUE_INT ? a->i == b->i : a->d == b->d;
	return a->kind == JVALUE_INT ? (double)a->i == b->d : a->d == (double)b->i;
}

static bool is_number(const struct jvalue *v)
{
	return v->kind == JVALUE_INT || v->kind == JVALUE_DOUBLE;
}

bool jvalue_equal(const struct jvalue *a, const struct jvalue *b)
{
	if (a == b)
		return true;
	if (!a || !b)
		return false;
	if (is_number(a) && is_number(b))
		return number_equal(a, b);
	if (a->kind != b->kind || a->n != b->n)
		return false;
	switch (a->kind) {
	case JVALUE_BOOL:
		return a->b == b->b;
	case JVALUE_STRING:
		return memcmp(a->str, b->str, a->n) == 0;
	case JVALUE_ARRAY:
		for (uint32_t i = 0; i < a->n; i++)
			if (!jvalue_equal(a->items[i], b->items[i]))
				return false;
		return true;
	case JVALUE_OBJECT:
		for (uint32_t i = 0; i < a->n; i++) {
			const struct jmember *m = &a->members[i];
			struct jmember *o = find(b, slice_of(m->key, m->key_len), m->hash);
			if (!o || !jvalue_equal(m->value, o->value))
				return false;
		}
		return true;
	}
	return true;
}
