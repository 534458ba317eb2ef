/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/namespace/plan/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "proto/pb_decode.h"
#include "proto/schema_messages.h"

static CoreV1__Namespace *terminating(struct arena *a)
{
	static const char *const finalizers[] = {"mine", NAMESPACE_FINALIZER};
	CoreV1__Namespace *ns = (CoreV1__Namespace *)pb_new(&core_v1__namespace_schema, a);
	ns->spec->n_finalizers = 2;
	ns->spec->finalizers = arena_memdup(a, finalizers, sizeof(finalizers));
	return ns;
}

static const CoreV1__NamespaceCondition *condition(const struct namespace_plan *p, const char *type)
{
	for (size_t i = 0; i < p->status->n_conditions; i++)
		if (!strcmp(p->status->conditions[i]->type, type))
			return p->status->conditions[i];
	fail_msg("no condition %s", type);
	return NULL;
}

static void test_content_remains(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	CoreV1__Namespace *ns = terminating(&a);
	const struct namespace_content content[] = {
	    {"", "pods", 3, NULL}, {"apps", "deployments", 0, "no"}, {"", "configmaps", 1, NULL}};
	const char *const finalizers[] = {"z/z", "a/a"};
	const size_t counts[] = {1, 2};
	struct namespace_input in = {.ns = ns,
	                             .content = content,
	                             .n_content = 3,
	                             .finalizers = finalizers,
	                             .finalizer_counts = counts,
	                             .n_finalizers = 2,
	                             .now_s = 5};
	struct namespace_plan p;
	namespace_plan(&in, &a, &p);
	assert_false(p.finalize);
	assert_true(p.status_differs);
	assert_string_equal(condition(&p, "NamespaceContentRemaining")->message,
	                    "Some resources are remaining: configmaps. has 1 resource instances, "
	                    "pods. has 3 resource instances");
	assert_string_equal(condition(&p, "NamespaceFinalizersRemaining")->message,
	                    "Some content in the namespace has finalizers remaining: a/a in 2 "
	                    "resource instances, z/z in 1 resource instances");
	assert_string_equal(condition(&p, "NamespaceDeletionContentFailure")->message,
	                    "Failed to delete all resource types, 1 remaining: no");
	assert_string_equal(condition(&p, "NamespaceDeletionDiscoveryFailure")->status, "False");
	/* The same again is nothing new. */
	ns->status = p.status;
	namespace_plan(&in, &a, &p);
	assert_false(p.status_differs);
}

static void test_empty(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	const struct namespace_content content[] = {{"", "pods", 0, NULL}};
	struct namespace_input in = {.ns = terminating(&a), .content = content, .n_content = 1};
	struct namespace_plan p;
	namespace_plan(&in, &a, &p);
	assert_true(p.finalize);
	assert_int_equal(p.spec->n_finalizers, 1);
	assert_string_equal(p.spec->finalizers[0], "mine");
	assert_int_equal(in.ns->spec->n_finalizers, 2);
	assert_string_equal(condition(&p, "NamespaceContentRemaining")->reason, "ContentRemoved");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_content_remains),
	                                   cmocka_unit_test(test_empty)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
