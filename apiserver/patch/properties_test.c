/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for patches of any documents: random ones (tests/lib/random_json.h), and patches made
 * from the difference of two. A failure names its seed; SEED=n runs that one again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "apiserver/patch/patch.h"
#include "tests/lib/random_json.h"

enum { SEEDS = 300, DEPTH = 4, STEPS = 8 };

struct world {
	struct arena *a;
	struct rng rng;
};

static bool show(struct world *w, const char *what, const struct jvalue *x, const struct jvalue *y,
                 const struct jvalue *z)
{
	const struct jvalue *all[] = {x, y, z};

	print_error("%s\n", what);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT;

		if (all[i])
			jvalue_write(all[i], &out);
		print_error("  %.*s\n", (int)out.len, (const char *)out.data);
	}
	return false;
}

/* An object, as documents and most patches are. */
static struct jvalue *random_object(struct world *w)
{
	struct jvalue *v = random_json(&w->rng, DEPTH, w->a);

	while (v->kind != JVALUE_OBJECT)
		v = random_json(&w->rng, DEPTH, w->a);
	return v;
}

/* --- merge patches --------------------------------------------------------------------------- */

/* MergePatch of RFC 7386, word for word. */
static struct jvalue *rfc_merge(const struct jvalue *target, const struct jvalue *patch,
                                struct arena *a)
{
	struct jvalue *to;

	if (patch->kind != JVALUE_OBJECT)
		return jvalue_copy(a, patch);
	to = jvalue_is(target, JVALUE_OBJECT) ? jvalue_copy(a, target) : jvalue_object(a);
	for (uint32_t i = 0; i < patch->n; i++) {
		const char *key = patch->members[i].key;
		const struct jvalue *v = patch->members[i].value;

		if (v->kind == JVALUE_NULL)
			jvalue_del(to, key);
		else
			jvalue_set(a, to, key, rfc_merge(jvalue_get(to, key), v, a));
	}
	return to;
}

static struct jvalue *merged(struct world *w, const struct jvalue *doc, const struct jvalue *patch)
{
	struct jvalue *ret;

	assert_int_equal(
	    patch_apply_merge(jvalue_copy(w->a, doc), jvalue_copy(w->a, patch), w->a, &ret, NULL),
	    0);
	return ret;
}

static void drop_nulls(struct jvalue *v)
{
	for (uint32_t i = v->kind == JVALUE_OBJECT ? v->n : 0; i-- > 0;) {
		if (v->members[i].value->kind == JVALUE_NULL)
			jvalue_del(v, v->members[i].key);
		else
			drop_nulls(v->members[i].value);
	}
}

/* The merge patch from x to y, which has no null in its objects. */
static struct jvalue *merge_diff(struct world *w, const struct jvalue *x, const struct jvalue *y)
{
	struct jvalue *p = jvalue_object(w->a);

	if (!jvalue_is(x, JVALUE_OBJECT) || y->kind != JVALUE_OBJECT)
		return jvalue_copy(w->a, y);
	for (uint32_t i = 0; i < x->n; i++)
		if (!jvalue_get(y, x->members[i].key))
			jvalue_set(w->a, p, x->members[i].key, jvalue_null(w->a));
	for (uint32_t i = 0; i < y->n; i++) {
		const struct jvalue *old = jvalue_get(x, y->members[i].key);

		if (!old || !jvalue_equal(old, y->members[i].value))
			jvalue_set(w->a, p, y->members[i].key,
			           merge_diff(w, old, y->members[i].value));
	}
	return p;
}

static bool merge_is_of_the_rfc(struct world *w)
{
	struct jvalue *x = random_object(w), *p = random_object(w);
	struct jvalue *got = merged(w, x, p);

	if (!jvalue_equal(got, rfc_merge(x, p, w->a)))
		return show(w, "not as the RFC has it", x, p, got);
	if (!jvalue_equal(merged(w, got, p), got))
		return show(w, "twice is not once", x, p, got);
	if (!jvalue_equal(merged(w, x, jvalue_object(w->a)), x))
		return show(w, "{} changes something", x, NULL, NULL);
	return true;
}

static bool merge_of_a_difference(struct world *w)
{
	struct jvalue *x = random_object(w), *y = random_object(w), *p;

	drop_nulls(y);
	p = merge_diff(w, x, y);
	return jvalue_equal(merged(w, x, p), y) || show(w, "not the second", x, y, p);
}

/* --- strategic merge patches ----------------------------------------------------------------- */

static struct jvalue *strategic_diff(struct world *w, const struct schema_message *m,
                                     const struct jvalue *x, const struct jvalue *y);

static struct jvalue *pick(struct world *w, const struct jvalue *item, const char *key)
{
	struct jvalue *v = jvalue_object(w->a);

