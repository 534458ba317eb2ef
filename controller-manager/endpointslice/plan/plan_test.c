/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/endpointslice/plan/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include "proto/meta_labels.h"
#include "proto/pb_decode.h"
#include "proto/schema_messages.h"

enum { PODS_MAX = 400 };

struct world {
	struct arena a;
	CoreV1__Service *service;
	struct slice_pod pods[PODS_MAX];
	size_t n_pods;
	DiscoveryV1__EndpointSlice *slices[PODS_MAX];
	size_t n_slices, made, writes;
	struct slice_plan plan;
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	w->service = (CoreV1__Service *)pb_new(&core_v1__service_schema, &w->a);
	w->service->metadata->name = arena_strdup(&w->a, "svc");
	w->service->metadata->uid = arena_strdup(&w->a, "u-svc");
	w->service->spec->cluster_ip = arena_strdup(&w->a, "10.96.0.7");
	CoreV1__ServicePort *port = arena_new(&w->a, CoreV1__ServicePort);
	*port = (CoreV1__ServicePort)CORE_V1__SERVICE_PORT__INIT;
	port->name = arena_strdup(&w->a, "");
	port->protocol = arena_strdup(&w->a, "TCP");
	port->has_port = 1;
	port->port = 80;
	w->service->spec->n_ports = 1;
	w->service->spec->ports = arena_memdup(&w->a, &port, sizeof(port));
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	arena_deinit(&w->a);
	free(w);
	return 0;
}

static CoreV1__Pod *add_pod(struct world *w, unsigned number, bool ready)
{
	CoreV1__Pod *pod = (CoreV1__Pod *)pb_new(&core_v1__pod_schema, &w->a);
	pod->metadata->name = arena_printf(&w->a, "pod-%u", number);
	pod->metadata->uid = arena_printf(&w->a, "u-%u", number);
	pod->spec->node_name = arena_strdup(&w->a, "n1");
	pod->status->phase = arena_strdup(&w->a, "Running");
	CoreV1__PodIP *ip = arena_new(&w->a, CoreV1__PodIP);
	*ip = (CoreV1__PodIP)CORE_V1__POD_IP__INIT;
	ip->ip = arena_printf(&w->a, "10.1.%u.%u", number / 250, number % 250);
	pod->status->n_pod_ips = 1;
	pod->status->pod_ips = arena_memdup(&w->a, &ip, sizeof(ip));
	CoreV1__PodCondition *c = arena_new(&w->a, CoreV1__PodCondition);
	*c = (CoreV1__PodCondition)CORE_V1__POD_CONDITION__INIT;
	c->type = arena_strdup(&w->a, "Ready");
	c->status = arena_strdup(&w->a, ready ? "True" : "False");
	pod->status->n_conditions = 1;
	pod->status->conditions = arena_memdup(&w->a, &c, sizeof(c));
	w->pods[w->n_pods++] = (struct slice_pod){pod, true, "z1"};
	return pod;
}

/* Plans, and carries the plan out on the world's slices. */
static void step(struct world *w, size_t max)
{
	struct slice_input in = {.service = w->service,
	                         .pods = w->pods,
	                         .n_pods = w->n_pods,
	                         .slices = w->slices,
	                         .n_slices = w->n_slices,
	                         .max = max};
	struct slice_plan *p = &w->plan;
	slice_plan(&in, &w->a, p);
	w->writes = p->n_create + p->n_update + p->n_remove;
	for (size_t i = 0; i < p->n_update; i++)
		for (size_t k = 0; k < w->n_slices; k++)
			if (!strcmp(w->slices[k]->metadata->name, p->update[i]->metadata->name))
				w->slices[k] = p->update[i];
	for (size_t i = 0; i < p->n_remove; i++)
		for (size_t k = 0; k < w->n_slices; k++)
			if (!strcmp(w->slices[k]->metadata->name, p->remove[i]->metadata->name))
				w->slices[k--] = w->slices[--w->n_slices];
	for (size_t i = 0; i < p->n_create; i++) {
		p->create[i]->metadata->name = arena_printf(&w->a, "svc-%zu", w->made++);
		w->slices[w->n_slices++] = p->create[i];
	}
}

/* How often the pod's address is in a slice. */
static unsigned count_of(const struct world *w, const CoreV1__Pod *pod)
{
	unsigned n = 0;
	for (size_t i = 0; i < w->n_slices; i++)
		for (size_t k = 0; k < w->slices[i]->n_endpoints; k++)
			n += !strcmp(w->slices[i]->endpoints[k]->addresses[0],
			             pod->status->pod_ips[0]->ip);
	return n;
}

