/* SPDX-License-Identifier: Apache-2.0 */
/* Leader election and events against an apiserver in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "common/client/leader.h"
#include "common/client/meta_peek.h"
#include "common/client/recorder.h"
#include "common/client/test_apiserver.h"

#define LEASE "coordination.k8s.io/leases/kube-system/test"

enum { WATCHDOG_MS = 30000 };

struct candidate {
	struct world *world;
	struct client *client;
	struct leader *leader;
	int started, stopped;
	char seen[64];
};

struct world {
	struct loop loop;
	struct loop_timer watchdog;
	struct rpc_core *core;
	struct test_apiserver server;
	struct kubeconfig kubeconfig;
	struct candidate a, b;
};

static void expired(void *arg)
{
	fprintf(stderr, "the test waited too long\n");
	abort();
}

/* Runs the loop until a condition holds. */
#define UNTIL(w, condition)                              \
	do {                                             \
		while (!(condition))                     \
			loop_run_once(&(w)->loop, true); \
	} while (0)

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof *w);
	assert_int_equal(loop_init(&w->loop), 0);
	loop_timer_init(&w->watchdog, &w->loop, expired, w);
	loop_timer_start(&w->watchdog, WATCHDOG_MS);
	w->core = rpc_core_new(1);
	test_apiserver_init(&w->server, w->core, &w->loop);
	w->kubeconfig.grpc_endpoints = w->server.endpoint;
	return w;
}

static struct client *new_client(struct world *w)
{
	struct client *c;
	struct client_options o = {w->core, &w->loop, &w->kubeconfig, "tester", 5000};
	assert_int_equal(client_new(&o, &c, NULL), 0);
	return c;
}

static void world_free(struct world *w)
{
	test_apiserver_deinit(&w->server);
	rpc_core_free(w->core);
	loop_timer_stop(&w->watchdog);
	loop_deinit(&w->loop);
	free(w);
}

static void on_started(void *arg)
{
	((struct candidate *)arg)->started++;
}

static void on_stopped(void *arg)
{
	((struct candidate *)arg)->stopped++;
}

static void on_new_leader(const char *identity, void *arg)
{
	struct candidate *c = arg;
	snprintf(c->seen, sizeof c->seen, "%s", identity);
}

static void enter(struct world *w, struct candidate *c, const char *identity)
{
	c->world = w;
	c->client = new_client(w);
	c->leader = leader_new(&(struct leader_options){.client = c->client,
	                                                .ns = "kube-system",
	                                                .name = "test",
	                                                .identity = identity,
	                                                .lease_duration_ms = 1000,
	                                                .renew_deadline_ms = 600,
	                                                .retry_period_ms = 100,
	                                                .on_started = on_started,
	                                                .on_stopped = on_stopped,
	                                                .on_new_leader = on_new_leader,
	                                                .arg = c});
	leader_start(c->leader);
}

static void leave(struct candidate *c)
{
	leader_free(c->leader);
	client_free(c->client);
}

static void set_flag(void *arg)
{
	*(bool *)arg = true;
}

static bool holder_is(struct world *w, const char *identity)
{
	return slice_eq_str(pb_peek_path(test_apiserver_get(&w->server, LEASE), 2, 1), identity);
}

static void hand_over(void **state)
{
	struct world *w = world_new();
	bool released = false;
	enter(w, &w->a, "a");
	UNTIL(w, w->a.started);
	assert_true(holder_is(w, "a"));
	enter(w, &w->b, "b");
	UNTIL(w, !strcmp(w->b.seen, "a"));
	/* The leader renews; the candidate waits. */
	int writes = w->server.writes;
	UNTIL(w, w->server.writes >= writes + 5);
	assert_int_equal(w->b.started, 0);
	assert_true(leader_is_leading(w->a.leader));
	/* A clean stop gives the lease back, and the other takes it at once: long before it would
	 * have expired. */
	uint64_t before = loop_now_ms(&w->loop);
	leader_stop(w->a.leader, set_flag, &released);
	UNTIL(w, w->b.started);
	assert_in_range(loop_now_ms(&w->loop) - before, 0, 900);
	UNTIL(w, released);
	assert_true(holder_is(w, "b"));
	assert_int_equal(w->a.stopped, 0);
	const uint32_t transitions[] = {2, 5};
	assert_int_equal(
	    pb_peek_int(test_apiserver_get(&w->server, LEASE), transitions, ARRAY_LEN(transitions)),
	    1);
	leave(&w->a);
	leave(&w->b);
	world_free(w);
}

