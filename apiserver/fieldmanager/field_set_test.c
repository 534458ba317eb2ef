/* SPDX-License-Identifier: Apache-2.0 */
/* Sets: their algebra on random ones, their text, and what apply promises on random objects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include "apiserver/fieldmanager/field_walk.h"
#include "apiserver/fieldmanager/fieldmanager.h"
#include "common/base/rng.h"
#include "proto/json_encode.h"
#include "proto/resource_table.h"

/* --- text ------------------------------------------------------------------------------------ */

static const char *rewrite(const char *json, struct arena *a)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct err err = ERR_INIT;
	struct field_set s;

	if (field_set_read(slice_str(json), a, &s, &err) < 0)
		return arena_printf(a, "error: %s", err.text);
	field_set_write(&s, &out);
	return arena_strndup(a, out.data, out.len);
}

static void reads_and_writes(void **state)
{
	static const char *const same[] = {
	    "{}",
	    "{\"f:a\":{}}",
	    "{\"f:a\":{\".\":{},\"f:b\":{}},\"f:c\":{\"f:d\":{}}}",
	    "{\"f:p\":{\"k:{\\\"a\\\":80,\\\"b\\\":\\\"x\\\"}\":{\".\":{},\"f:a\":{}}}}",
	    "{\"f:p\":{\"k:{\\\"a\\\":80}\":{},\"k:{\\\"a\\\":443}\":{}}}",
	    "{\"f:p\":{\"v:\\\"a\\\"\":{},\"v:\\\"a b\\\"\":{},\"v:\\\"ab\\\"\":{}}}",
	    "{\"f:p\":{\"v:1\":{},\"v:10\":{},\"i:2\":{}}}",
	    "{\"f:x\\\"y\\u003c\":{}}",
	};
	static const char *const pairs[][2] = {
	    {"{\"f:b\":{},\"f:a\":{}}", "{\"f:a\":{},\"f:b\":{}}"},
	    {"{\"k:{ \\\"b\\\":1, \\\"a\\\":2}\":{}}", "{\"k:{\\\"a\\\":2,\\\"b\\\":1}\":{}}"},
	    {"{\"f:a\":{},\"f:a\":{\"f:b\":{}}}", "{\"f:a\":{\".\":{},\"f:b\":{}}}"},
	    {"{\"z:new\":{\"f:a\":{}},\"f:a\":{}}", "{\"f:a\":{}}"},
	    {"{\"f:a\":null}", NULL},
	    {"null", "{}"},
	    {"{\"f:a\":{}} x", NULL},
	    {"{\"a\":{}}", "error: invalid path element a"},
	    {"{\"fa:\":{}}", "error: invalid path element fa:"},
	    {"{\"k:{\":{}}", "error: invalid path element k:{"},
	    {"{\"k:1\":{}}", "error: invalid path element k:1"},
	    {"{\"v:{}\":{}}", "error: invalid path element v:{}"},
	    {"{\"i:x\":{}}", "error: invalid path element i:x"},
	    {"[]", NULL},
	    {"", NULL},
	};
	_cleanup_arena_ struct arena a = {0};

	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++)
		assert_string_equal(rewrite(same[i], &a), same[i]);
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		const char *got = rewrite(pairs[i][0], &a);

		if (pairs[i][1])
			assert_string_equal(got, pairs[i][1]);
		else
			assert_memory_equal(got, "error:", 6);
	}
}

static void limits_depth(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	_cleanup_buf_ struct buf deep = BUF_INIT;

	for (int i = 0; i < 300; i++)
		buf_str(&deep, "{\"f:a\":");
	buf_str(&deep, "{}");
	for (int i = 0; i < 300; i++)
		buf_byte(&deep, '}');
	assert_string_equal(rewrite((char *)deep.data, &a),
	                    "error: the fields are nested too deeply");
}

/* --- algebra --------------------------------------------------------------------------------- */

static struct field_set random_set(struct rng *r, int depth, struct arena *a)
{
	static const char *const names[] = {"a", "b", "c", "d"};
	struct field_set s = {0};

