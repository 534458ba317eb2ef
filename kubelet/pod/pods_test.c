/* SPDX-License-Identifier: Apache-2.0 */
/* A whole kubelet in this process between an apiserver in memory and a runtime that can hang, fail
 * and talk nonsense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/client/test_apiserver.h"
#include "kubelet/cri/fake_cri.h"
#include "kubelet/flags.h"
#include "kubelet/pod/pod.h"
#include "proto/schema_messages.h"

enum { LIMIT_MS = 50000 };

static struct world {
	char dir[64];
	struct daemon daemon;
	struct test_apiserver api;
	struct fake_cri cri;
	struct kubelet_config config;
	struct kubeconfig kubeconfig;
	struct kubelet kubelet;
	struct client *user;
	struct loop_timer limit;
	struct arena arena;
	bool cri_ended;
} * w;

static void expired(void *arg)
{
	(void)arg;
	fprintf(stderr, "the test waited too long\n");
	abort();
}

#define UNTIL(condition)                                      \
	do {                                                  \
		while (!(condition))                          \
			loop_run_once(&w->daemon.loop, true); \
	} while (0)

static void start_cri(void)
{
	char endpoint[100];
	snprintf(endpoint, sizeof(endpoint), "unix:%s/cri.sock", w->dir);
	fake_cri_init(&w->cri, w->daemon.rpc, &w->daemon.loop, endpoint);
}

static int set_up(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	w = calloc(1, sizeof(*w));
	assert_non_null(w);
	snprintf(w->dir, sizeof(w->dir), "/tmp/kubec-pods-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(loop_init(&w->daemon.loop), 0);
	loop_timer_init(&w->limit, &w->daemon.loop, expired, w);
	loop_timer_start(&w->limit, LIMIT_MS);
	w->daemon.rpc = rpc_core_new(1);
	w->daemon.metrics = metrics_new(false);
	health_init(&w->daemon.health);
	test_apiserver_init(&w->api, w->daemon.rpc, &w->daemon.loop);
	w->kubeconfig.grpc_endpoints = w->api.endpoint;
	start_cri();
	w->config = kubelet_config;
	w->config.node_name = "n1";
	w->config.node_ip = w->config.address = "127.0.0.1";
	w->config.root_dir = arena_printf(&w->arena, "%s/kubelet", w->dir);
	w->config.logs_dir = arena_printf(&w->arena, "%s/logs", w->dir);
	w->config.runtime_endpoint = arena_printf(&w->arena, "unix://%s/cri.sock", w->dir);
	w->config.eviction_hard = "";
	w->config.port = w->config.healthz_port = 0;
	w->config.cgroups_per_qos = false;
	if (kubelet_start(&w->kubelet, &w->daemon, &w->config, &w->kubeconfig, &err))
		fail_msg("%s", err.text);
	struct client_options o = {w->daemon.rpc, &w->daemon.loop, &w->kubeconfig, "user", 5000};
	assert_int_equal(client_new(&o, &w->user, NULL), 0);
	UNTIL(w->kubelet.pods->listed && w->kubelet.pods->synced);
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int tear_down(void **state)
{
	(void)state;
	client_free(w->user);
	kubelet_stop(&w->kubelet);
	if (!w->cri_ended)
		fake_cri_deinit(&w->cri);
	test_apiserver_deinit(&w->api);
	rpc_core_free(w->daemon.rpc);
	loop_timer_stop(&w->limit);
	loop_deinit(&w->daemon.loop);
	health_deinit(&w->daemon.health);
	metrics_free(w->daemon.metrics);
	arena_deinit(&w->daemon.arena);
	nftw(w->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	arena_deinit(&w->arena);
	free(w);
	return 0;
}

/* The user */

static void on_done(const struct client_result *r, void *arg)
{
	if (r->code != ERR_OK)
		fprintf(stderr, "%s\n", r->message);
	*(int *)arg = r->code == ERR_OK ? 1 : -1;
}

static void create_pod(const char *name, const char *policy)
{
	_cleanup_arena_ struct arena a = {0};
	int done = 0;
	CoreV1__Pod *p = (void *)pb_new(&core_v1__pod_schema, &a);
	CoreV1__Container *c = (void *)pb_new(&core_v1__container_schema, &a);
	p->metadata->name = p->metadata->uid = arena_strdup(&a, name);
	p->metadata->namespace_ = (char *)"default";
	p->spec->node_name = (char *)"n1";
	p->spec->restart_policy = arena_strdup(&a, policy);
	p->spec->has_termination_grace_period_seconds = 1;
	p->spec->termination_grace_period_seconds = 1;
	p->spec->n_containers = 1;
	p->spec->containers = &c;
	c->name = arena_printf(&a, "c-%s", name);
	c->image = (char *)"image:1";
	struct client_target t = {{"", "v1", "pods"}, "default", name, ""};
	client_write_msg(w->user, true, &t, &core_v1__pod_schema, &p->base, on_done, &done);
	UNTIL(done);
	assert_int_equal(done, 1);
}

