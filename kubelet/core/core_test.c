/* SPDX-License-Identifier: Apache-2.0 */
/* A pod is driven through its life against a model of the runtime that carries plans out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "kubelet/core/probe.h"
#include "kubelet/core/status.h"

enum { MAX = 64 };

static struct arena arena;
static CoreV1__Pod *pod;
static struct runtime_container containers[MAX];
static struct runtime_sandbox sandboxes[4];
static struct container_memory memories[8];
static struct pod_runtime rt;
static struct pod_memory memory;
static uint64_t now_ms;

#define MAKE(type, INIT)                            \
	__extension__({                             \
		type *p_ = arena_new(&arena, type); \
		*p_ = (type)INIT;                   \
		p_;                                 \
	})

static CoreV1__Container *make_container(const char *name)
{
	CoreV1__Container *c = MAKE(CoreV1__Container, CORE_V1__CONTAINER__INIT);
	c->name = arena_strdup(&arena, name);
	c->image = arena_strdup(&arena, "localhost/busybox:1");
	memories[memory.n++] = (struct container_memory){.name = c->name};
	return c;
}

static CoreV1__Container **make_list(const char *names, size_t *ret_n)
{
	CoreV1__Container **list = arena_array(&arena, CoreV1__Container *, 8);
	*ret_n = 0;
	for (; *names; names++)
		list[(*ret_n)++] = make_container((char[]){*names, 0});
	return list;
}

static void make_pod(const char *init, const char *regular, const char *policy)
{
	pod = MAKE(CoreV1__Pod, CORE_V1__POD__INIT);
	pod->metadata = MAKE(MetaV1__ObjectMeta, META_V1__OBJECT_META__INIT);
	pod->metadata->name = (char *)"p";
	pod->metadata->namespace_ = (char *)"ns";
	pod->metadata->uid = (char *)"u1";
	pod->spec = MAKE(CoreV1__PodSpec, CORE_V1__POD_SPEC__INIT);
	pod->spec->restart_policy = (char *)policy;
	pod->status = MAKE(CoreV1__PodStatus, CORE_V1__POD_STATUS__INIT);
	pod->spec->init_containers = make_list(init, &pod->spec->n_init_containers);
	pod->spec->containers = make_list(regular, &pod->spec->n_containers);
}

static int setup(void **state)
{
	(void)state;
	arena_init(&arena);
	memset(containers, 0, sizeof(containers));
	memset(sandboxes, 0, sizeof(sandboxes));
	rt = (struct pod_runtime){sandboxes, 0, containers, 0, "containerd"};
	memory = (struct pod_memory){memories, 0};
	now_ms = 1000000;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_deinit(&arena);
	return 0;
}

/* Carries out one plan; returns what it did, as words. */
static const char *step(void)
{
	static const char *const ips[] = {"10.1.0.5"};
	struct pod_plan plan;
	char *said = arena_strdup(&arena, "");
	now_ms += 10;
	pod_plan(pod, &rt, &memory, now_ms, &arena, &plan);
	for (size_t i = 0; i < plan.n_kill; i++) {
		struct runtime_container *c =
		    (struct runtime_container *)(uintptr_t)plan.kill[i].container;
		c->state = CONTAINER_EXITED;
		c->exit_code = 137;
		c->finished_ns = (int64_t)now_ms * 1000000;
		struct container_memory *m = memory_find(&memory, c->name);
		m->must_restart = m->has_started = m->ready = false;
		said = arena_printf(&arena, "%s-%s", said, c->name);
	}
	if (plan.kill_pod) {
		said = arena_printf(&arena, "%sX", said);
		for (size_t i = 0; i < rt.n_sandboxes; i++)
			sandboxes[i].ready = false;
		for (size_t i = 0; i < rt.n_containers; i++)
			if (containers[i].state == CONTAINER_RUNNING)
				containers[i].state = CONTAINER_EXITED;
	}
	if (plan.create_sandbox) {
		memmove(&sandboxes[1], &sandboxes[0], sizeof(sandboxes[0]) * 3);
		sandboxes[0] = (struct runtime_sandbox){
		    .id = arena_printf(&arena, "s%u", plan.sandbox_attempt),
		    .attempt = plan.sandbox_attempt,
		    .ready = true,
		    .ips = ips,
		    .n_ips = 1};
		rt.n_sandboxes = rt.n_sandboxes < 3 ? rt.n_sandboxes + 1 : 3;
		said = arena_printf(&arena, "%sS%u", said, plan.sandbox_attempt);
	}
	for (size_t i = 0; i < plan.n_start; i++) {
		const char *name = plan.start[i].spec->name;
		struct container_memory *m = memory_find(&memory, name);
		assert_true(rt.n_containers < MAX);
		const struct runtime_container *last = runtime_newest(&rt, name);
		if (last)
			backoff_raise(&m->crash, (uint64_t)last->finished_ns / 1000000, now_ms);
		m->has_started = m->ready = true;
		containers[rt.n_containers++] = (struct runtime_container){
		    .id = arena_printf(&arena, "%s-%u", name, plan.start[i].attempt),
		    .name = name,
		    .sandbox_id = sandboxes[0].id,
		    .attempt = plan.start[i].attempt,
		    .state = CONTAINER_RUNNING,
		    .created_ns = (int64_t)now_ms * 1000000 + (int64_t)i,
		    .started_ns = (int64_t)now_ms * 1000000};
		said = arena_printf(&arena, "%s+%s", said, name);
	}
	if (plan.retry_ms != UINT64_MAX)
		said = arena_printf(&arena, "%s~%s", said,
		                    plan.backing_off ? plan.backing_off : "later");
	return said;
}

