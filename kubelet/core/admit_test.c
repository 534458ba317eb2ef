/* SPDX-License-Identifier: Apache-2.0 */
/* What the node does not take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "kubelet/core/admit.h"
#include "kubelet/core/test_model.h"

static void add_request(CoreV1__Container *c, const char *name, const char *value)
{
	CoreV1__ResourceRequirements__RequestsEntry *e =
	    MAKE(&arena, CoreV1__ResourceRequirements__RequestsEntry,
	         CORE_V1__RESOURCE_REQUIREMENTS__REQUESTS_ENTRY__INIT);
	if (!c->resources) {
		c->resources = MAKE(&arena, CoreV1__ResourceRequirements,
		                    CORE_V1__RESOURCE_REQUIREMENTS__INIT);
		c->resources->requests =
		    arena_array(&arena, CoreV1__ResourceRequirements__RequestsEntry *, 4);
	}
	e->key = (char *)name;
	e->value = MAKE(&arena, Quantity__Quantity, QUANTITY__QUANTITY__INIT);
	e->value->string = (char *)value;
	c->resources->requests[c->resources->n_requests++] = e;
}

static void test_admission(void **state)
{
	(void)state;
	struct node_room room = {
	    .allocatable = {[ROOM_PODS] = 3, [ROOM_CPU_MILLI] = 1000, [ROOM_MEMORY] = 1 << 20}};
	struct refusal r;
	make_pod("is", "ab", "Always");
	pod->spec->init_containers[1]->restart_policy = (char *)"Always";
	add_request(pod->spec->init_containers[0], "cpu", "700m");
	add_request(pod->spec->init_containers[1], "cpu", "100m");
	add_request(pod->spec->containers[0], "cpu", "200m");
	add_request(pod->spec->containers[1], "memory", "512Ki");
	assert_true(room_fits(&room, pod, &arena, &r));
	room_use(&room, pod);
	assert_int_equal(room.used[ROOM_CPU_MILLI], 700); /* the init container's peak */
	assert_int_equal(room.used[ROOM_MEMORY], 512 << 10);
	assert_int_equal(room.used[ROOM_PODS], 1);
	assert_false(room_fits(&room, pod, &arena, &r));
	assert_string_equal(r.reason, "OutOfcpu");
	assert_string_equal(r.message, "Node didn't have enough resource: cpu, requested: 700, "
	                               "used: 700, capacity: 1000");
	room.used[ROOM_PODS] = 3;
	assert_false(room_fits(&room, pod, &arena, &r));
	assert_string_equal(r.reason, "OutOfpods");

	CoreV1__ContainerPort port = CORE_V1__CONTAINER_PORT__INIT, *list[] = {&port};
	port.protocol = (char *)"TCP";
	port.host_ip = (char *)"";
	port.host_port = 80;
	assert_true(ports_fit(pod, pod, &r));
	pod->spec->containers[0]->ports = list;
	pod->spec->containers[0]->n_ports = 1;
	assert_false(ports_fit(pod, pod, &r));
	assert_string_equal(r.reason, "NodePorts");
}

