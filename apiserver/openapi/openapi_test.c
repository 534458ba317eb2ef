/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "apiserver/openapi/openapi.h"
#include "common/codec/jvalue.h"

static struct arena arena;

static struct jvalue *parse(struct slice text)
{
	struct jvalue *v;
	struct err err = ERR_INIT;
	if (jvalue_parse(text, &arena, NULL, &v, &err))
		fail_msg("%s", err.text);
	return v;
}

static struct jvalue *document(const char *name)
{
	static struct buf text;
	const struct openapi_document *d = openapi_find(slice_str(name));
	assert_non_null(d);
	buf_clear(&text);
	openapi_text(d, &text);
	assert_int_equal(text.len, d->bytes);
	struct jvalue *v = parse(buf_view(&text));
	buf_deinit(&text);
	return v;
}

static struct jvalue *member(struct jvalue *v, const char *name)
{
	struct jvalue *m = jvalue_get(v, name);
	if (!m)
		fail_msg("no %s", name);
	return m;
}

static void test_documents(void **state)
{
	(void)state;
	arena_init(&arena);
	assert_null(openapi_find(SLICE_LIT("apis/nope/v1")));
	struct jvalue *core = document("api/v1");
	struct jvalue *schemas = member(member(core, "components"), "schemas");
	struct jvalue *port = member(schemas, "io.k8s.api.core.v1.ContainerPort");
	struct jvalue *protocol = member(member(port, "properties"), "protocol");
	assert_string_equal(member(protocol, "default")->str, "TCP");
	struct jvalue *patch = member(
	    member(member(core, "paths"), "/api/v1/namespaces/{namespace}/configmaps/{name}"),
	    "patch");
	assert_string_equal(member(patch, "operationId")->str, "patchCoreV1NamespacedConfigMap");
	struct jvalue *v2 = document("v2");
	assert_string_equal(member(v2, "swagger")->str, "2.0");
	member(member(v2, "definitions"), "io.k8s.api.apps.v1.Deployment");
	for (size_t i = 0; i < openapi_n_documents; i++)
		if (strcmp(openapi_documents[i].name, "v2.pb"))
			document(openapi_documents[i].name);
	arena_deinit(&arena);
}

static void test_index(void **state)
{
	(void)state;
	arena_init(&arena);
	_cleanup_buf_ struct buf b = BUF_INIT;
	openapi_index(&b);
	struct jvalue *paths = member(parse(buf_view(&b)), "paths");
	member(paths, "apis/apps/v1");
	member(paths, "api");
	arena_deinit(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_documents),
	                                   cmocka_unit_test(test_index)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