static void end(const char *name, int code)
{
	struct runtime_container *c =
	    (struct runtime_container *)(uintptr_t)runtime_newest(&rt, name);
	assert_non_null(c);
	c->state = CONTAINER_EXITED;
	c->exit_code = code;
	c->finished_ns = (int64_t)now_ms * 1000000;
}

static CoreV1__PodStatus *status(void)
{
	struct status_input in = {.pod = pod,
	                          .rt = &rt,
	                          .memory = &memory,
	                          .now_ms = now_ms,
	                          .host_ip = "192.0.2.1",
	                          .start_seconds = 1000};
	return pod_status(&in, &arena);
}

static const char *condition(const CoreV1__PodStatus *s, const char *type)
{
	for (size_t i = 0; i < s->n_conditions; i++)
		if (!strcmp(s->conditions[i]->type, type))
			return s->conditions[i]->status;
	return "absent";
}

static void test_life(void **state)
{
	(void)state;
	make_pod("", "ab", "Always");
	assert_string_equal(status()->phase, "Pending");
	assert_string_equal(status()->container_statuses[0]->state->waiting->reason,
	                    "ContainerCreating");
	assert_string_equal(step(), "S0+a+b");
	assert_string_equal(step(), "");
	CoreV1__PodStatus *s = status();
	assert_string_equal(s->phase, "Running");
	assert_string_equal(condition(s, "Ready"), "True");
	assert_string_equal(s->pod_ip, "10.1.0.5");
	assert_string_equal(s->container_statuses[0]->container_id, "containerd://a-0");
	assert_string_equal(s->qos_class, "BestEffort");

	end("a", 1);
	assert_string_equal(step(), "+a"); /* the first restart is at once */
	end("a", 1);
	assert_string_equal(step(), "~a");
	s = status();
	assert_string_equal(s->container_statuses[0]->state->waiting->reason, "CrashLoopBackOff");
	assert_string_equal(s->container_statuses[0]->state->waiting->message,
	                    "back-off 10s restarting failed container=a pod=p_ns(u1)");
	assert_int_equal(s->container_statuses[0]->last_state->terminated->exit_code, 1);
	assert_int_equal(s->container_statuses[0]->restart_count, 1);
	assert_string_equal(s->phase, "Running");
	assert_string_equal(condition(s, "Ready"), "False");
	now_ms += 10000;
	assert_string_equal(step(), "+a");
	end("a", 1);
	assert_string_equal(step(), "~a");
	assert_string_equal(status()->container_statuses[0]->state->waiting->message,
	                    "back-off 20s restarting failed container=a pod=p_ns(u1)");
}

static void test_policies(void **state)
{
	(void)state;
	make_pod("", "a", "OnFailure");
	assert_string_equal(step(), "S0+a");
	end("a", 3);
	assert_string_equal(step(), "+a");
	end("a", 0);
	assert_string_equal(step(), "X");
	CoreV1__PodStatus *s = status();
	assert_string_equal(s->phase, "Succeeded");
	assert_string_equal(s->container_statuses[0]->state->terminated->reason, "Completed");
	assert_string_equal(condition(s, "Initialized"), "True");
	assert_string_equal(step(), "");

	teardown(NULL);
	setup(NULL);
	make_pod("", "a", "Never");
	assert_string_equal(step(), "S0+a");
	end("a", 3);
	assert_string_equal(step(), "X");
	assert_string_equal(status()->phase, "Failed");
	assert_string_equal(status()->container_statuses[0]->state->terminated->reason, "Error");
}

