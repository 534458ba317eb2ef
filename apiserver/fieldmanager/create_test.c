/* SPDX-License-Identifier: Apache-2.0 */
/* testdata/create.json: bodies of every kind, and the fields that the manager who creates them
 * owns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "apiserver/fieldmanager/fieldmanager.h"
#include "apiserver/registry/strategy.h"
#include "proto/json_decode.h"
#include "proto/resource_table.h"

static struct slice read_file(const char *name, struct arena *a)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	char chunk[65536];
	FILE *f = fopen(arena_printf(a, "%s/%s", getenv("TESTDATA"), name), "r");
	size_t n;

	assert_non_null(f);
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_add(&b, chunk, n);
	fclose(f);
	return slice_of(arena_memdup(a, b.data, b.len), b.len);
}

static struct object decode(const struct jvalue *test, struct arena *a)
{
	const struct resource_info *res =
	    resource_find(jvalue_get_str(test, "group", ""), jvalue_get_str(test, "version", ""),
	                  jvalue_get_str(test, "resource", ""), "");
	struct strategy_ctx ctx = {.arena = a};
	ProtobufCMessage *msg;
	struct err err = ERR_INIT;
	struct object obj;

	assert_non_null(res);
	if (json_decode_tree(res->schema, jvalue_get(test, "body"), a, NULL, &msg, NULL, &err) < 0)
		fail_msg("%s", err.text);
	obj = object_of(res, res->schema, msg);
	registry_defaults(&ctx, registry_strategy(res, ""), &obj);
	return obj;
}

static bool check(const struct jvalue *test)
{
	_cleanup_arena_ struct arena a = {0};
	struct object obj = decode(test, &a);
	struct fieldmanager_request req = {
	    .manager = "tester", .subresource = "", .now_s = 1700000000};
	_cleanup_buf_ struct buf want = BUF_INIT;
	const MetaV1__ManagedFieldsEntry *e;
	struct slice got;
	struct jvalue *tree;

	fieldmanager_update(&req, &obj, NULL, &a);
	assert_int_equal(obj.meta->n_managed_fields, 1);
	e = obj.meta->managed_fields[0];
	assert_string_equal(e->manager, "tester");
	assert_string_equal(e->operation, "Update");
	assert_int_equal(e->time->seconds, 1700000000);
	got = slice_of(e->fields_v1->raw.data, e->fields_v1->raw.len);
	assert_int_equal(jvalue_parse(got, &a, NULL, &tree, NULL), 0);
	if (jvalue_equal(tree, jvalue_get(test, "fields")))
		return true;
	jvalue_write_sorted(jvalue_get(test, "fields"), &want);
	print_error("%s\n got  %.*s\n want %s\n", jvalue_get_str(test, "name", ""), SLICE_FMT(got),
	            (const char *)want.data);
	return false;
}

static void creates(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	struct err err = ERR_INIT;
	struct jvalue *tests;
	int failed = 0;

	assert_int_equal(jvalue_parse(read_file("create.json", &a), &a, NULL, &tests, &err), 0);
	assert_true(tests->n > 50);
	for (uint32_t i = 0; i < tests->n; i++)
		failed += !check(tests->items[i]);
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(creates)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
