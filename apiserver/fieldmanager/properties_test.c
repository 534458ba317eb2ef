/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for server-side apply of any objects of any kind: random documents made from the
 * schemas (tests/lib/random_json.h). A failure names the seed, the kind and the documents;
 * SEED=n KIND=Pod runs that one case again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "apiserver/fieldmanager/fieldmanager.h"
#include "apiserver/fieldmanager/test_parts.h"
#include "apiserver/registry/strategy.h"
#include "common/base/vec.h"
#include "proto/json_decode.h"
#include "proto/json_encode.h"
#include "proto/resource_table.h"
#include "tests/lib/random_json.h"

enum { SEEDS = 12 };

/* One object on its way through requests. */
struct world {
	struct arena *a;
	struct rng rng;
	const struct resource_info *res;
	struct field_type type;
	bool defaults; /* as the server does; without them objects are as clients sent them */
	struct object obj;
	int64_t now_s;
	struct fieldmanager_conflicts conflicts;
	const char *fault; /* of the last apply that was refused */
};

/* --- requests -------------------------------------------------------------------------------- */

static const char *text_of(const struct jvalue *v, struct arena *a)
{
	_cleanup_buf_ struct buf out = BUF_INIT;

	jvalue_write_sorted(v, &out);
	return arena_strndup(a, (const char *)out.data, out.len);
}

static struct jvalue *tree_of(struct world *w, bool managed)
{
	struct jvalue *tree = json_encode_tree(w->res->schema, w->obj.msg, NULL, w->a);

	if (!managed)
		jvalue_del(jvalue_get(tree, "metadata"), "managedFields");
	return tree;
}

static const char *state_of(struct world *w)
{
	return text_of(tree_of(w, true), w->a);
}

static void settle(struct world *w, struct object obj)
{
	struct strategy_ctx ctx = {.arena = w->a};

	if (w->defaults)
		registry_defaults(&ctx, registry_strategy(w->res, ""), &obj);
	if (w->obj.msg)
		fieldmanager_keep_times(&obj, &w->obj, w->a);
	obj.meta->uid = (char *)"u1";
	w->obj = obj;
}

static struct fieldmanager_request request_of(struct world *w, const char *manager, bool force)
{
	return (struct fieldmanager_request){
	    .manager = manager, .subresource = "", .now_s = w->now_s, .force = force};
}

static void fault_of(struct world *w, const struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	if (w->conflicts.n)
		fieldmanager_conflict_text(&w->conflicts, &text);
	else
		buf_str(&text, err->text);
	w->fault = arena_strndup(w->a, (const char *)text.data, text.len);
}

static int apply(struct world *w, const char *manager, const struct jvalue *body, bool force)
{
	struct fieldmanager_request req = request_of(w, manager, force);
	struct err err = ERR_INIT;
	struct object obj;
	int r;

	w->conflicts = (struct fieldmanager_conflicts){0};
	r = fieldmanager_apply(&req, body, w->res, w->obj.msg ? &w->obj : NULL, w->a, &obj,
	                       &w->conflicts, &err);
	if (r < 0)
		fault_of(w, &err);
	if (r == 0)
		settle(w, obj);
	return r;
}

/* A PUT of the document. */
static void update(struct world *w, const char *manager, const struct jvalue *body)
{
	struct fieldmanager_request req = request_of(w, manager, false);
	struct strategy_ctx ctx = {.arena = w->a};
	ProtobufCMessage *msg;
	struct object obj;

	assert_int_equal(json_decode_tree(w->res->schema, body, w->a, NULL, &msg, NULL, NULL), 0);
	obj = object_of(w->res, w->res->schema, msg);
	if (w->defaults)
		registry_defaults(&ctx, registry_strategy(w->res, ""), &obj);
	if (w->obj.msg)
		obj.meta->uid = (char *)"u1";
	fieldmanager_update(&req, &obj, w->obj.msg ? &w->obj : NULL, w->a);
	settle(w, obj);
}

/* --- leaves ---------------------------------------------------------------------------------- */

/* What managers can own of a document, found without field sets: paths as people read them, and
 * values. */
struct leaf {
	const char *path, *text;
	bool whole; /* a list or an object that is owned as one */
};
typedef VEC(struct leaf) leaves;

static const char *item_path(struct world *w, const struct jvalue *item, struct field_type list,
                             const char *path)
{
	const char *keys[FIELD_TYPE_KEYS_MAX];
	size_t n = field_type_keys(list, keys);
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct slice dflt;

	buf_printf(&out, "%s[", path);
	if (list.set)
		buf_printf(&out, "=%s", text_of(item, w->a));
	for (size_t i = 0; !list.set && i < n; i++) {
		const struct jvalue *v = jvalue_get(item, keys[i]);

		if (!v && !field_type_key_default(list, keys[i], w->a, &dflt))
			continue;
		buf_printf(&out, "%s%s=", i ? "," : "", keys[i]);
		buf_slice(&out, v ? slice_str(text_of(v, w->a)) : dflt);
	}
	buf_byte(&out, ']');
	return arena_strndup(w->a, (const char *)out.data, out.len);
}