static void test_init(void **state)
{
	(void)state;
	make_pod("ij", "a", "Always");
	assert_string_equal(step(), "S0+i");
	assert_string_equal(step(), "");
	assert_string_equal(status()->phase, "Pending");
	assert_string_equal(status()->container_statuses[0]->state->waiting->reason,
	                    "PodInitializing");
	end("i", 0);
	assert_string_equal(step(), "+j");
	assert_string_equal(condition(status(), "Initialized"), "False");
	end("j", 0);
	assert_string_equal(step(), "+a");
	assert_string_equal(condition(status(), "Initialized"), "True");
	assert_string_equal(status()->phase, "Running");
	/* A lost sandbox begins it all again. */
	sandboxes[0].ready = false;
	assert_string_equal(step(), "XS1+i");

	teardown(NULL);
	setup(NULL);
	make_pod("i", "a", "Never");
	step();
	end("i", 1);
	assert_string_equal(step(), "X");
	assert_string_equal(status()->phase, "Failed");
}

static void test_sidecar(void **state)
{
	(void)state;
	make_pod("si", "a", "Always");
	pod->spec->init_containers[0]->restart_policy = (char *)"Always";
	assert_string_equal(step(), "S0+s");
	assert_string_equal(step(), "+i");
	end("i", 0);
	assert_string_equal(step(), "+a");
	end("s", 1);
	assert_string_equal(step(), "+s");
}

static void test_unhealthy(void **state)
{
	(void)state;
	make_pod("", "a", "Always");
	step();
	memories[0].must_restart = true;
	memories[0].failed_probe = PROBE_LIVENESS;
	assert_string_equal(step(), "-a");
	assert_string_equal(step(), "+a");
	assert_int_equal(status()->container_statuses[0]->restart_count, 1);
}

static void test_start_errors(void **state)
{
	(void)state;
	make_pod("", "a", "Always");
	memories[0].wait_reason = "ErrImagePull";
	memories[0].wait_message = "not found";
	CoreV1__PodStatus *s = status();
	assert_string_equal(s->container_statuses[0]->state->waiting->reason, "ErrImagePull");
	assert_string_equal(s->phase, "Pending");
}

static void test_stop(void **state)
{
	(void)state;
	make_pod("", "ab", "Always");
	step();
	struct pod_plan plan;
	pod_stop_plan(pod, &rt, 5, &arena, &plan);
	assert_int_equal(plan.n_kill, 2);
	assert_int_equal(plan.kill[0].grace_seconds, 5);
	assert_non_null(plan.kill[0].spec);
	assert_false(plan.kill_pod);
	end("a", 143);
	end("b", 0);
	pod_stop_plan(pod, &rt, 5, &arena, &plan);
	assert_int_equal(plan.n_kill, 0);
	assert_true(plan.kill_pod);
	sandboxes[0].ready = false;
	pod_stop_plan(pod, &rt, 5, &arena, &plan);
	assert_false(plan.kill_pod);
	struct status_input in = {.pod = pod,
	                          .rt = &rt,
	                          .memory = &memory,
	                          .now_ms = now_ms,
	                          .host_ip = "192.0.2.1",
	                          .stopping = true};
	assert_string_equal(pod_status(&in, &arena)->phase, "Failed");
}

/* A sandbox that was lost takes what was initialized with it. */
static void test_sandbox_lost(void **state)
{
	(void)state;
	make_pod("ij", "a", "Always");
	assert_string_equal(step(), "S0+i");
	end("i", 0);
	assert_string_equal(step(), "+j");
	end("j", 0);
	assert_string_equal(step(), "+a");
	assert_string_equal(step(), "");
	sandboxes[0].ready = false;
	assert_string_equal(step(), "XS1+i");
	assert_string_equal(step(), "");
	end("i", 0);
	assert_string_equal(step(), "+j");
	end("j", 0);
	assert_string_equal(step(), "+a");
	assert_int_equal(status()->container_statuses[0]->restart_count, 1);
}

