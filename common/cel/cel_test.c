/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions and what they come to: testdata/eval.txt, a line each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/cel/cel.h"

enum { FILE_MAX_BYTES = 1 << 16 };

static struct arena arena;
static struct cel_value object;

static const struct cel_field FIELDS[] = {{"name", &cel_string}};
static const struct cel_type TYPED = {
    .kind = CEL_OBJECT, .name = "test.Typed", .fields = FIELDS, .n_fields = 1};
static const struct cel_variable VARIABLES[] = {{"object", &cel_dyn}, {"typed", &TYPED}};
static const struct cel_env ENV = {VARIABLES, ARRAY_LEN(VARIABLES)};

static bool find(void *arg, const char *name, struct cel_value *ret)
{
	static const char *const NAMES[] = {"name"};
	struct cel_value n = cel_of_str("n");

	if (!strcmp(name, "object"))
		*ret = object;
	else
		*ret = cel_of_members(NAMES, arena_memdup(&arena, &n, sizeof(n)), 1, &arena);
	return true;
}

static char *read_file(const char *name)
{
	const char *folder = getenv("TESTDATA");
	char *text = arena_zalloc(&arena, FILE_MAX_BYTES);
	FILE *f = fopen(arena_printf(&arena, "%s/%s", folder ? folder : "testdata", name), "r");

	assert_non_null(f);
	assert_true(fread(text, 1, FILE_MAX_BYTES - 1, f) > 0);
	fclose(f);
	return text;
}

static struct cel_value evaluate(const char *text, uint64_t limit, uint64_t *ret_cost)
{
	const struct cel_program *p;
	const char *why;
	struct cel_run run = {.arena = &arena, .find = find, .cost_limit = limit};

	if (cel_compile(&ENV, text, &arena, &p, &why) < 0)
		fail_msg("%s: %s", text, why);
	struct cel_value v = cel_eval(p, &run);
	if (ret_cost)
		*ret_cost = run.cost;
	return v;
}

static void check_line(const char *text, const char *want)
{
	const struct cel_program *p;
	const char *why;
	struct cel_run run = {.arena = &arena, .find = find, .cost_limit = CEL_CALL_LIMIT};
	struct err err = ERR_INIT;
	struct jvalue *expected;

	if (cel_compile(&ENV, text, &arena, &p, &why) < 0) {
		size_t n = strcspn(why, "\n");
		if (strncmp(want, "! ", 2) || strlen(want + 2) != n || strncmp(want + 2, why, n))
			fail_msg("%s\n  gave  ! %s\n  want %s", text, why, want);
		return;
	}
	struct cel_value v = cel_eval(p, &run);
	if (v.kind == CEL_ERROR) {
		const char *got = arena_printf(&arena, "error: %.*s", SLICE_FMT(v.s));
		if (strcmp(got, want))
			fail_msg("%s\n  gave %s\n  want %s", text, got, want);
		return;
	}
	if (jvalue_parse(slice_str(want), &arena, NULL, &expected, &err) < 0)
		fail_msg("%s\n  gave a value\n  want %s", text, want);
	struct jvalue *got = cel_to_tree(v, &arena);
	if (!got || !jvalue_equal(got, expected)) {
		struct buf out = BUF_INIT;
		if (got)
			jvalue_write(got, &out);
		fail_msg("%s\n  gave %.*s\n  want %s", text, SLICE_FMT(buf_view(&out)), want);
	}
}

static void test_lines(void **state)
{
	char *text = read_file("eval.txt");
	size_t n = 0;

	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char *arrow = strstr(line, " => ");
		if (line[0] == '#')
			continue;
		assert_non_null(arrow);
		*arrow = '\0';
		check_line(line, arrow + 4);
		n++;
	}
	assert_true(n > 100);
}

/* Nested macros and growing texts are stopped by their cost, not by the machine. */
static void test_cost(void **state)
{
	static const char *const EXPENSIVE[] = {
	    "[0,1,2,3,4,5,6,7,8,9].all(a, [0,1,2,3,4,5,6,7,8,9].all(b, "
	    "[0,1,2,3,4,5,6,7,8,9].all(c, "
	    "[0,1,2,3,4,5,6,7,8,9].all(d, [0,1,2,3,4,5,6,7,8,9].all(e, a + b + c + d + e >= 0)))))",
	    "[0,1,2,3,4,5,6,7,8,9].map(a, [0,1,2,3,4,5,6,7,8,9].map(b, "
	    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'.replace('', "
	    "'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb').replace('', "
	    "'cccccccccccccccccccc'))).size() > 0",
	};
	uint64_t cost;

	for (size_t i = 0; i < ARRAY_LEN(EXPENSIVE); i++) {
		struct cel_value v = evaluate(EXPENSIVE[i], 50000, &cost);
		assert_int_equal(v.kind, CEL_ERROR);
		assert_string_equal((const char *)v.s.data,
		                    "operation cancelled: actual cost limit exceeded");
	}
	assert_int_equal(evaluate("1 + 1", 50000, &cost).i, 2);
	assert_true(cost > 0 && cost < 10);
}

/* Nesting that would exhaust the stack is refused. */
static void test_depth(void **state)
{
	static const char *const PARTS[] = {"(", "[", "!", "-", "1+", "a.", "f(", "{1:", "true?"};
	const struct cel_program *p;
	const char *why;

	for (size_t i = 0; i < ARRAY_LEN(PARTS); i++) {
		size_t len = strlen(PARTS[i]), n = 90000 / len;
		char *text = arena_alloc(&arena, n * len + 2);
		for (size_t k = 0; k < n; k++)
			memcpy(text + k * len, PARTS[i], len);
		memcpy(text + n * len, "1", 2);
		int r = cel_compile(&ENV, text, &arena, &p, &why);
		/* Signs in a row are one operator. */
		assert_true(r < 0 || PARTS[i][1] == '\0');
	}
}

static void test_uses(void **state)
{
	const struct cel_program *p;
	const char *why;

	assert_int_equal(cel_compile(&ENV, "[1].all(x, x < object.n)", &arena, &p, &why), 0);
	assert_true(cel_program_uses(p, "object"));
	assert_false(cel_program_uses(p, "typed"));
	assert_int_equal(cel_program_type(p)->kind, CEL_BOOL);
}

static int setup(void **state)
{
	struct err err = ERR_INIT;
	struct jvalue *tree;

	arena_init(&arena);
	assert_int_equal(
	    jvalue_parse(slice_str(read_file("object.json")), &arena, NULL, &tree, &err), 0);
	object = cel_of_value(value_of_tree(tree, &arena), &arena);
	return 0;
}

static int teardown(void **state)
{
	arena_deinit(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_cost),
	    cmocka_unit_test(test_depth),
	    cmocka_unit_test(test_uses),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
