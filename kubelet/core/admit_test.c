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
	    cmocka_unit_test_setup_teardown(test_sysctls, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