/* As a user's `kubectl delete --force` does: the object is gone at once. */
static void delete_pod(const char *name)
{
	int done = 0;
	struct client_target t = {{"", "v1", "pods"}, "default", name, ""};
	client_delete(w->user, &t, &(struct client_delete_options){.grace_period_seconds = 0},
	              on_done, &done);
	UNTIL(done);
}

static CoreV1__Pod *get_pod(const char *name, struct arena *a)
{
	char key[100];
	struct err err = ERR_INIT;
	ProtobufCMessage *msg = NULL;
	snprintf(key, sizeof(key), "/pods/default/%s", name);
	struct slice bytes = test_apiserver_get(&w->api, key);
	if (!bytes.len || pb_decode(&core_v1__pod_schema, bytes, a, &msg, &err))
		return NULL;
	return (void *)msg;
}

static bool phase_is(const char *name, const char *phase)
{
	_cleanup_arena_ struct arena a = {0};
	const CoreV1__Pod *p = get_pod(name, &a);
	return p && !strcmp(p->status->phase, phase);
}

/* The reason for which the container waits, or "". */
static bool waits_for(const char *name, const char *reason)
{
	_cleanup_arena_ struct arena a = {0};
	const CoreV1__Pod *p = get_pod(name, &a);
	const CoreV1__ContainerStatus *s =
	    p && p->status->n_container_statuses ? p->status->container_statuses[0] : NULL;
	return s && s->state && s->state->waiting && !strcmp(s->state->waiting->reason, reason);
}

static int restarts(const char *name)
{
	_cleanup_arena_ struct arena a = {0};
	const CoreV1__Pod *p = get_pod(name, &a);
	return p && p->status->n_container_statuses
	           ? p->status->container_statuses[0]->restart_count
	           : -1;
}

static bool has_event(const char *reason)
{
	MAP_FOREACH (&w->api.objects, it) {
		_cleanup_arena_ struct arena a = {0};
		struct err err = ERR_INIT;
		ProtobufCMessage *msg = NULL;
		if (!memmem(it->key, it->key_len, "events/", 7) ||
		    pb_decode(&core_v1__event_schema, blob_view(it->value), &a, &msg, &err))
			continue;
		if (!strcmp(((CoreV1__Event *)(void *)msg)->reason, reason))
			return true;
	}
	return false;
}

static bool all_gone(void)
{
	return !fake_sandboxes(&w->cri) && !fake_containers(&w->cri) && !w->kubelet.pods->by_uid.n;
}

/* Cases */

static void test_life(void **state)
{
	(void)state;
	create_pod("p", "Always");
	UNTIL(phase_is("p", "Running"));
	fake_exit(&w->cri, "c-p", 3);
	UNTIL(restarts("p") == 1);
	fake_exit(&w->cri, "c-p", 3);
	UNTIL(waits_for("p", "CrashLoopBackOff"));
	create_pod("q", "Never");
	UNTIL(phase_is("q", "Running"));
	fake_exit(&w->cri, "c-q", 0);
	UNTIL(phase_is("q", "Succeeded"));
	delete_pod("p");
	delete_pod("q");
	UNTIL(all_gone());
}

/* One method is bad for one pod; another pod lives beside it, and all goes well when it is good
 * again. */
static void check_method(const char *name, enum fake_mood mood, const char *reason)
{
	struct fake_method *m = fake_method(&w->cri, name);
	create_pod("before", "Always");
	UNTIL(phase_is("before", "Running"));
	m->mood = mood;
	unsigned calls = m->calls;
	create_pod("bad", "Always");
	UNTIL(m->calls > calls);
	if (reason)
		UNTIL(waits_for("bad", reason) || has_event(reason));
	/* The loop goes on: the container of another pod ends, and that is seen. */
	if (mood == FAKE_HANGS) {
		m->mood = FAKE_FINE;
		fake_exit(&w->cri, "c-before", 1);
		UNTIL(restarts("before") == 1);
	}
	assert_true(phase_is("bad", "Pending"));
	/* What failed is not tried again and again. */
	assert_in_range(m->calls - calls, 1, 5);
	m->mood = FAKE_FINE;
	delete_pod("before");
	delete_pod("bad");
	/* Nobody waits for what hangs. */
	UNTIL(all_gone());
}

static void test_sandbox_fails(void **state)
{
	(void)state;
	check_method("RunPodSandbox", FAKE_FAILS, "FailedCreatePodSandBox");
}

