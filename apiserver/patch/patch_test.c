/* SPDX-License-Identifier: Apache-2.0 */
/* testdata/NAME.txt: blocks of "KIND\ndocument\npatch\n----\nresult", apart by an empty line. KIND
 * is "json", "merge", or "strategic VERSION KIND" ("strategic apps/v1 Deployment"). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "apiserver/patch/patch.h"
#include "proto/schema.h"

static char *read_file(const char *name)
{
	char path[512], chunk[4096];
	struct buf b = BUF_INIT;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", getenv("TESTDATA"), name);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_add(&b, chunk, n);
	fclose(f);
	return buf_steal_str(&b);
}

static const struct schema_message *schema_named(char *spec)
{
	char *kind = strchr(spec, ' '), *slash = strchr(spec, '/');

	assert_non_null(kind);
	*kind++ = 0;
	if (!slash)
		return schema_by_gvk("", spec, kind);
	*slash = 0;
	return schema_by_gvk(spec, slash + 1, kind);
}

static int apply(char *kind, struct jvalue *doc, const char *patch_text, struct arena *a,
                 struct jvalue **ret, struct err *err)
{
	struct slice text = slice_str(patch_text);
	struct jvalue *patch;
	int k;

	if (strcmp(kind, "json") == 0) {
		k = patch_read_json(text, a, &patch, err);
		return k < 0 ? k : patch_apply_json(doc, patch, a, ret, err);
	}
	k = patch_read_merge(text, a, NULL, &patch, err);
	if (k < 0)
		return k;
	if (strcmp(kind, "merge") == 0)
		return patch_apply_merge(doc, patch, a, ret, err);
	const struct schema_message *schema = schema_named(kind + strlen("strategic "));
	assert_non_null(schema);
	return patch_apply_strategic(schema, doc, patch, a, ret, err);
}

static void run_case(char *kind, const char *doc_text, const char *patch, struct buf *out)
{
	_cleanup_arena_ struct arena a = {0};
	struct err err = ERR_INIT;
	struct jvalue *doc, *result;

	assert_int_equal(jvalue_parse(slice_str(doc_text), &a, NULL, &doc, &err), 0);
	if (apply(kind, doc, patch, &a, &result, &err) < 0)
		buf_printf(out, "error %d: %s", err_http_status(err.code), err.text);
	else
		jvalue_write_sorted(result, out);
}

static void run_file(const char *name)
{
	char *text = read_file(name), *save = NULL;
	char *lines[4];
	int bad = 0;

	for (char *p = strtok_r(text, "\n", &save); p;) {
		for (int i = 0; i < 3; i++, p = strtok_r(NULL, "\n", &save)) {
			assert_non_null(p);
			lines[i] = p;
		}
		assert_string_equal(p, "----");
		char *want = strtok_r(NULL, "\n", &save);
		assert_non_null(want);
		_cleanup_buf_ struct buf out = BUF_INIT;
		run_case(lines[0], lines[1], lines[2], &out);
		if (strcmp((char *)out.data, want) != 0) {
			print_error("%s\n%s\n%s\n  want %s\n  got  %s\n", lines[0], lines[1],
			            lines[2], want, (char *)out.data);
			bad++;
		}
		p = strtok_r(NULL, "\n", &save);
	}
	free(text);
	assert_int_equal(bad, 0);
}

static void test_json(void **state)
{
	run_file("json.txt");
}

static void test_merge(void **state)
{
	run_file("merge.txt");
}

static void test_strategic(void **state)
{
	run_file("strategic.txt");
}

static void test_copy_bomb(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	_cleanup_buf_ struct buf patch = BUF_INIT;
	struct err err = ERR_INIT;
	struct jvalue *doc, *ops, *result;

	buf_str(&patch, "[");
	for (int i = 0; i < 200; i++)
		buf_printf(&patch, "%s{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/a/-\"}",
		           i ? "," : "");
	buf_str(&patch, "]");
	assert_int_equal(jvalue_parse(SLICE_LIT("{\"a\":[1]}"), &a, NULL, &doc, &err), 0);
	assert_int_equal(patch_read_json(buf_view(&patch), &a, &ops, &err), 0);
	assert_int_equal(patch_apply_json(doc, ops, &a, &result, &err), -ERR_INVALID);
}

static void test_too_many(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	_cleanup_buf_ struct buf patch = BUF_INIT;
	struct err err = ERR_INIT;
	struct jvalue *ops;

	buf_str(&patch, "[{}");
	for (int i = 0; i < PATCH_OPERATIONS_MAX; i++)
		buf_str(&patch, ",{}");
	buf_str(&patch, "]");
	assert_int_equal(patch_read_json(buf_view(&patch), &a, &ops, &err), -ERR_TOO_LARGE);
	assert_string_equal(err.text,
	                    "The allowed maximum operations in a JSON patch is 10000, got 10001");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_json),      cmocka_unit_test(test_merge),
	    cmocka_unit_test(test_strategic), cmocka_unit_test(test_copy_bomb),
	    cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
