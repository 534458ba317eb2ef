/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "apiserver/auth/node.h"
#include "proto/json_decode.h"
#include "proto/schema.h"

static struct arena arena;
static struct node_graph *g;
static struct test_pod {
	char name; /* 0: there is none */
	CoreV1__Pod *pod;
} pods[2];

static struct test_pod *find_pod(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(pods); i++)
		if (pods[i].name == name[0])
			return &pods[i];
	return NULL;
}

static bool pod_is_on(void *arg, const char *ns, const char *name, const char *node)
{
	const struct test_pod *p = find_pod(name);

	assert_ptr_equal(arg, pods);
	return p && !strcmp(ns, "x") && !strcmp(p->pod->spec->node_name, node);
}

static int setup(void **state)
{
	arena_init(&arena);
	memset(pods, 0, sizeof(pods));
	g = node_graph_new(pod_is_on, pods);
	return 0;
}

static int teardown(void **state)
{
	node_graph_free(g);
	arena_deinit(&arena);
	return 0;
}

static void *decode(const char *kind, const char *group, const char *json)
{
	ProtobufCMessage *msg = NULL;

	assert_int_equal(json_decode(schema_by_gvk(group, "v1", kind), slice_str(json), &arena,
	                             NULL, &msg, NULL, NULL),
	                 0);
	return msg;
}

static CoreV1__Pod *make_pod(const char *name, const char *node)
{
	return decode(
	    "Pod", "",
	    arena_printf(&arena,
	                 "{\"metadata\":{\"namespace\":\"x\",\"name\":\"%s\"},\"spec\":{"
	                 "\"nodeName\":\"%s\",\"serviceAccountName\":\"robot\","
	                 "\"imagePullSecrets\":[{\"name\":\"pull\"}],\"containers\":[{\"name\":"
	                 "\"c\",\"env\":[{\"name\":\"E\",\"valueFrom\":{\"secretKeyRef\":{\"name\":"
	                 "\"env\",\"key\":\"k\"}}}],\"envFrom\":[{\"configMapRef\":{\"name\":"
	                 "\"from\"}}]}],\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{"
	                 "\"claimName\":\"claim\"}},{\"name\":\"w\",\"projected\":{\"sources\":[{"
	                 "\"configMap\":{\"name\":\"ca\"}}]}}]}}",
	                 name, node));
}

static void remove_pod(const char *name)
{
	struct test_pod *p = find_pod(name);

	node_graph_remove_pod(g, p->pod);
	p->name = 0;
}

/* Makes it, or binds it anew. */
static void set_pod(const char *name, const char *node)
{
	struct test_pod *p;

	if (find_pod(name))
		remove_pod(name);
	p = find_pod("");
	p->name = name[0];
	p->pod = make_pod(name, node);
	node_graph_add_pod(g, p->pod);
}

static bool may(const char *node, const char *verb, const char *group, const char *resource,
                const char *sub, const char *ns, const char *name, const char *selector)
{
	const struct rbac_attributes a = {.user = "u",
	                                  .is_resource = true,
	                                  .verb = verb,
	                                  .api_group = group,
	                                  .resource = resource,
	                                  .subresource = sub,
	                                  .name = name,
	                                  .ns = ns,
	                                  .path = ""};
	const char *reason;

	return node_authorize(g, node, &a, selector, &arena, &reason);
}

static void reads_what_its_pods_name(void **state)
{
	set_pod("p", "n1");
	assert_true(may("n1", "get", "", "secrets", "", "x", "pull", ""));
	assert_true(may("n1", "watch", "", "secrets", "", "x", "env", ""));
	assert_true(may("n1", "get", "", "configmaps", "", "x", "from", ""));
	assert_true(may("n1", "list", "", "configmaps", "", "x", "ca", ""));
	assert_true(may("n1", "get", "", "persistentvolumeclaims", "", "x", "claim", ""));
	assert_true(may("n1", "create", "", "serviceaccounts", "token", "x", "robot", ""));
	assert_true(may("n1", "get", "", "pods", "", "x", "p", ""));

	assert_false(may("n2", "get", "", "secrets", "", "x", "pull", ""));
	assert_false(may("n1", "get", "", "secrets", "", "y", "pull", ""));
	assert_false(may("n1", "get", "", "secrets", "", "x", "other", ""));
	assert_false(may("n1", "update", "", "secrets", "", "x", "pull", ""));
	assert_false(may("n1", "list", "", "secrets", "", "x", "", ""));
	assert_false(may("n1", "create", "", "serviceaccounts", "token", "x", "other", ""));
	assert_false(may("n2", "get", "", "pods", "", "x", "p", ""));
}

