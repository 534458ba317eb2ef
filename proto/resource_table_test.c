/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "proto/resource_table.h"
#include "proto/schema_messages.h"

static void test_lookup(void **state)
{
	const struct resource_info *r = resource_find("", "v1", "pods", NULL);

	assert_non_null(r);
	assert_string_equal(r->kind, "Pod");
	assert_string_equal(r->list_kind, "PodList");
	assert_ptr_equal(r->schema, &core_v1__pod_schema);
	assert_ptr_equal(r->list_schema, &core_v1__pod_list_schema);
	assert_string_equal(r->short_names[0], "po");
	assert_null(r->short_names[1]);
	assert_string_equal(r->categories[0], "all");
	assert_string_equal(r->storage_prefix, "/registry/pods");
	assert_true(r->namespaced);
	assert_null(resource_find("", "v1", "pod", ""));
	assert_null(resource_find("apps", "v1", "pods", ""));
	assert_ptr_equal(resource_by_kind("", "v1", "Pod"), r);
	assert_null(resource_by_kind("", "v1", "Scale"));
	assert_int_equal(resource_verb("watch"), RESOURCE_WATCH);
	assert_int_equal(resource_verb("fly"), 0);
}

static void test_foreign_kinds(void **state)
{
	const struct resource_info *r = resource_find("apps", "v1", "deployments", "scale");

	assert_string_equal(r->kind_group, "autoscaling");
	assert_ptr_equal(r->schema, &autoscaling_v1__scale_schema);
	assert_string_equal(r->parent->kind, "Deployment");
	assert_null(r->storage_prefix);
	assert_int_equal(r->verbs, RESOURCE_GET | RESOURCE_PATCH | RESOURCE_UPDATE);
	r = resource_find("", "v1", "pods", "eviction");
	assert_ptr_equal(r->schema, &policy_v1__eviction_schema);
	r = resource_find("", "v1", "serviceaccounts", "token");
	assert_ptr_equal(r->schema, &authentication_v1__token_request_schema);
}

static void test_storage(void **state)
{
	static const struct {
		const char *group, *version, *resource, *prefix, *storage_group, *storage_version,
		    *hash;
		bool json;
	} cases[] = {
	    {"apps", "v1", "deployments", "/registry/deployments", "apps", "v1",
	     "8aSe+NMegvE=", false},
	    {"autoscaling", "v1", "horizontalpodautoscalers", "/registry/horizontalpodautoscalers",
	     "autoscaling", "v2", "qwQve8ut294=", false},
	    {"events.k8s.io", "v1", "events", "/registry/events", "", "v1", "r2yiGXH7wu8=", false},
	    {"", "v1", "services", "/registry/services/specs", "", "v1", NULL, false},
	    {"", "v1", "endpoints", "/registry/services/endpoints", "", "v1", NULL, false},
	    {"", "v1", "nodes", "/registry/minions", "", "v1", NULL, false},
	    {"admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies",
	     "/registry/mutatingadmissionpolicies", "admissionregistration.k8s.io", "v1beta1",
	     "LYmCf+UMVdg=", false},
	    {"apiextensions.k8s.io", "v1", "customresourcedefinitions",
	     "/registry/apiextensions.k8s.io/customresourcedefinitions", "apiextensions.k8s.io",
	     "v1beta1", "jfWCUB31mvA=", true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct resource_info *r =
		    resource_find(cases[i].group, cases[i].version, cases[i].resource, "");
		assert_non_null(r);
		assert_string_equal(r->storage_prefix, cases[i].prefix);
		assert_string_equal(r->storage_group, cases[i].storage_group);
		assert_string_equal(r->storage_version, cases[i].storage_version);
		if (cases[i].hash)
			assert_string_equal(r->storage_version_hash, cases[i].hash);
		assert_int_equal(r->storage_json, cases[i].json);
		assert_non_null(r->storage_schema);
	}
	assert_ptr_equal(resource_find("events.k8s.io", "v1", "events", "")->storage_schema,
	                 &core_v1__event_schema);
	assert_ptr_equal(
	    resource_find("autoscaling", "v1", "horizontalpodautoscalers", "")->storage_schema,
	    &autoscaling_v2__horizontal_pod_autoscaler_schema);
}

/* What holds for every row. */
static void test_all(void **state)
{
	assert_int_equal(resource_n, 113);
	assert_int_equal(resource_n_groups, 21);
	assert_string_equal(resource_groups[0].name, "");
	for (size_t i = 0; i < resource_n; i++) {
		const struct resource_info *r = &resource_table[i];
		assert_ptr_equal(resource_find(r->group, r->version, r->resource, r->subresource),
		                 r);
		assert_string_equal(r->schema->kind, r->kind);
		assert_int_equal(!!r->parent, r->subresource[0] != '\0');
		assert_int_equal(!!r->list_schema, !!(r->verbs & RESOURCE_LIST));
		/* What is listed is stored, but for component statuses. */
		if (strcmp(r->resource, "componentstatuses") != 0)
			assert_int_equal(!!r->list_schema, !!r->storage_prefix);
		if (r->list_schema)
			assert_ptr_equal(r->list_schema->items->message, r->schema);
		if (r->parent)
			assert_int_equal(r->parent->namespaced, r->namespaced);
	}
}

static void test_columns(void **state)
{
	const struct table_columns *c = table_columns_of("Pod");

	assert_int_equal(c->n_columns, 9);
	assert_string_equal(c->columns[0].format, "name");
	assert_string_equal(c->columns[5].name, "IP");
	assert_int_equal(c->columns[5].priority, 1);
	assert_ptr_equal(resource_find("", "v1", "pods", "")->columns, c);
	c = table_columns_of("LimitRange");
	assert_ptr_equal(c, &table_columns_default);
	assert_string_equal(c->columns[1].type, "date");
	for (size_t i = 0; i < table_columns_n; i++)
		assert_ptr_equal(table_columns_of(table_columns_all[i].kind),
		                 &table_columns_all[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lookup),  cmocka_unit_test(test_foreign_kinds),
	    cmocka_unit_test(test_storage), cmocka_unit_test(test_all),
	    cmocka_unit_test(test_columns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
