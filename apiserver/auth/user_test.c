/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "apiserver/auth/auth_impl.h"

static const char *const NODES[] = {"system:nodes", "system:authenticated"};

static void says_what_was_asked(void **state)
{
	static const struct {
		const char *verb, *group, *resource, *subresource, *name, *ns, *path, *want;
	} CASES[] = {
	    {"list", "", "pods", "", "", "x", "",
	     "pods is forbidden: User \"alice\" cannot list resource \"pods\" in API group \"\" in "
	     "the namespace \"x\""},
	    {"get", "apps", "deployments", "scale", "d", "x", "",
	     "deployments.apps \"d\" is forbidden: User \"alice\" cannot get resource "
	     "\"deployments/scale\" in API group \"apps\" in the namespace \"x\""},
	    {"get", "", "nodes", "", "n", "", "",
	     "nodes \"n\" is forbidden: User \"alice\" cannot get resource \"nodes\" in API group "
	     "\"\" at the cluster scope"},
	    {"get", "", "", "", "", "", "/metrics",
	     "forbidden: User \"alice\" cannot get path \"/metrics\""},
	};
	const struct user_info alice = {.name = "alice", .uid = ""};
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
		const struct authz_attributes at = {
		    .user = &alice,
		    .verb = CASES[i].verb,
		    .is_resource = CASES[i].resource[0] != '\0',
		    .group = CASES[i].group,
		    .resource = CASES[i].resource,
		    .subresource = CASES[i].subresource,
		    .name = CASES[i].name,
		    .ns = CASES[i].ns,
		    .path = CASES[i].path,
		};
		const struct status *s = auth_forbidden(&at, "", &a);

		assert_string_equal(s->message, CASES[i].want);
		assert_int_equal(s->code, 403);
		assert_string_equal(s->reason, "Forbidden");
	}
	arena_deinit(&a);
}

static void adds_the_reason(void **state)
{
	const struct user_info u = {.name = "system:node:n1", .uid = ""};
	const struct authz_attributes at = {.user = &u,
	                                    .verb = "get",
	                                    .is_resource = true,
	                                    .group = "",
	                                    .resource = "secrets",
	                                    .subresource = "",
	                                    .name = "s",
	                                    .ns = "x"};
	struct arena a;

	arena_init(&a);
	const struct status *s = auth_forbidden(&at, "no relationship", &a);
	assert_non_null(strstr(s->message, "in the namespace \"x\": no relationship"));
	assert_string_equal(s->details.kind, "secrets");
	assert_string_equal(s->details.name, "s");
	arena_deinit(&a);
}

static void knows_nodes(void **state)
{
	struct user_info u = {.name = "system:node:n1", .uid = "", .groups = NODES, .n_groups = 2};

	assert_string_equal(auth_node_name(&u), "n1");
	u.n_groups = 0;
	assert_null(auth_node_name(&u));
	u = (struct user_info){.name = "system:node:", .groups = NODES, .n_groups = 2};
	assert_null(auth_node_name(&u));
	u.name = "n1";
	assert_null(auth_node_name(&u));
}

static void authenticates_once(void **state)
{
	struct user_info u = {.name = "alice", .uid = ""};
	struct arena a;

	arena_init(&a);
	u = user_authenticated(u, &a);
	assert_int_equal(u.n_groups, 1);
	assert_string_equal(u.groups[0], "system:authenticated");
	u = user_authenticated(u, &a);
	assert_int_equal(u.n_groups, 1);
	arena_deinit(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(says_what_was_asked),
	    cmocka_unit_test(adds_the_reason),
	    cmocka_unit_test(knows_nodes),
	    cmocka_unit_test(authenticates_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