static void counts_pods(void **state)
{
	set_pod("p", "n1");
	set_pod("q", "n1");
	set_pod("p", "n1");
	remove_pod("p");
	assert_true(may("n1", "get", "", "secrets", "", "x", "pull", ""));
	set_pod("q", "n2");
	assert_false(may("n1", "get", "", "secrets", "", "x", "pull", ""));
	assert_true(may("n2", "get", "", "secrets", "", "x", "pull", ""));
	node_graph_clear_pods(g);
	assert_false(may("n2", "get", "", "secrets", "", "x", "pull", ""));
}

static void follows_volumes(void **state)
{
	set_pod("p", "n1");
	assert_false(may("n1", "get", "", "persistentvolumes", "", "", "pv", ""));
	node_graph_set_pv(
	    g, decode("PersistentVolume", "",
	              "{\"metadata\":{\"name\":\"pv\"},\"spec\":{\"claimRef\":{\"namespace\":\"x\","
	              "\"name\":\"claim\"},\"csi\":{\"driver\":\"d\",\"volumeHandle\":\"h\","
	              "\"nodeStageSecretRef\":{\"namespace\":\"far\",\"name\":\"stage\"}}}}"));
	assert_true(may("n1", "get", "", "persistentvolumes", "", "", "pv", ""));
	assert_true(may("n1", "get", "", "secrets", "", "far", "stage", ""));
	assert_false(may("n2", "get", "", "secrets", "", "far", "stage", ""));
	node_graph_remove_pv(g, "pv");
	assert_false(may("n1", "get", "", "secrets", "", "far", "stage", ""));
}

static void keeps_to_its_own(void **state)
{
	assert_true(may("n1", "get", "", "nodes", "", "", "n1", ""));
	assert_false(may("n1", "get", "", "nodes", "", "", "n2", ""));
	assert_true(may("n1", "watch", "", "nodes", "", "", "", "metadata.name=n1"));
	assert_true(may("n1", "patch", "", "nodes", "status", "", "n1", ""));
	assert_true(may("n1", "list", "", "pods", "", "", "", "spec.nodeName=n1"));
	assert_true(may("n1", "watch", "", "pods", "", "", "", "a!=b,spec.nodeName==n1"));
	assert_false(may("n1", "list", "", "pods", "", "", "", "spec.nodeName=n2"));
	assert_false(may("n1", "list", "", "pods", "", "", "", ""));
	assert_false(may("n1", "list", "", "pods", "", "", "", "spec.nodeName=n11"));
	assert_true(
	    may("n1", "update", "coordination.k8s.io", "leases", "", "kube-node-lease", "n1", ""));
	assert_false(
	    may("n1", "update", "coordination.k8s.io", "leases", "", "kube-node-lease", "n2", ""));
	assert_false(
	    may("n1", "update", "coordination.k8s.io", "leases", "", "kube-system", "n1", ""));
	assert_true(may("n1", "update", "storage.k8s.io", "csinodes", "", "", "n1", ""));
	assert_false(may("n1", "update", "storage.k8s.io", "csinodes", "", "", "n2", ""));
}

static void has_static_rules(void **state)
{
	assert_true(node_n_rules > 10);
	assert_true(may("n1", "list", "", "services", "", "", "", ""));
	assert_true(may("n1", "create", "", "events", "", "x", "", ""));
	assert_true(may("n1", "create", "certificates.k8s.io", "certificatesigningrequests", "", "",
	                "", ""));
	assert_false(may("n1", "create", "apps", "deployments", "", "x", "", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(reads_what_its_pods_name, setup, teardown),
	    cmocka_unit_test_setup_teardown(counts_pods, setup, teardown),
	    cmocka_unit_test_setup_teardown(follows_volumes, setup, teardown),
	    cmocka_unit_test_setup_teardown(keeps_to_its_own, setup, teardown),
	    cmocka_unit_test_setup_teardown(has_static_rules, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