	jvalue_set(w->a, v, key, jvalue_get(item, key));
	return v;
}

static const struct jvalue *item_of(const struct jvalue *list, const char *key,
                                    const struct jvalue *value)
{
	for (uint32_t i = 0; i < list->n; i++)
		if (jvalue_equal(key ? jvalue_get(list->items[i], key) : list->items[i], value))
			return list->items[i];
	return NULL;
}

static struct jvalue *keys_of(struct world *w, const struct jvalue *v)
{
	struct jvalue *keys = jvalue_array(w->a);

	for (uint32_t i = 0; i < v->n; i++)
		jvalue_append(w->a, keys, jvalue_str(w->a, v->members[i].key));
	return keys;
}

static void diff_keyed(struct world *w, const struct schema_field *f, const struct jvalue *x,
                       const struct jvalue *y, struct jvalue *to)
{
	const char *key = f->extra->patch_merge_key;
	struct jvalue *items = jvalue_array(w->a), *order = jvalue_array(w->a), *p;

	for (uint32_t i = 0; i < x->n; i++) {
		if (item_of(y, key, jvalue_get(x->items[i], key)))
			continue;
		p = pick(w, x->items[i], key);
		jvalue_set(w->a, p, "$patch", jvalue_str(w->a, "delete"));
		jvalue_append(w->a, items, p);
	}
	for (uint32_t i = 0; i < y->n; i++) {
		const struct jvalue *old = item_of(x, key, jvalue_get(y->items[i], key));

		p = old ? strategic_diff(w, f->message, old, y->items[i])
		        : jvalue_copy(w->a, y->items[i]);
		if (old && f->flags & SCHEMA_PATCH_RETAIN_KEYS)
			jvalue_set(w->a, p, "$retainKeys", keys_of(w, y->items[i]));
		jvalue_set(w->a, p, key, jvalue_get(y->items[i], key));
		jvalue_append(w->a, items, p);
		jvalue_append(w->a, order, pick(w, y->items[i], key));
	}
	jvalue_set(w->a, to, f->json_name, items);
	jvalue_set(w->a, to, arena_printf(w->a, "$setElementOrder/%s", f->json_name), order);
}

static void diff_scalars(struct world *w, const struct schema_field *f, const struct jvalue *x,
                         const struct jvalue *y, struct jvalue *to)
{
	struct jvalue *more = jvalue_array(w->a), *less = jvalue_array(w->a);

	for (uint32_t i = 0; i < x->n; i++)
		if (!item_of(y, NULL, x->items[i]))
			jvalue_append(w->a, less, x->items[i]);
	for (uint32_t i = 0; i < y->n; i++)
		if (!item_of(x, NULL, y->items[i]))
			jvalue_append(w->a, more, y->items[i]);
	if (more->n)
		jvalue_set(w->a, to, f->json_name, more);
	if (less->n)
		jvalue_set(w->a, to,
		           arena_printf(w->a, "$deleteFromPrimitiveList/%s", f->json_name), less);
	jvalue_set(w->a, to, arena_printf(w->a, "$setElementOrder/%s", f->json_name),
	           jvalue_copy(w->a, y));
}

static void diff_list(struct world *w, const struct schema_field *f, const struct jvalue *x,
                      const struct jvalue *y, struct jvalue *to)
{
	if (f && f->flags & SCHEMA_PATCH_MERGE && f->extra->patch_merge_key)
		diff_keyed(w, f, x, y, to);
	else if (f && f->flags & SCHEMA_PATCH_MERGE)
		diff_scalars(w, f, x, y, to);
}

/* The strategic patch from x to y, of a message, or of a map when m is NULL. */
static struct jvalue *strategic_diff(struct world *w, const struct schema_message *m,
                                     const struct jvalue *x, const struct jvalue *y)
{
	struct jvalue *p = jvalue_object(w->a), *part;

	for (uint32_t i = 0; i < x->n; i++)
		if (!jvalue_get(y, x->members[i].key))
			jvalue_set(w->a, p, x->members[i].key, jvalue_null(w->a));
	for (uint32_t i = 0; i < y->n; i++) {
		const char *key = y->members[i].key;
		const struct jvalue *now = y->members[i].value, *old = jvalue_get(x, key);
		const struct schema_json *j = m ? schema_json_find(m, key, strlen(key)) : NULL;
		const struct schema_field *f = j ? j->field : NULL;
		bool message = f && !(f->flags & SCHEMA_REPEATED) && f->message &&
		               f->message->special == SCHEMA_PLAIN;

		if (old && jvalue_equal(old, now))
			continue;
		if (old && old->kind == JVALUE_OBJECT && now->kind == JVALUE_OBJECT) {
			part = strategic_diff(w, message ? f->message : NULL, old, now);
			if (f && f->flags & SCHEMA_PATCH_RETAIN_KEYS)
				jvalue_set(w->a, part, "$retainKeys", keys_of(w, now));
			jvalue_set(w->a, p, key, part);
		} else if (old && old->kind == JVALUE_ARRAY && now->kind == JVALUE_ARRAY && f &&
		           f->flags & SCHEMA_PATCH_MERGE) {
			diff_list(w, f, old, now, p);
		} else {
			jvalue_set(w->a, p, key, jvalue_copy(w->a, now));
		}
	}
	return p;
}

