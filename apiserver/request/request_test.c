/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "apiserver/request/request_info.h"
#include "apiserver/request/status.h"

static void fill(struct request *r, struct arena *a, const char *method, const char *target)
{
	const char *mark = strchr(target, '?');

	*r = (struct request){.arena = a, .method = method};
	r->path = mark ? arena_strndup(a, target, (size_t)(mark - target)) : target;
	request_parse_query(r, slice_str(mark ? mark + 1 : ""));
	request_info_parse(r);
}

/* Paths from upstream's documentation of RequestInfo and from the shapes that clients use. */
static void test_paths(void **state)
{
	static const struct {
		const char *method, *target;
		bool is_resource;
		const char *verb, *group, *version, *ns, *resource, *subresource, *name;
	} cases[] = {
	    {"GET", "/api/v1/namespaces", true, "list", "", "v1", "", "namespaces", "", ""},
	    {"GET", "/api/v1/namespaces/other", true, "get", "", "v1", "other", "namespaces", "",
	     "other"},
	    {"PUT", "/api/v1/namespaces/other/finalize", true, "update", "", "v1", "other",
	     "namespaces", "finalize", "other"},
	    {"GET", "/api/v1/namespaces/other/pods", true, "list", "", "v1", "other", "pods", "",
	     ""},
	    {"GET", "/api/v1/namespaces/other/pods/foo", true, "get", "", "v1", "other", "pods", "",
	     "foo"},
	    {"HEAD", "/api/v1/namespaces/other/pods/foo", true, "get", "", "v1", "other", "pods",
	     "", "foo"},
	    {"GET", "/api/v1/pods", true, "list", "", "v1", "", "pods", "", ""},
	    {"GET", "/api/v1/pods?watch=true", true, "watch", "", "v1", "", "pods", "", ""},
	    {"GET", "/api/v1/pods?watch=false", true, "list", "", "v1", "", "pods", "", ""},
	    {"GET", "/api/v1/pods?watch", true, "watch", "", "v1", "", "pods", "", ""},
	    {"GET", "/api/v1/watch/pods", true, "watch", "", "v1", "", "pods", "", ""},
	    {"GET", "/api/v1/watch/namespaces/other/pods", true, "watch", "", "v1", "other", "pods",
	     "", ""},
	    {"GET", "/api/v1/watch/namespaces/other/pods/foo", true, "watch", "", "v1", "other",
	     "pods", "", "foo"},
	    {"GET", "/api/v1/namespaces/n/pods?fieldSelector=metadata.name%3Dfoo", true, "list", "",
	     "v1", "n", "pods", "", "foo"},
	    {"GET", "/api/v1/namespaces/n/pods?fieldSelector=metadata.name%3Da%2Fb", true, "list",
	     "", "v1", "n", "pods", "", ""},
	    {"POST", "/api/v1/namespaces/n/pods/p/binding", true, "create", "", "v1", "n", "pods",
	     "binding", "p"},
	    {"POST", "/api/v1/namespaces/n/pods", true, "create", "", "v1", "n", "pods", "", ""},
	    {"PATCH", "/api/v1/namespaces/n/pods/p", true, "patch", "", "v1", "n", "pods", "", "p"},
	    {"DELETE", "/api/v1/namespaces/n/pods/p", true, "delete", "", "v1", "n", "pods", "",
	     "p"},
	    {"DELETE", "/api/v1/namespaces/n/pods", true, "deletecollection", "", "v1", "n", "pods",
	     "", ""},
	    {"GET", "/apis/apps/v1/namespaces/n/deployments/d/scale", true, "get", "apps", "v1",
	     "n", "deployments", "scale", "d"},
	    {"GET", "/apis/apps/v1/deployments/", true, "list", "apps", "v1", "", "deployments", "",
	     ""},
	    {"OPTIONS", "/api/v1/pods", true, "", "", "v1", "", "pods", "", ""},
	    {"GET", "/", false, "get", "", "", "", "", "", ""},
	    {"GET", "/api", false, "get", "", "", "", "", "", ""},
	    {"GET", "/api/v1", false, "get", "", "", "", "", "", ""},
	    {"GET", "/apis/apps/v1", false, "get", "", "", "", "", "", ""},
	    {"POST", "/healthz", false, "post", "", "", "", "", "", ""},
	    {"GET", "/version", false, "get", "", "", "", "", "", ""},
	    {"GET", "/logs/a/b/c", false, "get", "", "", "", "", "", ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_arena_ struct arena a;
		struct request r;
		arena_init(&a);
		fill(&r, &a, cases[i].method, cases[i].target);
		print_message("%s %s\n", cases[i].method, cases[i].target);
		assert_int_equal(r.is_resource, cases[i].is_resource);
		assert_string_equal(r.verb_name, cases[i].verb);
		assert_string_equal(r.group, cases[i].group);
		assert_string_equal(r.version, cases[i].version);
		assert_string_equal(r.ns, cases[i].ns);
		assert_string_equal(r.resource, cases[i].resource);
		assert_string_equal(r.subresource, cases[i].subresource);
		assert_string_equal(r.name, cases[i].name);
	}
}

static void test_query(void **state)
{
	_cleanup_arena_ struct arena a;
	struct request r = {0};

	arena_init(&a);
	r.arena = &a;
	request_parse_query(&r,
	                    SLICE_LIT("a=1&b=x+y%2Fz&c&&bad=%zz&cut=%2&a=2&semi;=1&=v&nul=%00"));
	assert_string_equal(request_query(&r, "a"), "1");
	assert_string_equal(request_query(&r, "b"), "x y/z");
	assert_string_equal(request_query(&r, "c"), "");
	assert_null(request_query(&r, "bad"));
	assert_null(request_query(&r, "cut"));
	assert_string_equal(request_query(&r, "nul"), "\xef\xbf\xbd");
	assert_string_equal(request_query(&r, ""), "v");
	assert_true(request_query_bool(&r, "a"));
	assert_true(request_query_bool(&r, "c"));
	assert_false(request_query_bool(&r, "none"));
}

static void test_options(void **state)
{
	static const struct {
		const char *method, *target;
		enum media_type body_type;
		int code;
		const char *text; /* how the message begins; NULL: no fault */
	} cases[] = {
	    {"GET", "/api/v1/pods?limit=5&timeoutSeconds=-3", MEDIA_NONE, 0, NULL},
	    {"GET", "/api/v1/pods?limit=x", MEDIA_NONE, 400,
	     "strconv.ParseInt: parsing \"x\": invalid syntax"},
	    {"GET", "/api/v1/pods?limit=", MEDIA_NONE, 400,
	     "strconv.ParseInt: parsing \"\": invalid syntax"},
	    {"GET", "/api/v1/pods?limit=99999999999999999999", MEDIA_NONE, 400,
	     "strconv.ParseInt: parsing \"99999999999999999999\": value out of range"},
	    {"GET", "/api/v1/pods?resourceVersionMatch=Exact", MEDIA_NONE, 422,
	     "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "},
	    {"GET", "/api/v1/pods?resourceVersionMatch=Exact&resourceVersion=0", MEDIA_NONE, 422,
	     "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
	     "resourceVersionMatch \"exact\""},
	    {"GET", "/api/v1/pods?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
	     MEDIA_NONE, 0, NULL},
	    {"GET", "/api/v1/pods?watch=1&sendInitialEvents=true", MEDIA_NONE, 422,
	     "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
	     "sendInitialEvents requires"},
	    {"POST", "/api/v1/namespaces/n/pods?dryRun=All&fieldValidation=Strict", MEDIA_NONE, 0,
	     NULL},
	    {"POST", "/api/v1/namespaces/n/pods?dryRun=Some", MEDIA_NONE, 422,
	     "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: "
	     "supported values: \"All\""},
	    {"PATCH", "/api/v1/namespaces/n/pods/p", MEDIA_APPLY_YAML, 422,
	     "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required "
	     "for apply patch"},
	    {"PATCH", "/api/v1/namespaces/n/pods/p?force=true", MEDIA_MERGE_PATCH, 422,
	     "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: "},
	    {"DELETE", "/api/v1/namespaces/n/pods/p?propagationPolicy=Sideways", MEDIA_NONE, 422,
	     "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: "
	     "\"Sideways\""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_arena_ struct arena a;
		struct request r;
		arena_init(&a);
		fill(&r, &a, cases[i].method, cases[i].target);
		r.body_type = cases[i].body_type;
		const struct status *fault = request_options_parse(&r);
		if (!cases[i].text) {
			assert_null(fault);
			continue;
		}
		assert_non_null(fault);
		assert_int_equal(fault->code, cases[i].code);
		assert_memory_equal(fault->message, cases[i].text, strlen(cases[i].text));
	}
}

static void test_status_forms(void **state)
{
	_cleanup_arena_ struct arena a;
	_cleanup_buf_ struct buf json = BUF_INIT, yaml = BUF_INIT, pb = BUF_INIT;

	arena_init(&a);
	const struct status *s = status_not_found(&a, "apps", "deployments", "web");
	status_encode(s, MEDIA_JSON, false, &json);
	assert_string_equal(
	    (char *)json.data,
	    "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
	    "\"message\":\"deployments.apps \\\"web\\\" not found\",\"reason\":\"NotFound\","
	    "\"details\":{\"name\":\"web\",\"group\":\"apps\",\"kind\":\"deployments\"},"
	    "\"code\":404}\n");
	status_encode(s, MEDIA_YAML, false, &yaml);
	assert_non_null(strstr((char *)yaml.data, "\ncode: 404\n"));
	status_encode(s, MEDIA_PROTOBUF, false, &pb);
	assert_memory_equal(pb.data, "k8s\0", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_paths),
	    cmocka_unit_test(test_query),
	    cmocka_unit_test(test_options),
	    cmocka_unit_test(test_status_forms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
