/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "apiserver/discovery/discovery.h"
#include "apiserver/http/negotiate.h"
#include "apiserver/request/status.h"
#include "proto/resource_table.h"

struct negotiation {
	const char *method, *accept, *content_type, *query;
	enum request_verb verb;
	int fault; /* HTTP; 0: none */
	enum media_type format;
	enum accept_as as;
};

static void run(const struct negotiation *n, struct arena *a, struct request *r,
                const struct status **fault)
{
	struct request_pair *headers = arena_array(a, struct request_pair, 2);
	struct request_pair *query = arena_array(a, struct request_pair, 1);

	*r = (struct request){.arena = a,
	                      .method = n->method,
	                      .verb = n->verb,
	                      .is_resource = true,
	                      .subresource = "",
	                      .user_agent = "test",
	                      .headers = headers,
	                      .query = query};
	if (n->accept)
		headers[r->n_headers++] = (struct request_pair){"accept", n->accept};
	if (n->content_type)
		headers[r->n_headers++] = (struct request_pair){"content-type", n->content_type};
	if (n->query)
		query[r->n_query++] = (struct request_pair){"pretty", n->query};
	*fault = negotiate(r, false, 3 << 20);
}

static void test_negotiate(void **state)
{
	static const struct negotiation cases[] = {
	    {"GET", NULL, NULL, NULL, VERB_GET, 0, MEDIA_JSON, AS_OBJECT},
	    {"GET", "*/*", NULL, NULL, VERB_GET, 0, MEDIA_JSON, AS_OBJECT},
	    {"GET", "*", NULL, NULL, VERB_GET, 0, MEDIA_JSON, AS_OBJECT},
	    {"GET", "application/*", NULL, NULL, VERB_GET, 406, MEDIA_JSON, AS_OBJECT},
	    {"GET", "text/html", NULL, NULL, VERB_GET, 406, MEDIA_JSON, AS_OBJECT},
	    {"GET", "text/html,application/yaml", NULL, NULL, VERB_GET, 0, MEDIA_YAML, AS_OBJECT},
	    {"GET", "application/yaml;q=0.1,application/json;q=0.9", NULL, NULL, VERB_GET, 0,
	     MEDIA_JSON, AS_OBJECT},
	    {"GET", "application/vnd.kubernetes.protobuf,application/json", NULL, NULL, VERB_GET, 0,
	     MEDIA_PROTOBUF, AS_OBJECT},
	    {"GET", "application/json;charset=utf-8", NULL, NULL, VERB_GET, 0, MEDIA_JSON,
	     AS_OBJECT},
	    {"GET", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", NULL, NULL,
	     VERB_LIST, 0, MEDIA_JSON, AS_TABLE},
	    {"GET", "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io", NULL, NULL,
	     VERB_LIST, 406, MEDIA_JSON, AS_OBJECT},
	    {"GET", "application/json;as=Nope;v=v1;g=meta.k8s.io", NULL, NULL, VERB_LIST, 406,
	     MEDIA_JSON, AS_OBJECT},
	    {"GET", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", NULL, NULL,
	     VERB_LIST, 406, MEDIA_JSON, AS_PARTIAL_METADATA},
	    {"GET", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", NULL, NULL,
	     VERB_LIST, 0, MEDIA_JSON, AS_PARTIAL_METADATA_LIST},
	    {"GET", "application/json;stream=watch", NULL, NULL, VERB_WATCH, 0, MEDIA_JSON,
	     AS_OBJECT},
	    {"GET", "application/json;stream=other", NULL, NULL, VERB_WATCH, 406, MEDIA_JSON,
	     AS_OBJECT},
	    {"GET", "application/yaml", NULL, NULL, VERB_WATCH, 406, MEDIA_YAML, AS_OBJECT},
	    {"POST", NULL, "application/json; charset=utf-8", NULL, VERB_CREATE, 0, MEDIA_JSON,
	     AS_OBJECT},
	    {"POST", NULL, "application/xml", NULL, VERB_CREATE, 415, MEDIA_JSON, AS_OBJECT},
	    {"POST", NULL, "application/merge-patch+json", NULL, VERB_CREATE, 415, MEDIA_JSON,
	     AS_OBJECT},
	    {"POST", NULL, NULL, NULL, VERB_CREATE, 0, MEDIA_JSON, AS_OBJECT},
	    {"PATCH", NULL, "application/merge-patch+json", NULL, VERB_PATCH, 0, MEDIA_JSON,
	     AS_OBJECT},
	    {"PATCH", NULL, "application/json", NULL, VERB_PATCH, 415, MEDIA_JSON, AS_OBJECT},
	    {"PATCH", NULL, NULL, NULL, VERB_PATCH, 415, MEDIA_JSON, AS_OBJECT},
	    {"HEAD", NULL, NULL, NULL, VERB_GET, 405, MEDIA_JSON, AS_OBJECT},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_arena_ struct arena a;
		const struct status *fault;
		struct request r;

		arena_init(&a);
		run(&cases[i], &a, &r, &fault);
		print_message("%zu: %s\n", i, cases[i].accept ? cases[i].accept : "");
		assert_int_equal(fault ? fault->code : 0, cases[i].fault);
		assert_int_equal(r.accept.format, cases[i].format);
		assert_int_equal(r.accept.as, cases[i].as);
	}
}

static void test_pretty(void **state)
{
	static const struct {
		const char *query;
		bool pretty;
	} cases[] = {{NULL, false}, {"", false}, {"1", true}, {"true", true}, {"no", false}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_arena_ struct arena a;
		const struct status *fault;
		struct negotiation n = {.method = "GET", .verb = VERB_GET, .query = cases[i].query};
		struct request r;

		arena_init(&a);
		run(&n, &a, &r, &fault);
		assert_int_equal(r.accept.pretty, cases[i].pretty);
	}
}

/* Every row of the resource table is in both forms of discovery, once. */
static void test_discovery_is_whole(void **state)
{
	_cleanup_arena_ struct arena a;
	size_t listed = 0, aggregated = 0;

	arena_init(&a);
	for (size_t g = 0; g < resource_n_groups; g++) {
		const struct resource_group *group = &resource_groups[g];
		for (size_t v = 0; group->versions[v]; v++)
			listed +=
			    discovery_resources(&a, group->name, group->versions[v])->n_resources;
	}
	for (int core = 0; core < 2; core++) {
		const ApidiscoveryV2__APIGroupDiscoveryList *list =
		    discovery_aggregated(&a, core, NULL);
		assert_int_equal(list->n_items, core ? 1 : resource_n_groups - 1);
		for (size_t i = 0; i < list->n_items; i++) {
			for (size_t v = 0; v < list->items[i]->n_versions; v++) {
				const ApidiscoveryV2__APIVersionDiscovery *version =
				    list->items[i]->versions[v];
				aggregated += version->n_resources;
				for (size_t k = 0; k < version->n_resources; k++)
					aggregated += version->resources[k]->n_subresources;
			}
		}
	}
	assert_int_equal(listed, resource_n);
	assert_int_equal(aggregated, resource_n);
	assert_int_equal(discovery_groups(&a, NULL)->n_groups, resource_n_groups - 1);
	assert_null(discovery_group(&a, "nope.example"));
	assert_null(discovery_group(&a, ""));
	assert_null(discovery_resources(&a, "apps", "v9"));
	assert_string_equal(discovery_group(&a, "autoscaling")->preferred_version->version, "v2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_negotiate),
	    cmocka_unit_test(test_pretty),
	    cmocka_unit_test(test_discovery_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