/* A container that could not be started waits, the others do not. */
static void test_hold(void **state)
{
	(void)state;
	make_pod("", "ab", "Always");
	assert_string_equal(step(), "S0+a+b");
	end("a", 1);
	end("b", 1);
	memories[0].hold_until_ms = now_ms + 10000;
	assert_string_equal(step(), "+b~later");
	now_ms += 10000;
	assert_string_equal(step(), "+a");
}

/* A container of another image than the spec's is replaced. */
static void test_changed(void **state)
{
	(void)state;
	make_pod("", "ab", "Always");
	assert_string_equal(step(), "S0+a+b");
	containers[0].hash = memories[0].hash = container_hash("a", "image:1");
	assert_string_equal(step(), "");
	memories[0].hash = container_hash("a", "image:2");
	assert_int_not_equal(memories[0].hash, containers[0].hash);
	assert_string_equal(step(), "-a");
	assert_string_equal(step(), "+a");
}

/* What still runs keeps the pod from being over. */
static void test_phase_while_running(void **state)
{
	(void)state;
	make_pod("s", "a", "Never");
	pod->spec->init_containers[0]->restart_policy = (char *)"Always";
	assert_string_equal(step(), "S0+s");
	assert_string_equal(step(), "+a");
	pod->status->phase = (char *)"Running";
	end("a", 0);
	assert_string_equal(status()->phase, "Running");
	end("s", 137);
	assert_string_equal(status()->phase, "Succeeded");
}

static void test_transition_times(void **state)
{
	(void)state;
	make_pod("", "a", "Always");
	step();
	pod->status = status();
	int64_t first = pod->status->conditions[2]->last_transition_time->seconds;
	now_ms += 60000;
	assert_int_equal(status()->conditions[2]->last_transition_time->seconds, first);
	end("a", 1);
	assert_int_not_equal(status()->conditions[2]->last_transition_time->seconds, first);
}

static void test_probe(void **state)
{
	(void)state;
	CoreV1__Probe spec = CORE_V1__PROBE__INIT;
	struct probe p;
	spec.initial_delay_seconds = 5;
	spec.period_seconds = 2;
	spec.failure_threshold = 3;
	probe_init(&p, PROBE_LIVENESS, &spec, 1000, 1000);
	assert_int_equal(probe_due(&p, false), UINT64_MAX);
	assert_int_equal(probe_due(&p, true), 6000);
	assert_false(probe_report(&p, PROBE_FAILURE, 6000));
	assert_false(probe_report(&p, PROBE_FAILURE, 8000));
	assert_int_equal(probe_due(&p, true), 10000);
	assert_true(probe_report(&p, PROBE_FAILURE, 10000));
	assert_int_equal(p.verdict, PROBE_FAILURE);
	assert_int_equal(probe_due(&p, true), UINT64_MAX);

	spec.success_threshold = 2;
	probe_init(&p, PROBE_READINESS, &spec, 1000, 20000);
	assert_int_equal(probe_due(&p, true), 20000);
	assert_false(probe_report(&p, PROBE_SUCCESS, 20000));
	assert_true(probe_report(&p, PROBE_SUCCESS, 22000));
	assert_false(probe_report(&p, PROBE_UNKNOWN, 24000));
	assert_int_equal(p.verdict, PROBE_SUCCESS);

	spec.success_threshold = 1;
	probe_init(&p, PROBE_STARTUP, &spec, 1000, 1000);
	assert_int_equal(probe_due(&p, false), 6000);
	assert_true(probe_report(&p, PROBE_SUCCESS, 6000));
	assert_int_equal(probe_due(&p, false), UINT64_MAX);
}

static void test_backoff(void **state)
{
	(void)state;
	struct backoff b = {0};
	assert_false(backoff_active(&b, 0, 0));
	uint64_t want[] = {10000, 20000, 40000, 80000, 160000, 300000, 300000};
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		backoff_raise(&b, 1000, 1000);
		assert_int_equal(b.delay_ms, want[i]);
	}
	assert_true(backoff_active(&b, 1000, 300999));
	assert_false(backoff_active(&b, 1000, 301000));
	backoff_raise(&b, 1000 + 600001, 1000 + 600001);
	assert_int_equal(b.delay_ms, 10000);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_life),
	    T(test_policies),
	    T(test_init),
	    T(test_sidecar),
	    T(test_unhealthy),
	    T(test_start_errors),
	    T(test_stop),
	    T(test_sandbox_lost),
	    T(test_hold),
	    T(test_changed),
	    T(test_phase_while_running),
	    T(test_transition_times),
	    T(test_probe),
	    T(test_backoff),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