	for (size_t i = 0; i < 4; i++) {
		bool member = rng_below(r, 3) == 0;
		struct field_set below = {0};

		if (depth && rng_below(r, 2))
			below = random_set(r, depth - 1, a);
		field_set_add(&s, (struct field_elem){ELEM_FIELD, slice_str(names[i])}, member,
		              below, a);
	}
	return s;
}

static void obeys_algebra(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	struct rng r;

	rng_init(&r, 1);
	for (int i = 0; i < 500; i++) {
		struct field_set x = random_set(&r, 3, &a), y = random_set(&r, 3, &a);
		struct field_set both = field_set_intersection(x, y, &a);
		struct field_set all = field_set_union(x, y, &a);
		struct field_set only_x = field_set_difference(x, y, &a);
		struct field_set again = field_set_union(only_x, both, &a);
		struct field_set swapped = field_set_union(y, x, &a);
		struct field_set none = field_set_intersection(only_x, y, &a);

		assert_int_equal(field_set_size(&x) + field_set_size(&y),
		                 field_set_size(&all) + field_set_size(&both));
		assert_true(field_set_equal(&again, &x));
		assert_true(field_set_equal(&all, &swapped));
		assert_true(field_set_empty(&none));
		arena_reset(&a);
	}
}

/* --- apply ----------------------------------------------------------------------------------- */

static struct jvalue *random_body(struct rng *r, const char *prefix, struct arena *a)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct jvalue *ret;

	buf_str(&b,
	        "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"labels\":{");
	for (uint64_t n = rng_below(r, 3) + 1; n--;)
		buf_printf(&b, "\"%s%d\":\"%d\"%s", prefix, (int)n, (int)rng_below(r, 2),
		           n ? "," : "");
	buf_str(&b, "},\"name\":\"d\"},\"spec\":{\"template\":{\"spec\":{\"containers\":[");
	for (uint64_t n = rng_below(r, 3) + 1; n--;)
		buf_printf(&b,
		           "{\"name\":\"%s%d\",\"image\":\"i%d\",\"ports\":[{\"containerPort\":"
		           "%d}],\"env\":[{\"name\":\"E%d\",\"value\":\"x\"}]}%s",
		           prefix, (int)n, (int)rng_below(r, 2), 80 + (int)rng_below(r, 2),
		           (int)rng_below(r, 2), n ? "," : "");
	buf_str(&b, "]}}}}");
	assert_int_equal(jvalue_parse(buf_view(&b), a, NULL, &ret, NULL), 0);
	return ret;
}

static struct object apply(const char *manager, const struct jvalue *body, const struct object *old,
                           int64_t now_s, struct arena *a)
{
	const struct resource_info *res = resource_find("apps", "v1", "deployments", "");
	struct fieldmanager_request req = {
	    .manager = manager, .subresource = "", .now_s = now_s, .force = true};
	struct fieldmanager_conflicts conflicts;
	struct err err = ERR_INIT;
	struct object obj;

	if (fieldmanager_apply(&req, body, res, old, a, &obj, &conflicts, &err) < 0)
		fail_msg("%s", err.text);
	obj.meta->uid = (char *)"u";
	if (old)
		fieldmanager_keep_times(&obj, old, a);
	return obj;
}

static const char *text_of(const struct object *obj, struct arena *a)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct jvalue *tree = json_encode_tree(obj->schema, obj->msg, NULL, a);

	jvalue_write_sorted(tree, &out);
	return arena_strndup(a, out.data, out.len);
}

static void applies_once(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	struct rng r;

	rng_init(&r, 2);
	for (int i = 0; i < 200; i++) {
		struct jvalue *x = random_body(&r, "s", &a), *y = random_body(&r, "s", &a);
		struct object first = apply("x", x, NULL, 1, &a);
		struct object second = apply("y", y, &first, 2, &a);
		struct object again = apply("y", y, &second, 3, &a);

		assert_string_equal(text_of(&second, &a), text_of(&again, &a));
		arena_reset(&a);
	}
}