static void find_leaves(struct world *w, const struct jvalue *v, struct field_type t,
                        const char *path, leaves *out)
{
	struct field_type of;

	t = field_type_deduce(t, value_of_tree(v, w->a));
	if (!t.atomic && v->kind == JVALUE_OBJECT && v->n) {
		for (uint32_t i = 0; i < v->n; i++) {
			assert_true(field_type_member(t, slice_str(v->members[i].key), &of));
			find_leaves(w, v->members[i].value, of,
			            arena_printf(w->a, "%s.%s", path, v->members[i].key), out);
		}
	} else if (!t.atomic && v->kind == JVALUE_ARRAY && v->n && !t.set) {
		for (uint32_t i = 0; i < v->n; i++)
			find_leaves(w, v->items[i], field_type_item(t),
			            item_path(w, v->items[i], t, path), out);
	} else if (!t.atomic && v->kind == JVALUE_ARRAY && v->n) {
		for (uint32_t i = 0; i < v->n; i++)
			*vec_push(out) =
			    (struct leaf){item_path(w, v->items[i], t, path), "", true};
	} else {
		*vec_push(out) = (struct leaf){path, text_of(v, w->a), t.atomic};
	}
}

static int by_path(const void *x, const void *y)
{
	return strcmp(((const struct leaf *)x)->path, ((const struct leaf *)y)->path);
}

/* Sorted; without what is nobody's. */
static leaves leaves_of(struct world *w, const struct jvalue *doc)
{
	static const char *const system[] = {".apiVersion", ".kind", ".metadata.name",
	                                     ".metadata.uid", ".metadata.creationTimestamp"};
	/* Containers that were emptied may stay; values that are not set may be shown as zeros. The
	 * random documents have none of them. */
	static const char *const zeros[] = {"{}", "[]", "\"\"", "0", "false"};
	leaves all = {0}, ret = {0};

	find_leaves(w, doc, w->type, "", &all);
	VEC_FOREACH (&all, l) {
		bool skip = strncmp(l->path, ".status", 7) == 0;

		for (size_t i = 0; i < ARRAY_LEN(system); i++)
			skip |= strcmp(l->path, system[i]) == 0;
		skip |= strcmp(l->text, "null") == 0;
		for (size_t i = 0; i < ARRAY_LEN(zeros); i++)
			skip |= !l->whole && strcmp(l->text, zeros[i]) == 0;
		if (!skip)
			*vec_push(&ret) = *l;
	}
	vec_deinit(&all);
	qsort(ret.at, ret.n, sizeof(*ret.at), by_path);
	return ret;
}

static const struct leaf *find(const leaves *in, const char *path)
{
	struct leaf key = {.path = path};

	return in->n ? bsearch(&key, in->at, in->n, sizeof(*in->at), by_path) : NULL;
}

/* Every leaf of x is in y; with the same value. */
static bool within(const leaves *x, const leaves *y, const char *what)
{
	VEC_FOREACH (x, l) {
		const struct leaf *other = find(y, l->path);

		if (other && strcmp(other->text, l->text) == 0)
			continue;
		print_error("%s: %s is %s, not %s\n", what, l->path, other ? other->text : "gone",
		            l->text);
		return false;
	}
	return true;
}

static struct halves halves_of(struct world *w, const struct jvalue *doc)
{
	return test_halves(doc, w->type, &w->rng, w->a);
}

/* --- properties ------------------------------------------------------------------------------ */

static struct jvalue *document(struct world *w)
{
	return random_document(&w->rng, w->res->schema, 15 + (unsigned)rng_below(&w->rng, 45),
	                       w->a);
}

static bool show(struct world *w, const char *what, const struct jvalue *x, const struct jvalue *y)
{
	print_error("%s: %s\n  %s\n  %s\n  %s\n", what, w->fault ? w->fault : "", text_of(x, w->a),
	            y ? text_of(y, w->a) : "", w->obj.msg ? state_of(w) : "");
	return false;
}

/* Applying twice is applying once: the same bytes, times and owners included. */
static bool twice_is_once(struct world *w)
{
	struct jvalue *first = document(w), *body = document(w);
	const char *once;

	w->defaults = true;
	update(w, "creator", first);
	if (apply(w, "m", body, true) < 0)
		return show(w, "a forced apply failed", first, body);
	once = state_of(w);
	w->now_s++;
	if (apply(w, "m", body, false) < 0)
		return show(w, "the second apply failed", first, body);
	return strcmp(once, state_of(w)) == 0 || show(w, once, first, body);
}

