/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "kubelet/static/manifest.h"

#define POD "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n"
#define ONE                                                                                       \
	POD "  - {name: a, image: 'x:1', resources: {limits: {cpu: 1}}, ports: [{containerPort: " \
	    "8}]}\n"

static struct arena arena;

static int parse(const char *text, const char *file, CoreV1__Pod **ret, struct err *err)
{
	*err = ERR_INIT;
	return manifest_parse(slice_str(text), file, "n1", "2026-01-01T00:00:00Z", &arena, ret,
	                      err);
}

static void a_pod(void **state)
{
	CoreV1__Pod *p, *other;
	struct err err;
	if (parse(ONE "  hostNetwork: true\n", "/m/a", &p, &err))
		fail_msg("%s", err.text);
	assert_string_equal(p->metadata->name, "web-n1");
	assert_string_equal(p->metadata->namespace_, "default");
	assert_string_equal(p->spec->node_name, "n1");
	assert_string_equal(p->spec->restart_policy, "Always");
	assert_int_equal(p->spec->termination_grace_period_seconds, 30);
	assert_string_equal(p->spec->containers[0]->image_pull_policy, "IfNotPresent");
	assert_int_equal(p->spec->containers[0]->resources->n_requests, 1);
	assert_int_equal(p->spec->containers[0]->ports[0]->host_port, 8);
	assert_string_equal(p->spec->tolerations[0]->effect, "NoExecute");
	assert_string_equal(pod_annotation(p, ANNOTATION_CONFIG_SOURCE), "file");
	assert_string_equal(pod_annotation(p, ANNOTATION_CONFIG_HASH), p->metadata->uid);
	assert_false(pod_is_mirror(p));
	/* The uid follows from the text and the place. */
	assert_int_equal(parse(ONE "  hostNetwork: true\n", "/m/a", &other, &err), 0);
	assert_string_equal(p->metadata->uid, other->metadata->uid);
	assert_int_equal(parse(ONE "  hostNetwork: true\n", "/m/b", &other, &err), 0);
	assert_string_not_equal(p->metadata->uid, other->metadata->uid);
	assert_int_equal(parse(ONE, "/m/a", &other, &err), 0);
	assert_string_not_equal(p->metadata->uid, other->metadata->uid);
}

static void a_mirror(void **state)
{
	CoreV1__Pod *p;
	struct err err;
	assert_int_equal(parse(ONE, "/m/a", &p, &err), 0);
	CoreV1__Pod *m = manifest_mirror(p, "n1", "node-uid", &arena);
	assert_true(pod_is_mirror(m));
	assert_string_equal(pod_annotation(m, ANNOTATION_CONFIG_MIRROR), p->metadata->uid);
	assert_string_equal(m->metadata->uid, "");
	assert_int_equal(m->metadata->n_owner_references, 1);
	assert_string_equal(m->metadata->owner_references[0]->uid, "node-uid");
	assert_false(pod_is_mirror(p));
}

static void bad_manifests(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
	    {"", ""},
	    {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n", "not a v1 Pod"},
	    {"apiVersion: v1\nkind: Pod\nmetadata: {}\nspec: {containers: [{name: a, image: b}]}\n",
	     "metadata.name: Required value"},
	    {"apiVersion: v1\nkind: Pod\nmetadata: {name: x/y}\n"
	     "spec: {containers: [{name: a, image: b}]}\n",
	     "metadata.name: Invalid value"},
	    {"apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n", "spec.containers: Required value"},
	    {POD "  - {name: ../a, image: b}\n", "spec.containers[0]"},
	    {POD "  - {name: a}\n", "spec.containers[0]"},
	    {"{{", ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CoreV1__Pod *p;
		struct err err;
		assert_int_not_equal(parse(cases[i].text, "/m/a", &p, &err), 0);
		if (!strstr(err.text, cases[i].error))
			fail_msg("case %zu: %s", i, err.text);
	}
}

static int end(void **state)
{
	arena_deinit(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_pod),
	    cmocka_unit_test(a_mirror),
	    cmocka_unit_test(bad_manifests),
	};
	return cmocka_run_group_tests(tests, NULL, end);
}