/* What one manager applied goes when it applies nothing, and leaves what the other applied. */
static void gives_up(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	struct rng r;

	rng_init(&r, 3);
	for (int i = 0; i < 200; i++) {
		struct jvalue *x = random_body(&r, "x", &a), *y = random_body(&r, "y", &a),
		              *nothing;
		struct object alone = apply("x", x, NULL, 1, &a);
		struct object both = apply("y", y, &alone, 2, &a), left;

		assert_int_equal(jvalue_parse(SLICE_LIT("{\"apiVersion\":\"apps/v1\",\"kind\":"
		                                        "\"Deployment\",\"metadata\":{\"name\":"
		                                        "\"d\"}}"),
		                              &a, NULL, &nothing, NULL),
		                 0);
		left = apply("y", nothing, &both, 3, &a);
		assert_string_equal(text_of(&left, &a), text_of(&alone, &a));
		arena_reset(&a);
	}
}

static int item_cmp(const void *a, const void *b)
{
	return strcmp(jvalue_get_str(*(struct jvalue *const *)a, "name", ""),
	              jvalue_get_str(*(struct jvalue *const *)b, "name", ""));
}

static const char *spec_of(const struct object *obj, struct arena *a)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct jvalue *tree = json_encode_tree(obj->schema, obj->msg, NULL, a);
	struct jvalue *containers = jvalue_path(tree, "spec.template.spec.containers");

	jvalue_del(jvalue_get(tree, "metadata"), "managedFields");
	if (jvalue_is(containers, JVALUE_ARRAY))
		qsort(containers->items, containers->n, sizeof(*containers->items), item_cmp);
	jvalue_write_sorted(tree, &out);
	return arena_strndup(a, out.data, out.len);
}

static void commutes(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	struct rng r;

	rng_init(&r, 4);
	for (int i = 0; i < 200; i++) {
		struct jvalue *x = random_body(&r, "x", &a), *y = random_body(&r, "y", &a);
		struct object ox = apply("x", x, NULL, 1, &a), oxy = apply("y", y, &ox, 2, &a);
		struct object oy = apply("y", y, NULL, 1, &a), oyx = apply("x", x, &oy, 2, &a);

		assert_string_equal(spec_of(&oxy, &a), spec_of(&oyx, &a));
		assert_true(managed_fields_equal(oxy.meta, oyx.meta));
		arena_reset(&a);
	}
}

/* --- merged lists ---------------------------------------------------------------------------- */

static const char *merged(const char *live, const char *patch, struct arena *a)
{
	static const struct field_type set = {.klass = CLASS_LIST, .set = true};
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct jvalue *l, *p;

	assert_int_equal(jvalue_parse(slice_str(live), a, NULL, &l, NULL), 0);
	assert_int_equal(jvalue_parse(slice_str(patch), a, NULL, &p, NULL), 0);
	jvalue_write(field_merge(l, p, set, a), &out);
	return arena_strndup(a, out.data, out.len);
}

static void merges_lists(void **state)
{
	static const char *const cases[][3] = {
	    {"[1,2,3]", "[2]", "[1,2,3]"},
	    {"[1,2]", "[3]", "[1,2,3]"},
	    {"[1,2,3]", "[3,1]", "[2,3,1]"},
	    {"[1,2,3,4]", "[4,2]", "[1,3,4,2]"},
	    {"[1,2]", "[0,1,9,2]", "[0,1,9,2]"},
	    {"[1,5,2]", "[0,2,1,7]", "[5,0,2,1,7]"},
	    {"null", "[1]", "[1]"},
	    {"[1]", "null", "[1]"},
	    {"[1]", "[]", "[1]"},
	    {"[1,1,2]", "[1]", "[1,2]"},
	};
	_cleanup_arena_ struct arena a = {0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_string_equal(merged(cases[i][0], cases[i][1], &a), cases[i][2]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads_and_writes), cmocka_unit_test(limits_depth),
	    cmocka_unit_test(obeys_algebra),    cmocka_unit_test(applies_once),
	    cmocka_unit_test(gives_up),         cmocka_unit_test(commutes),
	    cmocka_unit_test(merges_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
