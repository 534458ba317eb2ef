/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "apiserver/auth/rbac/rbac.h"

static struct arena arena;
static struct rbac *r;

static int setup(void **state)
{
	(void)state;
	arena_init(&arena);
	r = rbac_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rbac_free(r);
	arena_deinit(&arena);
	return 0;
}

/* "a,b" as a list; "" is the empty list, "-" the list of "". */
static char **list(const char *text, size_t *ret_n)
{
	char **out = arena_array(&arena, char *, 8);
	*ret_n = 0;
	if (!*text)
		return out;
	if (!strcmp(text, "-"))
		text = "";
	for (const char *at = text;; at++) {
		const char *end = strchrnul(at, ',');
		out[(*ret_n)++] = arena_strndup(&arena, at, (size_t)(end - at));
		if (!*end)
			return out;
		at = end;
	}
}

static RbacV1__PolicyRule *rule(const char *verbs, const char *groups, const char *resources,
                                const char *names, const char *urls)
{
	RbacV1__PolicyRule *p = arena_new(&arena, RbacV1__PolicyRule);
	*p = (RbacV1__PolicyRule)RBAC_V1__POLICY_RULE__INIT;
	p->verbs = list(verbs, &p->n_verbs);
	p->api_groups = list(groups, &p->n_api_groups);
	p->resources = list(resources, &p->n_resources);
	p->resource_names = list(names, &p->n_resource_names);
	p->non_resource_urls = list(urls, &p->n_non_resource_urls);
	return p;
}

static void bind(const char *ns, const char *name, const char *kind, const char *who,
                 const char *who_ns, const char *role_kind, const char *role)
{
	RbacV1__Subject s = RBAC_V1__SUBJECT__INIT, *sp = &s;
	RbacV1__RoleRef ref = RBAC_V1__ROLE_REF__INIT;
	s.kind = (char *)kind;
	s.name = (char *)who;
	s.namespace_ = (char *)who_ns;
	ref.kind = (char *)role_kind;
	ref.name = (char *)role;
	rbac_set_binding(r, ns, name, &sp, 1, &ref);
}

static bool can(const char *user, const char *group, const char *verb, const char *api_group,
                const char *resource, const char *sub, const char *ns, const char *name,
                const char **reason)
{
	const char *groups[] = {group ? group : "none"};
	struct rbac_attributes a = {.user = user,
	                            .groups = groups,
	                            .n_groups = 1,
	                            .is_resource = true,
	                            .verb = verb,
	                            .api_group = api_group,
	                            .resource = resource,
	                            .subresource = sub,
	                            .ns = ns,
	                            .name = name,
	                            .path = ""};
	return rbac_allows(r, &a, &arena, reason);
}

static bool can_url(const char *user, const char *verb, const char *path)
{
	struct rbac_attributes a = {.user = user,
	                            .verb = verb,
	                            .api_group = "",
	                            .resource = "",
	                            .subresource = "",
	                            .ns = "",
	                            .name = "",
	                            .path = path};
	return rbac_allows(r, &a, &arena, NULL);
}