/* What a manager stops applying goes. */
static bool given_up_goes(struct world *w)
{
	struct jvalue *first = document(w), *second = document(w);
	leaves want, got;
	bool ok;

	if (apply(w, "m", first, false) < 0 || apply(w, "m", second, false) < 0)
		return show(w, "a lone manager was refused", first, second);
	want = leaves_of(w, second);
	got = leaves_of(w, tree_of(w, false));
	ok = within(&want, &got, "applied") && within(&got, &want, "left");
	vec_deinit(&want);
	vec_deinit(&got);
	return ok || show(w, "not the second configuration", first, second);
}

/* Unless somebody else owns it. */
static bool shared_stays(struct world *w)
{
	struct jvalue *first = document(w), *second = document(w);
	struct jvalue *shared = halves_of(w, first).left;
	leaves want, got, all;
	bool ok;

	if (apply(w, "m", first, false) < 0 || apply(w, "other", shared, false) < 0)
		return show(w, "the same values are in conflict", first, shared);
	if (apply(w, "m", second, true) < 0 || apply(w, "other", shared, true) < 0)
		return show(w, "a forced apply failed", first, second);
	want = leaves_of(w, shared);
	got = leaves_of(w, tree_of(w, false));
	ok = within(&want, &got, "shared");
	all = leaves_of(w, second);
	VEC_FOREACH (&got, l)
		if (strcmp(l->text, "{}") != 0 && !find(&want, l->path) && !find(&all, l->path)) {
			print_error("%s was given up by all\n", l->path);
			ok = false;
		}
	vec_deinit(&want);
	vec_deinit(&got);
	vec_deinit(&all);
	return ok || show(w, "not what was shared", shared, second);
}

static bool owners_equal(const struct object *x, const struct object *y)
{
	return managed_fields_equal(x->meta, y->meta);
}

/* Disjoint fields commute; and come to what one manager would have applied of all. */
static bool disjoint_commute(struct world *w)
{
	struct jvalue *whole = document(w);
	struct halves h = halves_of(w, whole);
	struct world other = *w;
	leaves x, y, want;
	bool ok;

	if (apply(w, "a", h.left, false) < 0 || apply(w, "b", h.right, false) < 0 ||
	    apply(&other, "b", h.right, false) < 0 || apply(&other, "a", h.left, false) < 0)
		return show(w, "disjoint fields are in conflict", h.left, h.right);
	x = leaves_of(w, tree_of(w, false));
	y = leaves_of(&other, tree_of(&other, false));
	want = leaves_of(w, whole);
	ok = within(&x, &y, "first left") && within(&y, &x, "first right") &&
	     within(&want, &x, "whole") && within(&x, &want, "both") &&
	     owners_equal(&w->obj, &other.obj);
	vec_deinit(&x);
	vec_deinit(&y);
	vec_deinit(&want);
	return ok || show(w, state_of(&other), h.left, h.right);
}

/* What both documents set, to different values. */
static leaves disputed(struct world *w, const struct jvalue *theirs, const struct jvalue *mine)
{
	leaves x = leaves_of(w, theirs), y = leaves_of(w, mine), both = {0};

	VEC_FOREACH (&y, l) {
		const struct leaf *other = find(&x, l->path);

		if (other && strcmp(other->text, l->text) != 0)
			*vec_push(&both) = *l;
	}
	vec_deinit(&x);
	vec_deinit(&y);
	return both;
}

/* An empty object that is owned as one may be what nobody ever set. */
static void drop_empty(leaves *paths, const leaves *theirs)
{
	size_t n = 0;

	for (size_t i = 0; i < paths->n; i++) {
		const struct leaf *l = find(theirs, paths->at[i].path);

		if (!l || strcmp(l->text, "{}") != 0)
			paths->at[n++] = paths->at[i];
	}
	paths->n = n;
}

/* The conflicts are those that are wanted; both without what is not clear. */
static bool names_exactly(struct world *w, leaves *want, const struct jvalue *theirs)
{
	leaves got = {0}, all = leaves_of(w, theirs);
	bool ok;

	for (size_t i = 0; i < w->conflicts.n; i++)
		*vec_push(&got) = (struct leaf){.path = w->conflicts.at[i].path};
	qsort(got.at, got.n, sizeof(*got.at), by_path);
	drop_empty(&got, &all);
	drop_empty(want, &all);
	ok = want->n == got.n;
	for (size_t i = 0; ok && i < want->n; i++)
		ok = strcmp(want->at[i].path, got.at[i].path) == 0;
	for (size_t i = 0; !ok && i < MAX(want->n, got.n); i++)
		print_error("%s | %s\n", i < want->n ? want->at[i].path : "",
		            i < got.n ? got.at[i].path : "");
	vec_deinit(&all);
	vec_deinit(&got);
	return ok;
}