static void test_sandbox_hangs(void **state)
{
	(void)state;
	check_method("RunPodSandbox", FAKE_HANGS, NULL);
}

static void test_sandbox_garbage(void **state)
{
	(void)state;
	check_method("RunPodSandbox", FAKE_GARBAGE, "FailedCreatePodSandBox");
}

static void test_create_fails(void **state)
{
	(void)state;
	check_method("CreateContainer", FAKE_FAILS, "CreateContainerError");
}

static void test_create_hangs(void **state)
{
	(void)state;
	check_method("CreateContainer", FAKE_HANGS, NULL);
}

static void test_create_garbage(void **state)
{
	(void)state;
	check_method("CreateContainer", FAKE_GARBAGE, "CreateContainerError");
}

static void test_image_fails(void **state)
{
	(void)state;
	check_method("ImageStatus", FAKE_FAILS, "ImageInspectError");
}

static void test_pull_hangs(void **state)
{
	(void)state;
	w->cri.image_missing = true;
	struct fake_method *m = fake_method(&w->cri, "PullImage");
	m->mood = FAKE_HANGS;
	create_pod("p", "Always");
	UNTIL(m->calls == 1);
	/* Pulls come one after the other. */
	create_pod("q", "Always");
	UNTIL(fake_sandboxes(&w->cri) == 2);
	assert_int_equal(m->calls, 1);
	m->mood = FAKE_FINE;
	delete_pod("p");
	UNTIL(phase_is("q", "Running"));
	assert_int_equal(m->calls, 2);
	delete_pod("q");
	UNTIL(all_gone());
}

/* What the runtime says of itself fails for a while: nothing is touched. */
static void test_blind(void **state)
{
	(void)state;
	static const char *const names[] = {"ListContainers", "ListPodSandbox", "ContainerStatus",
	                                    "PodSandboxStatus"};
	create_pod("p", "Always");
	UNTIL(phase_is("p", "Running"));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		for (int mood = FAKE_FAILS; mood <= FAKE_GARBAGE; mood++) {
			struct fake_method *m = fake_method(&w->cri, names[i]);
			unsigned calls = m->calls;
			m->mood = (enum fake_mood)mood;
			pods_relist_now(w->kubelet.pods);
			pods_find(w->kubelet.pods, "default", "p")->rt_fresh = false;
			pod_sync(pods_find(w->kubelet.pods, "default", "p"));
			UNTIL(m->calls > calls);
			m->mood = FAKE_FINE;
		}
	fake_exit(&w->cri, "c-p", 1);
	UNTIL(restarts("p") == 1);
	assert_int_equal(fake_method(&w->cri, "RunPodSandbox")->calls, 1);
	assert_int_equal(fake_method(&w->cri, "CreateContainer")->calls, 2);
	delete_pod("p");
	UNTIL(all_gone());
}

static void test_runtime_dies(void **state)
{
	(void)state;
	create_pod("p", "Always");
	UNTIL(phase_is("p", "Running"));
	fake_cri_deinit(&w->cri);
	w->cri_ended = true;
	UNTIL(!w->kubelet.pods->runtime_ok);
	/* It comes back without memory: the pod is made anew. */
	start_cri();
	w->cri_ended = false;
	UNTIL(fake_containers(&w->cri) == 1);
	UNTIL(restarts("p") == 1);
	delete_pod("p");
	UNTIL(all_gone());
}

static void test_reboot(void **state)
{
	(void)state;
	create_pod("p", "Always");
	UNTIL(phase_is("p", "Running"));
	fake_reboot(&w->cri);
	UNTIL(restarts("p") == 1);
	UNTIL(fake_method(&w->cri, "RunPodSandbox")->calls == 2);
	assert_true(has_event("SandboxChanged"));
	delete_pod("p");
	UNTIL(all_gone());
}

static void test_unknown_pod(void **state)
{
	(void)state;
	create_pod("p", "Always");
	UNTIL(phase_is("p", "Running"));
	struct pod *p = pods_find(w->kubelet.pods, "default", "p");
	UNTIL(!p->busy && !p->status_in_flight);
	p->gone = true;
	pod_forget(p); /* as after a start: only the runtime knows it */
	int done = 0;
	struct client_target t = {{"", "v1", "pods"}, "default", "p", ""};
	client_delete(w->user, &t, &(struct client_delete_options){0}, on_done, &done);
	UNTIL(done);
	UNTIL(all_gone());
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    T(test_life),           T(test_sandbox_fails),
	    T(test_sandbox_hangs),  T(test_sandbox_garbage),
	    T(test_create_fails),   T(test_create_hangs),
	    T(test_create_garbage), T(test_image_fails),
	    T(test_pull_hangs),     T(test_blind),
	    T(test_runtime_dies),   T(test_reboot),
	    T(test_unknown_pod),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
