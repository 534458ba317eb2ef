/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions: compiled, and what compiles is evaluated with a small budget. */
#include "common/cel/cel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool find(void *arg, const char *name, struct cel_value *ret)
{
	*ret = *(struct cel_value *)arg;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char OBJECT[] = "{\"metadata\":{\"name\":\"a\",\"labels\":{\"k\":\"v\"}},"
	                             "\"spec\":{\"n\":3,\"l\":[1,\"b\",{}]}}";
	static const struct cel_variable VARIABLES[] = {{"object", &cel_dyn}, {"s", &cel_string}};
	static const struct cel_env ENV = {VARIABLES, ARRAY_LEN(VARIABLES)};
	_cleanup_arena_ struct arena a = {0};
	const struct cel_program *p;
	struct jvalue *tree;
	const char *why;
	struct err err = ERR_INIT;

	if (jvalue_parse(slice_str(OBJECT), &a, NULL, &tree, &err) < 0)
		abort();
	struct cel_value object = cel_of_value(value_of_tree(tree, &a), &a);
	struct cel_run run = {.arena = &a, .find = find, .arg = &object, .cost_limit = 10000};
	if (cel_compile(&ENV, arena_strndup(&a, data, size), &a, &p, &why) == 0)
		cel_to_tree(cel_eval(p, &run), &a);
	return 0;
}