static bool strategic_of_a_difference(struct world *w)
{
	static const char *const kinds[][3] = {
	    {"", "v1", "Pod"},
	    {"apps", "v1", "Deployment"},
	    {"", "v1", "Service"},
	    {"", "v1", "ConfigMap"},
	    {"storage.k8s.io", "v1", "CSINode"},
	    {"autoscaling", "v2", "HorizontalPodAutoscaler"},
	    {"", "v1", "Node"},
	    {"apps", "v1", "StatefulSet"},
	    {"batch", "v1", "CronJob"},
	    {"networking.k8s.io", "v1", "Ingress"},
	    {"", "v1", "ServiceAccount"},
	    {"discovery.k8s.io", "v1", "EndpointSlice"},
	};
	const char *const *kind = kinds[rng_below(&w->rng, ARRAY_LEN(kinds))];
	const struct schema_message *m = schema_by_gvk(kind[0], kind[1], kind[2]);
	unsigned share = 15 + (unsigned)rng_below(&w->rng, 60);
	struct jvalue *x, *y, *p, *got = NULL;
	struct err err = ERR_INIT;

	assert_non_null(m);
	x = random_document(&w->rng, m, share, w->a);
	y = random_document(&w->rng, m, share, w->a);
	p = strategic_diff(w, m, x, y);
	got = jvalue_copy(w->a, x);
	for (int i = 0; i < 2; i++) { /* the second time it changes nothing */
		if (patch_apply_strategic(m, got, jvalue_copy(w->a, p), w->a, &got, &err) < 0)
			return show(w, err.text, x, y, p);
		if (!jvalue_equal(got, y)) {
			show(w, i ? "twice is not once" : "not the second", x, y, p);
			return show(w, "but", got, NULL, NULL);
		}
	}
	return true;
}

/* --- JSON patches ---------------------------------------------------------------------------- */

static const char *escaped(struct world *w, const char *key)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (; *key; key++)
		buf_str(&b, *key == '~' ? "~0" : *key == '/' ? "~1" : (char[]){*key, 0});
	return arena_strndup(w->a, (const char *)b.data, b.len);
}

/* A place below the root, at random; NULL when there is none. */
static const struct jvalue *random_place(struct world *w, const struct jvalue *doc,
                                         const char **ret_path, const struct jvalue **ret_parent)
{
	const struct jvalue *v = doc;
	const char *path = "";

	*ret_parent = NULL;
	while ((v->kind == JVALUE_OBJECT || v->kind == JVALUE_ARRAY) && v->n) {
		uint32_t at = (uint32_t)rng_below(&w->rng, v->n);

		if (*ret_parent && rng_below(&w->rng, 2))
			break;
		*ret_parent = v;
		path = v->kind == JVALUE_OBJECT
		           ? arena_printf(w->a, "%s/%s", path, escaped(w, v->members[at].key))
		           : arena_printf(w->a, "%s/%u", path, at);
		v = v->kind == JVALUE_OBJECT ? v->members[at].value : v->items[at];
	}
	*ret_path = path;
	return *ret_parent ? v : NULL;
}

static struct jvalue *op(struct world *w, const char *name, const char *path, const char *from,
                         const struct jvalue *value)
{
	struct jvalue *v = jvalue_object(w->a);

	jvalue_set(w->a, v, "op", jvalue_str(w->a, name));
	jvalue_set(w->a, v, "path", jvalue_str(w->a, path));
	if (from)
		jvalue_set(w->a, v, "from", jvalue_str(w->a, from));
	if (value)
		jvalue_set(w->a, v, "value", jvalue_copy(w->a, value));
	return v;
}

/* One operation that works on the document, and the one that takes it back. */
static struct jvalue *random_step(struct world *w, const struct jvalue *doc, struct jvalue **undo)
{
	struct jvalue *value = random_json(&w->rng, 2, w->a);
	const struct jvalue *parent, *old;
	const char *path;

