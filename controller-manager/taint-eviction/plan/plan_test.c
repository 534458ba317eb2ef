/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/taint-eviction/plan/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define TEXT(s) ((char *)(uintptr_t)(s))

enum { NOW = 1000, FOREVER = -1, NONE = -2 };

struct row {
	const char *effect; /* of the taint "k=v", which came 10 s ago */
	const char *key, *operator_, *value, *tolerated_effect;
	int64_t seconds; /* NONE: no toleration at all */
	int64_t want;
};

static const struct row rows[] = {
    {"NoSchedule", "", "", "", "", NONE, TAINT_STAY},
    {"NoExecute", "", "", "", "", NONE, NOW - 10},
    {"NoExecute", "k", "Exists", "", "NoExecute", FOREVER, TAINT_STAY},
    {"NoExecute", "k", "Exists", "", "NoExecute", 300, NOW + 290},
    {"NoExecute", "k", "Exists", "", "NoExecute", -5, NOW - 10},
    {"NoExecute", "k", "Exists", "", "NoSchedule", FOREVER, NOW - 10},
    {"NoExecute", "", "Exists", "", "", FOREVER, TAINT_STAY},
    {"NoExecute", "k", "", "v", "", 30, NOW + 20},
    {"NoExecute", "k", "Equal", "w", "", FOREVER, NOW - 10},
    {"NoExecute", "l", "Exists", "", "", FOREVER, NOW - 10},
};

static void test_rows(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct row *r = &rows[i];
		MetaV1__Time time = META_V1__TIME__INIT;
		CoreV1__Taint taint = CORE_V1__TAINT__INIT, *taints = &taint;
		CoreV1__NodeSpec node_spec = CORE_V1__NODE_SPEC__INIT;
		CoreV1__Node node = CORE_V1__NODE__INIT;
		CoreV1__Toleration tol = CORE_V1__TOLERATION__INIT, *tols = &tol;
		CoreV1__PodSpec pod_spec = CORE_V1__POD_SPEC__INIT;
		CoreV1__Pod pod = CORE_V1__POD__INIT;
		time.seconds = NOW - 10;
		taint.key = TEXT("k");
		taint.value = TEXT("v");
		taint.effect = TEXT(r->effect);
		taint.time_added = &time;
		node_spec.n_taints = 1;
		node_spec.taints = &taints;
		node.spec = &node_spec;
		tol.key = TEXT(r->key);
		tol.operator_ = TEXT(r->operator_);
		tol.value = TEXT(r->value);
		tol.effect = TEXT(r->tolerated_effect);
		tol.has_toleration_seconds = r->seconds != FOREVER;
		tol.toleration_seconds = r->seconds;
		pod_spec.n_tolerations = r->seconds != NONE;
		pod_spec.tolerations = &tols;
		pod.spec = &pod_spec;
		assert_int_equal(taint_eviction_at(&node, &pod, NOW), r->want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