static size_t total(const struct world *w)
{
	size_t n = 0;
	for (size_t i = 0; i < w->n_slices; i++)
		n += w->slices[i]->n_endpoints;
	return n;
}

static void test_placeholder(void **state)
{
	struct world *w = *state;
	step(w, 0);
	assert_int_equal(w->n_slices, 1);
	assert_int_equal(w->slices[0]->n_endpoints, 0);
	const MetaV1__ObjectMeta *m = w->slices[0]->metadata;
	assert_string_equal(meta_label(m, "kubernetes.io/service-name"), "svc");
	assert_string_equal(meta_label(m, "endpointslice.kubernetes.io/managed-by"),
	                    "endpointslice-controller.k8s.io");
	assert_null(meta_label(m, "service.kubernetes.io/headless"));
	assert_string_equal(m->generate_name, "svc-");
	step(w, 0);
	assert_int_equal(w->writes, 0);
	/* It becomes the slice of the first endpoint, under its name. */
	add_pod(w, 1, true);
	step(w, 0);
	assert_int_equal(w->n_slices, 1);
	assert_int_equal(w->plan.n_update, 1);
	assert_int_equal(w->plan.n_create + w->plan.n_remove, 0);
	assert_int_equal(w->slices[0]->ports[0]->port, 80);
	step(w, 0);
	assert_int_equal(w->writes, 0);
}

static void test_headless(void **state)
{
	struct world *w = *state;
	w->service->spec->cluster_ip = arena_strdup(&w->a, "None");
	step(w, 0);
	assert_string_equal(meta_label(w->slices[0]->metadata, "service.kubernetes.io/headless"),
	                    "");
}

static void test_conditions(void **state)
{
	struct world *w = *state;
	CoreV1__Pod *ready = add_pod(w, 1, true), *going = add_pod(w, 2, true);
	add_pod(w, 3, false);
	going->metadata->deletion_timestamp = arena_new(&w->a, MetaV1__Time);
	*going->metadata->deletion_timestamp = (MetaV1__Time)META_V1__TIME__INIT;
	CoreV1__Pod *failed = add_pod(w, 4, true);
	failed->status->phase = arena_strdup(&w->a, "Failed");
	add_pod(w, 5, true);
	w->pods[4].node_known = false;
	step(w, 0);
	assert_int_equal(total(w), 3);
	assert_int_equal(count_of(w, ready), 1);
	for (size_t i = 0; i < 3; i++) {
		const DiscoveryV1__Endpoint *e = w->slices[0]->endpoints[i];
		bool is_going = !strcmp(e->target_ref->name, "pod-2");
		bool is_sick = !strcmp(e->target_ref->name, "pod-3");
		assert_int_equal(e->conditions->serving, !is_sick);
		assert_int_equal(e->conditions->terminating, is_going);
		assert_int_equal(e->conditions->ready, !is_going && !is_sick);
		assert_string_equal(e->zone, "z1");
	}
	w->service->spec->publish_not_ready_addresses = 1;
	step(w, 0);
	assert_int_equal(total(w), 4); /* nobody asks for the node either */
	for (size_t i = 0; i < 4; i++)
		assert_true(w->slices[0]->endpoints[i]->conditions->ready);
}

/* Pods come and go at random: every address is in exactly one slice, none is over full, and a
 * change of one pod writes at most two slices. */
static void test_packing(void **state)
{
	struct world *w = *state;
	uint32_t random = 1;
	unsigned number = 0;
	for (int round = 0; round < 300; round++) {
		random = random * 1664525u + 1013904223u;
		if ((random >> 16) % 5 < 3 || !w->n_pods) {
			add_pod(w, number++, true);
		} else {
			size_t gone = (random >> 20) % w->n_pods;
			w->pods[gone] = w->pods[--w->n_pods];
		}
		step(w, 4);
		assert_in_range(w->writes, 0, 2);
		assert_int_equal(total(w), w->n_pods);
		for (size_t i = 0; i < w->n_pods; i++)
			assert_int_equal(count_of(w, w->pods[i].pod), 1);
		for (size_t i = 0; i < w->n_slices; i++)
			assert_in_range(w->slices[i]->n_endpoints, w->n_pods ? 1 : 0, 4);
		step(w, 4);
		assert_int_equal(w->writes, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_placeholder, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_headless, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_conditions, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_packing, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