static void note_path(void *arg, const char *path)
{
	leaves *paths = arg;

	*vec_push(paths) = (struct leaf){.path = strdup(path)};
}

/* None of these paths is a member of what the manager owns. */
static bool owns_none_of(struct world *w, const char *manager, const leaves *paths)
{
	struct managed m;
	bool ok = true;

	assert_int_equal(managed_read(w->obj.meta->managed_fields, w->obj.meta->n_managed_fields,
	                              true, w->a, &m, NULL),
	                 0);
	for (size_t i = 0; i < m.n; i++) {
		struct field_set set = managed_set(&m, &m.at[i]);
		leaves owned = {0};

		if (strcmp(m.at[i].manager, manager) == 0)
			field_set_each(&set, note_path, &owned);
		VEC_FOREACH (&owned, l) {
			ok &= !find(paths, l->path);
			free((char *)l->path);
		}
		vec_deinit(&owned);
	}
	return ok;
}

/* Conflicts name what others own with other values, and force takes that. */
static bool conflicts_are_exact(struct world *w)
{
	struct jvalue *theirs = document(w), *mine = document(w);
	bool by_update = rng_below(&w->rng, 2), ok;
	leaves want = disputed(w, theirs, mine), got, set;
	const char *before;
	int r = 0;

	if (by_update)
		update(w, "owner", theirs);
	else
		r = apply(w, "owner", theirs, false);
	assert_int_equal(r, 0);
	before = state_of(w);
	r = apply(w, "m", mine, false);
	ok = names_exactly(w, &want, theirs) && (!want.n || r == -ERR_CONFLICT) &&
	     (r == 0 || strcmp(before, state_of(w)) == 0);
	if (ok && r < 0)
		ok = apply(w, "m", mine, true) == 0 && owns_none_of(w, "owner", &want);
	set = leaves_of(w, mine);
	got = leaves_of(w, tree_of(w, false));
	ok = ok && within(&set, &got, "forced");
	vec_deinit(&want);
	vec_deinit(&set);
	vec_deinit(&got);
	return ok || show(w, by_update ? "after an update" : "after an apply", theirs, mine);
}

/* Applying what is there changes owners and nothing else, and an update takes what it changes. */
static bool same_values_are_shared(struct world *w)
{
	struct jvalue *first = document(w), *second = document(w);
	struct jvalue *part = halves_of(w, first).left;
	leaves changed;
	const char *before;
	bool ok;

	update(w, "owner", first);
	before = text_of(tree_of(w, false), w->a);
	if (apply(w, "m", part, false) < 0 || strcmp(before, text_of(tree_of(w, false), w->a)) != 0)
		return show(w, "what was there was changed", first, part);
	changed = disputed(w, part, second);
	update(w, "owner", second);
	ok = owns_none_of(w, "m", &changed);
	vec_deinit(&changed);
	return ok || show(w, "an update left what it changed to another", part, second);
}

/* --- all kinds ------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	bool (*holds)(struct world *w);
} PROPERTIES[] = {
    {"applying twice is applying once", twice_is_once},
    {"what is given up goes", given_up_goes},
    {"what is shared stays", shared_stays},
    {"disjoint fields commute", disjoint_commute},
    {"conflicts are exact", conflicts_are_exact},
    {"same values are shared", same_values_are_shared},
};

static bool run(const struct resource_info *res, uint64_t seed, size_t property)
{
	_cleanup_arena_ struct arena a = {0};
	struct world w = {
	    .a = &a, .res = res, .type = field_type_root(res->schema), .now_s = 1700000000};

	rng_init(&w.rng, seed * 1000 + property);
	if (PROPERTIES[property].holds(&w))
		return true;
	print_error("not so: %s: SEED=%llu KIND=%s\n", PROPERTIES[property].name,
	            (unsigned long long)seed, res->kind);
	return false;
}

static void properties_hold(void **state)
{
	const char *only = getenv("KIND"), *seed = getenv("SEED");
	uint64_t first = seed ? strtoull(seed, NULL, 10) : 1, n = seed ? 1 : SEEDS;
	int failed = 0, kinds = 0;

	for (size_t i = 0; i < resource_n; i++) {
		const struct resource_info *res = &resource_table[i];

		if (res->parent || !(res->verbs & RESOURCE_PATCH) ||
		    (only && strcmp(only, res->kind) != 0))
			continue;
		kinds++;
		for (uint64_t s = first; s < first + n; s++)
			for (size_t p = 0; p < ARRAY_LEN(PROPERTIES); p++)
				failed += !run(res, s, p);
	}
	assert_true(kinds > (only ? 0 : 40));
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(properties_hold)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