/* A leader that dies is followed when its lease has run out, not before. */
static void expiry(void **state)
{
	struct world *w = world_new();
	enter(w, &w->a, "a");
	UNTIL(w, w->a.started);
	enter(w, &w->b, "b");
	UNTIL(w, !strcmp(w->b.seen, "a"));
	uint64_t before = loop_now_ms(&w->loop);
	leave(&w->a);
	UNTIL(w, w->b.started);
	assert_in_range(loop_now_ms(&w->loop) - before, 700, 5000);
	leave(&w->b);
	world_free(w);
}

/* A leader that cannot renew stops before others may start. */
static void cut_off(void **state)
{
	struct world *w = world_new();
	enter(w, &w->a, "a");
	UNTIL(w, w->a.started);
	w->server.refuse = true;
	UNTIL(w, w->a.stopped);
	assert_false(leader_is_leading(w->a.leader));
	leave(&w->a);
	world_free(w);
}

static void events(void **state)
{
	struct world *w = world_new();
	struct client *c = new_client(w);
	struct recorder *r = recorder_new(c, "kubelet", "n1");
	struct recorder_ref pod = {"v1", "Pod", "ns", "p1", "uid-1", "7", NULL};
	recorder_event(r, &pod, true, "BackOff", NULL, "Back-off restarting container %s", "app");
	UNTIL(w, w->server.writes == 1);
	/* The same again raises its count. */
	recorder_event(r, &pod, true, "BackOff", NULL, "Back-off restarting container %s", "app");
	UNTIL(w, w->server.patches == 1);
	assert_non_null(
	    strstr((char *)w->server.last_patch.data, "{\"count\":2,\"lastTimestamp\":"));
	/* Many alike become one; those that wait together are written together. */
	for (int i = 0; i < 15; i++)
		recorder_event(r, &pod, true, "BackOff", NULL, "attempt %d", i);
	UNTIL(w, !recorder_waiting(r));
	assert_int_equal(w->server.writes, 1 + 8 + 1);
	size_t combined = 0, n = 0;
	MAP_FOREACH (&w->server.objects, slot) {
		struct slice message = pb_peek_path(blob_view(slot->value), 4);
		n += slice_eq_str(pb_peek_path(blob_view(slot->value), 2, 3), "p1");
		combined +=
		    slice_has_prefix(message, SLICE_LIT("(combined from similar events): "));
	}
	assert_int_equal(n, 10);
	assert_int_equal(combined, 1);
	/* One object's budget is spent; another's is not. */
	for (int i = 0; i < 30; i++)
		recorder_event(r, &pod, false, "Pulled", NULL, "image");
	struct recorder_ref other = {"v1", "Node", NULL, "n1", NULL, NULL, NULL};
	recorder_event(r, &other, false, "Ready", NULL, "ready");
	UNTIL(w, !recorder_waiting(r));
	assert_int_equal(w->server.writes, 12);
	recorder_free(r);
	client_free(c);
	world_free(w);
}

/* Ten thousand events about ten thousand objects: what cannot wait is dropped. */
static void event_flood(void **state)
{
	struct world *w = world_new();
	struct client *c = new_client(w);
	struct recorder *r = recorder_new(c, "kubelet", "n1");
	char name[16];
	w->server.strict = true;
	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof name, "p%d", i);
		struct recorder_ref pod = {"v1", "Pod", "ns", name, NULL, NULL, NULL};
		recorder_event(r, &pod, false, "Pulled", NULL, "image");
		assert_in_range(recorder_waiting(r), 1, 1000);
	}
	UNTIL(w, !recorder_waiting(r));
	assert_int_equal(w->server.writes, 1000);
	/* One that the server has forgotten is made again, with its count. */
	struct recorder_ref pod = {"v1", "Pod", "ns", "again", NULL, NULL, NULL};
	recorder_event(r, &pod, false, "Pulled", NULL, "image");
	UNTIL(w, !recorder_waiting(r));
	MAP_FOREACH (&w->server.objects, slot)
		blob_unref(slot->value);
	map_deinit(&w->server.objects);
	recorder_event(r, &pod, false, "Pulled", NULL, "image");
	UNTIL(w, !recorder_waiting(r));
	assert_int_equal(w->server.writes, 1002);
	MAP_FOREACH (&w->server.objects, slot)
		assert_int_equal(pb_peek_int(blob_view(slot->value), (uint32_t[]){8}, 1), 2);
	recorder_free(r);
	client_free(c);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hand_over), cmocka_unit_test(expiry),      cmocka_unit_test(cut_off),
	    cmocka_unit_test(events),    cmocka_unit_test(event_flood),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
