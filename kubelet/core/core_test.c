/* SPDX-License-Identifier: Apache-2.0 */
/* A pod is driven through its life against a model of the runtime. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "kubelet/core/probe.h"
#include "kubelet/core/test_model.h"

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
