/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "apiserver/bootstrap/merge.h"
#include "apiserver/bootstrap/objects.h"
#include "proto/json_decode.h"
#include "proto/json_encode.h"
#include "proto/resource_table.h"

#define RBAC "rbac.authorization.k8s.io"
#define FLOW "flowcontrol.apiserver.k8s.io"

static struct arena arena;

static int setup(void **state)
{
	arena_init(&arena);
	return 0;
}

static int teardown(void **state)
{
	arena_deinit(&arena);
	return 0;
}

static struct object decode(const char *group, const char *resource, const char *json)
{
	const struct resource_info *res = resource_find(group, "v1", resource, "");
	struct err err = ERR_INIT;
	ProtobufCMessage *msg = NULL;

	assert_non_null(res);
	if (json_decode(res->schema, slice_str(json), &arena, NULL, &msg, NULL, &err) < 0)
		fail_msg("%s: %s", json, err.text);
	return object_of(res, res->schema, msg);
}

/* NULL: nothing was missing; else the object as it is then. */
static const char *merged(const char *group, const char *resource, const char *have_json,
                          const char *want_json)
{
	struct object have = decode(group, resource, have_json);
	struct object want = decode(group, resource, want_json);
	struct buf out = BUF_INIT;

	if (!bootstrap_merge(&have, &want, &arena))
		return NULL;
	/* Once merged, nothing is missing. */
	assert_false(bootstrap_merge(&have, &want, &arena));
	json_encode(have.schema, have.msg, NULL, &out);
	const char *text = arena_strndup(&arena, out.data, out.len);
	buf_deinit(&out);
	return text;
}

static void every_object_is_whole(void **state)
{
	assert_true(bootstrap_n_objects > 100);
	for (size_t i = 0; i < bootstrap_n_objects; i++) {
		const struct bootstrap_object *o = &bootstrap_objects[i];
		struct object obj = decode(o->group, o->resource, o->json);

		assert_string_equal(object_name(&obj), o->name);
		assert_string_equal(object_namespace(&obj), o->ns);
		assert_null(merged(o->group, o->resource, o->json, o->json));
	}
}

static void roles_gain_what_they_lack(void **state)
{
	static const char HAVE[] = "{\"metadata\":{\"name\":\"r\"},\"rules\":[{\"verbs\":[\"get\"],"
	                           "\"apiGroups\":[\"\"],\"resources\":[\"pods\",\"own\"]}]}";
	static const char WANT[] = "{\"metadata\":{\"name\":\"r\",\"labels\":{\"a\":\"b\"}},"
	                           "\"rules\":[{\"verbs\":[\"get\",\"list\"],\"apiGroups\":[\"\"],"
	                           "\"resources\":[\"pods\"]}]}";
	static const char PROTECTED[] =
	    "{\"metadata\":{\"name\":\"r\",\"annotations\":{\"rbac.authorization.kubernetes.io/"
	    "autoupdate\":\"false\"}}}";
	const char *text = merged(RBAC, "clusterroles", HAVE, WANT);

	assert_non_null(text);
	assert_non_null(strstr(text, "\"own\""));
	assert_non_null(strstr(text, "\"list\""));
	assert_non_null(strstr(text, "\"a\":\"b\""));
	assert_null(merged(RBAC, "clusterroles", PROTECTED, WANT));
	/* A wider rule covers what is wanted. */
	assert_null(merged(RBAC, "roles",
	                   "{\"metadata\":{\"name\":\"r\",\"labels\":{\"a\":\"x\"}},\"rules\":[{"
	                   "\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*\"]}]}",
	                   WANT));
}

static void bindings_gain_subjects(void **state)
{
	static const char HAVE[] =
	    "{\"metadata\":{\"name\":\"b\"},\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"r\"},"
	    "\"subjects\":[{\"kind\":\"User\",\"name\":\"own\"}]}";
	static const char WANT[] =
	    "{\"metadata\":{\"name\":\"b\"},\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"r\"},"
	    "\"subjects\":[{\"kind\":\"Group\",\"name\":\"g\"}]}";
	const char *text = merged(RBAC, "clusterrolebindings", HAVE, WANT);

	assert_non_null(text);
	assert_non_null(strstr(text, "\"own\""));
	assert_non_null(strstr(text, "\"g\""));
}

static void flow_control_follows_its_annotation(void **state)
{
	static const char WANT[] = "{\"metadata\":{\"name\":\"%s\"},\"spec\":{"
	                           "\"matchingPrecedence\":5,\"priorityLevelConfiguration\":{"
	                           "\"name\":\"exempt\"}}}";
	static const char HAVE[] = "{\"metadata\":{\"name\":\"%s\"%s},\"spec\":{"
	                           "\"matchingPrecedence\":6,\"priorityLevelConfiguration\":{"
	                           "\"name\":\"exempt\"}}}";
	static const char AUTO[] =
	    ",\"annotations\":{\"apf.kubernetes.io/autoupdate-spec\":\"true\"}";
	static const struct {
		const char *name, *annotation;
		bool changes;
	} CASES[] = {{"x", "", false}, {"x", AUTO, true}, {"exempt", "", true}};

	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		char *name = (char *)CASES[i].name;
		char *want = arena_strdup(&arena, WANT), *at = strstr(want, "%s");

		want = arena_printf(&arena, "%.*s%s%s", (int)(at - want), want, name, at + 2);
		char *have = arena_strdup(&arena, HAVE);
		at = strstr(have, "%s");
		char *second = strstr(at + 2, "%s");
		have =
		    arena_printf(&arena, "%.*s%s%.*s%s%s", (int)(at - have), have, name,
		                 (int)(second - at - 2), at + 2, CASES[i].annotation, second + 2);
		assert_int_equal(merged(FLOW, "flowschemas", have, want) != NULL, CASES[i].changes);
	}
}

static void priority_classes_are_left_alone(void **state)
{
	assert_null(merged("scheduling.k8s.io", "priorityclasses",
	                   "{\"metadata\":{\"name\":\"p\"},\"value\":1}",
	                   "{\"metadata\":{\"name\":\"p\"},\"value\":2}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(every_object_is_whole, setup, teardown),
	    cmocka_unit_test_setup_teardown(roles_gain_what_they_lack, setup, teardown),
	    cmocka_unit_test_setup_teardown(bindings_gain_subjects, setup, teardown),
	    cmocka_unit_test_setup_teardown(flow_control_follows_its_annotation, setup, teardown),
	    cmocka_unit_test_setup_teardown(priority_classes_are_left_alone, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