	old = random_place(w, doc, &path, &parent);
	switch (old ? rng_below(&w->rng, 6) : 5) {
	case 0:
		*undo = op(w, "add", path, NULL, old);
		return op(w, "remove", path, NULL, NULL);
	case 1:
		*undo = op(w, "replace", path, NULL, old);
		return op(w, "replace", path, NULL, value);
	case 2:
		*undo = parent->kind == JVALUE_ARRAY ? op(w, "remove", path, NULL, NULL)
		                                     : op(w, "replace", path, NULL, old);
		return op(w, "add", path, NULL, value);
	case 3:
		*undo = op(w, "move", path, "/new", NULL);
		return op(w, "move", "/new", path, NULL);
	case 4:
		*undo = op(w, "remove", "/new", NULL, NULL);
		return op(w, "copy", "/new", path, NULL);
	}
	*undo = op(w, "remove", "/new", NULL, NULL);
	return op(w, "add", "/new", NULL, value);
}

static int json_patched(struct world *w, const struct jvalue *doc, const struct jvalue *patch,
                        struct jvalue **ret)
{
	return patch_apply_json(jvalue_copy(w->a, doc), patch, w->a, ret, NULL);
}

static struct jvalue *patch_of(struct world *w, struct jvalue *only)
{
	struct jvalue *p = jvalue_array(w->a);

	jvalue_append(w->a, p, only);
	return p;
}

/* Steps one by one are the steps at once, and taken back in reverse they leave the document. */
static bool json_can_be_undone(struct world *w)
{
	struct jvalue *first = random_object(w), *doc = first, *undo, *got;
	struct jvalue *forth = jvalue_array(w->a), *back = jvalue_array(w->a);

	for (int i = 0; i < STEPS; i++) {
		struct jvalue *step;

		if (jvalue_get(doc, "new"))
			jvalue_del(doc = jvalue_copy(w->a, doc), "new");
		if (i == 0)
			first = doc;
		else if (!jvalue_equal(doc, got))
			jvalue_append(w->a, forth, op(w, "remove", "/new", NULL, NULL)),
			    jvalue_insert(w->a, back, 0,
			                  op(w, "add", "/new", NULL, jvalue_get(got, "new")));
		step = random_step(w, doc, &undo);
		if (json_patched(w, doc, patch_of(w, step), &got) < 0)
			return show(w, "a step fails", doc, step, NULL);
		jvalue_append(w->a, forth, step);
		jvalue_insert(w->a, back, 0, undo);
		doc = got;
	}
	if (json_patched(w, first, forth, &got) < 0 || !jvalue_equal(got, doc))
		return show(w, "at once is not one by one", first, forth, doc);
	if (json_patched(w, doc, back, &got) < 0 || !jvalue_equal(got, first))
		return show(w, "not taken back", first, forth, back);
	return true;
}

/* A test of what is there holds, of anything else it does not, and then nothing is changed. */
static bool json_test_tests(struct world *w)
{
	struct jvalue *doc = random_object(w), *other, *got, *patch;
	const struct jvalue *parent, *v;
	const char *path;

	v = random_place(w, doc, &path, &parent);
	if (!v)
		return true;
	if (json_patched(w, doc, patch_of(w, op(w, "test", path, NULL, v)), &got) < 0 ||
	    !jvalue_equal(got, doc))
		return show(w, path, doc, v, NULL);
	other = random_json(&w->rng, 2, w->a);
	if (jvalue_equal(other, v))
		return true;
	patch = jvalue_array(w->a);
	jvalue_append(w->a, patch, op(w, "add", "/z", NULL, other));
	jvalue_append(w->a, patch, op(w, "test", path, NULL, other));
	return json_patched(w, doc, patch, &got) == -ERR_INVALID || show(w, path, doc, v, other);
}

static void run(bool (*holds)(struct world *w), const char *name)
{
	const char *seed = getenv("SEED");
	uint64_t first = seed ? strtoull(seed, NULL, 10) : 1;
	int failed = 0;

	for (uint64_t s = first; s < first + (seed ? 1 : SEEDS); s++) {
		_cleanup_arena_ struct arena a = {0};
		struct world w = {.a = &a};

		rng_init(&w.rng, s);
		if (holds(&w))
			continue;
		print_error("not so: %s: SEED=%llu\n", name, (unsigned long long)s);
		failed++;
	}
	assert_int_equal(failed, 0);
}

#define PROPERTY(name)                        \
	static void test_##name(void **state) \
	{                                     \
		run(name, #name);             \
	}

PROPERTY(merge_is_of_the_rfc)
PROPERTY(merge_of_a_difference)
PROPERTY(strategic_of_a_difference)
PROPERTY(json_can_be_undone)
PROPERTY(json_test_tests)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_merge_is_of_the_rfc),
	    cmocka_unit_test(test_merge_of_a_difference),
	    cmocka_unit_test(test_strategic_of_a_difference),
	    cmocka_unit_test(test_json_can_be_undone),
	    cmocka_unit_test(test_json_test_tests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