static void test_node(void **state)
{
	(void)state;
	static const struct {
		const char *key, *op, *value;
		bool suits;
	} rows[] = {
	    {"zone", "In", "a", true},
	    {"zone", "In", "b", false},
	    {"zone", "NotIn", "b", true},
	    {"disk", "NotIn", "b", true},
	    {"zone", "Exists", NULL, true},
	    {"disk", "Exists", NULL, false},
	    {"disk", "DoesNotExist", NULL, true},
	    {"cpus", "Gt", "3", true},
	    {"cpus", "Lt", "4", false},
	    {"disk", "Gt", "3", false},
	};
	MetaV1__ObjectMeta node = META_V1__OBJECT_META__INIT;
	MetaV1__ObjectMeta__LabelsEntry zone = META_V1__OBJECT_META__LABELS_ENTRY__INIT,
	                                cpus = META_V1__OBJECT_META__LABELS_ENTRY__INIT,
	                                *labels[] = {&zone, &cpus};
	zone.key = (char *)"zone", zone.value = (char *)"a";
	cpus.key = (char *)"cpus", cpus.value = (char *)"4";
	node.labels = labels;
	node.n_labels = 2;
	make_pod("", "a", "Always");
	CoreV1__Affinity affinity = CORE_V1__AFFINITY__INIT;
	CoreV1__NodeAffinity node_affinity = CORE_V1__NODE_AFFINITY__INIT;
	CoreV1__NodeSelector selector = CORE_V1__NODE_SELECTOR__INIT;
	CoreV1__NodeSelectorTerm term = CORE_V1__NODE_SELECTOR_TERM__INIT, *terms[] = {&term};
	CoreV1__NodeSelectorRequirement r = CORE_V1__NODE_SELECTOR_REQUIREMENT__INIT,
	                                *requirements[] = {&r};
	char *values[1];
	struct refusal refusal;
	assert_true(node_suits(pod, &node, &refusal));
	pod->spec->affinity = &affinity;
	affinity.node_affinity = &node_affinity;
	node_affinity.required_during_scheduling_ignored_during_execution = &selector;
	selector.n_node_selector_terms = 1;
	selector.node_selector_terms = terms;
	assert_false(node_suits(pod, &node, &refusal)); /* an empty term */
	assert_string_equal(refusal.reason, "NodeAffinity");
	term.match_expressions = requirements;
	term.n_match_expressions = 1;
	r.values = values;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		r.key = (char *)rows[i].key;
		r.operator_ = (char *)rows[i].op;
		values[0] = (char *)rows[i].value;
		r.n_values = rows[i].value ? 1 : 0;
		assert_int_equal(node_suits(pod, &node, &refusal), rows[i].suits);
	}
	pod->spec->affinity = NULL;
	CoreV1__PodSpec__NodeSelectorEntry want = CORE_V1__POD_SPEC__NODE_SELECTOR_ENTRY__INIT,
	                                   *wants[] = {&want};
	want.key = (char *)"zone", want.value = (char *)"b";
	pod->spec->node_selector = wants;
	pod->spec->n_node_selector = 1;
	assert_false(node_suits(pod, &node, &refusal));
	want.value = (char *)"a";
	assert_true(node_suits(pod, &node, &refusal));
}

static void test_sysctls(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		bool host_network;
		const char *message; /* NULL: allowed */
	} rows[] = {
	    {"net.ipv4.tcp_syncookies", false, NULL},
	    {"net/ipv4/tcp_syncookies", false, NULL},
	    {"net.ipv4.tcp_syncookies", true,
	     "forbidden sysctl: \"net.ipv4.tcp_syncookies\" not allowed with host net enabled"},
	    {"kernel.msgmax", false, "forbidden sysctl: \"kernel.msgmax\" not allowlisted"},
	    {"net.core.somaxconn", false, NULL},
	    {"net.core", false, "forbidden sysctl: \"net.core\" not allowlisted"},
	};
	static const char *const patterns[] = {"net.core.*", "vm.x"};
	make_pod("", "a", "Always");
	CoreV1__PodSecurityContext context = CORE_V1__POD_SECURITY_CONTEXT__INIT;
	CoreV1__Sysctl sysctl = CORE_V1__SYSCTL__INIT, *list[] = {&sysctl};
	context.n_sysctls = 1;
	context.sysctls = list;
	pod->spec->security_context = &context;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct refusal r;
		sysctl.name = (char *)rows[i].name;
		pod->spec->host_network = rows[i].host_network;
		bool good = sysctls_allowed(pod, patterns, 2, &arena, &r);
		assert_int_equal(good, !rows[i].message);
		if (!good)
			assert_string_equal(r.message, rows[i].message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_admission, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_node, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sysctls, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