static void test_decisions(void **state)
{
	(void)state;
	const char *why = NULL;
	RbacV1__PolicyRule *admin[] = {rule("*", "*", "*", "", ""), rule("*", "", "", "", "*")};
	rbac_set_role(r, "", "cluster-admin", admin, 2);
	RbacV1__PolicyRule *reader[] = {rule("get,list", "-", "pods,pods/log", "", ""),
	                                rule("get", "apps", "*/scale", "web", ""),
	                                rule("get", "", "", "", "/healthz,/api/*")};
	rbac_set_role(r, "", "reader", reader, 3);
	rbac_set_role(r, "dev", "local", reader, 1);
	bind("", "admins", "Group", "system:masters", "", "ClusterRole", "cluster-admin");
	assert_true(
	    can("root", "system:masters", "delete", "apps", "deployments", "", "x", "y", &why));
	assert_string_equal(why, "RBAC: allowed by ClusterRoleBinding \"admins\" of ClusterRole "
	                         "\"cluster-admin\" to Group \"system:masters\"");
	assert_false(can("alice", NULL, "get", "", "pods", "", "dev", "", NULL));

	bind("dev", "alice", "User", "alice", "", "ClusterRole", "reader");
	assert_true(can("alice", NULL, "get", "", "pods", "", "dev", "p", &why));
	assert_string_equal(
	    why, "RBAC: allowed by RoleBinding \"alice/dev\" of ClusterRole \"reader\" to "
	         "User \"alice\"");
	assert_true(can("alice", NULL, "get", "", "pods", "log", "dev", "p", NULL));
	assert_false(can("alice", NULL, "get", "", "pods", "exec", "dev", "p", NULL));
	assert_false(can("alice", NULL, "get", "", "pods", "", "prod", "p", NULL));
	assert_false(can("alice", NULL, "get", "", "pods", "", "", "", NULL));
	assert_false(can("alice", NULL, "watch", "", "pods", "", "dev", "", NULL));
	assert_true(can("alice", NULL, "get", "apps", "deployments", "scale", "dev", "web", NULL));
	assert_false(can("alice", NULL, "get", "apps", "deployments", "scale", "dev", "db", NULL));
	assert_false(can_url("alice", "get", "/healthz")); /* a role binding gives no paths */

	bind("", "bob", "User", "bob", "", "ClusterRole", "reader");
	assert_true(can_url("bob", "get", "/api/v1"));
	assert_false(can_url("bob", "post", "/api/v1"));
	assert_false(can_url("bob", "get", "/metrics"));

	bind("dev", "robot", "ServiceAccount", "bot", "ci", "Role", "local");
	assert_true(
	    can("system:serviceaccount:ci:bot", NULL, "list", "", "pods", "", "dev", "", &why));
	assert_string_equal(why, "RBAC: allowed by RoleBinding \"robot/dev\" of Role \"local\" to "
	                         "ServiceAccount \"bot/ci\"");
	rbac_remove_role(r, "dev", "local");
	assert_false(
	    can("system:serviceaccount:ci:bot", NULL, "list", "", "pods", "", "dev", "", NULL));
	rbac_remove_binding(r, "", "bob");
	assert_false(can_url("bob", "get", "/api/v1"));
}

static void test_covers(void **state)
{
	(void)state;
	struct rbac_rules owner;
	static const struct {
		const char *own[3], *ask[4];
		bool covered;
	} cases[] = {
	    {{"get,list", "-", "pods"}, {"get", "-", "pods", ""}, true},
	    {{"get,list", "-", "pods"}, {"get,watch", "-", "pods", ""}, false},
	    {{"get", "-", "pods"}, {"get", "apps", "pods", ""}, false},
	    {{"get", "-", "pods"}, {"*", "-", "pods", ""}, false},
	    {{"*", "*", "*"}, {"*", "*", "*", ""}, true},
	    {{"get", "-", "pods"}, {"get", "-", "pods", "a,b"}, true},
	    {{"get", "-", "*/scale"}, {"get", "-", "pods/scale", ""}, true},
	    {{"get", "-", "*/scale"}, {"get", "-", "*/scale", ""}, true},
	    {{"get", "-", "pods/scale"}, {"get", "-", "*/scale", ""}, false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const RbacV1__PolicyRule *own =
		    rule(cases[i].own[0], cases[i].own[1], cases[i].own[2], "", "");
		owner = (struct rbac_rules){&own, 1};
		assert_int_equal(rbac_covers(&owner, rule(cases[i].ask[0], cases[i].ask[1],
		                                          cases[i].ask[2], cases[i].ask[3], "")),
		                 cases[i].covered);
	}
	const RbacV1__PolicyRule *named = rule("get", "-", "pods", "a", "");
	owner = (struct rbac_rules){&named, 1};
	assert_true(rbac_covers(&owner, rule("get", "-", "pods", "a", "")));
	assert_false(rbac_covers(&owner, rule("get", "-", "pods", "a,b", "")));
	assert_false(rbac_covers(&owner, rule("get", "-", "pods", "", "")));
	const RbacV1__PolicyRule *url = rule("get", "", "", "", "/api/*");
	owner = (struct rbac_rules){&url, 1};
	assert_true(rbac_covers(&owner, rule("get", "", "", "", "/api/v1")));
	assert_false(rbac_covers(&owner, rule("get", "", "", "", "*")));
}

static void test_rules_for(void **state)
{
	(void)state;
	RbacV1__PolicyRule *one[] = {rule("get", "-", "pods", "", "")};
	rbac_set_role(r, "", "one", one, 1);
	const char *groups[] = {"g"};
	struct rbac_rules got;
	bind("", "a", "Group", "g", "", "ClusterRole", "one");
	bind("ns", "b", "User", "u", "", "ClusterRole", "one");
	rbac_rules_for(r, "u", groups, 1, "ns", &arena, &got);
	assert_int_equal(got.n, 2);
	rbac_rules_for(r, "u", groups, 1, "", &arena, &got);
	assert_int_equal(got.n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_decisions, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_covers, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_rules_for, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
