/* SPDX-License-Identifier: Apache-2.0 */
/* Pods driven by testdata/plan.txt, which says how. usage: script_test FILE */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kubelet/core/test_model.h"

static const char *script_path;
static bool stopping;

static CoreV1__Container *named(const char *name)
{
	for (size_t i = 0; i < pod->spec->n_init_containers; i++)
		if (!strcmp(pod->spec->init_containers[i]->name, name))
			return pod->spec->init_containers[i];
	for (size_t i = 0; i < pod->spec->n_containers; i++)
		if (!strcmp(pod->spec->containers[i]->name, name))
			return pod->spec->containers[i];
	fail_msg("no container %s", name);
	return NULL;
}

/* "s*", "a=Never", "a~42" */
static void decorate(const char *name, const char *mark)
{
	CoreV1__Container *c = named(name);
	if (*mark == '*')
		c->restart_policy = (char *)"Always";
	if (*mark == '=')
		c->restart_policy = arena_strdup(&arena, mark + 1);
	if (*mark != '~')
		return;
	c->n_restart_policy_rules = 1;
	c->restart_policy_rules = arena_array(&arena, CoreV1__ContainerRestartRule *, 1);
	CoreV1__ContainerRestartRule *r =
	    MAKE(&arena, CoreV1__ContainerRestartRule, CORE_V1__CONTAINER_RESTART_RULE__INIT);
	r->action = (char *)"Restart";
	r->exit_codes = MAKE(&arena, CoreV1__ContainerRestartRuleOnExitCodes,
	                     CORE_V1__CONTAINER_RESTART_RULE_ON_EXIT_CODES__INIT);
	r->exit_codes->operator_ = (char *)"In";
	r->exit_codes->n_values = 1;
	r->exit_codes->values = arena_array(&arena, int32_t, 1);
	r->exit_codes->values[0] = (int)strtol(mark + 1, NULL, 10);
	c->restart_policy_rules[0] = r;
}

/* The names of "s*,i,t*" or "abc": "sit", "abc". */
static char *names_of(const char *list)
{
	char *names = arena_strdup(&arena, ""), *word, *rest = arena_strdup(&arena, list);
	if (!strcmp(list, "-"))
		return names;
	if (!strpbrk(list, ",*=~"))
		return rest;
	while ((word = strsep(&rest, ",")))
		names = arena_printf(&arena, "%s%c", names, *word);
	return names;
}

static void decorate_all(const char *list)
{
	char *word, *rest = arena_strdup(&arena, list);
	while (strpbrk(list, ",*=~") && (word = strsep(&rest, ",")))
		decorate((char[]){*word, 0}, word + 1);
}

static void script_pod(const char *args)
{
	char init[64], regular[64], policy[32];
	assert_int_equal(sscanf(args, "%63s %63s %31s", init, regular, policy), 3);
	make_pod(names_of(init), names_of(regular), arena_strdup(&arena, policy));
	decorate_all(init);
	decorate_all(regular);
	pod->status->phase = pod->status->reason = pod->status->message = (char *)"";
	pod->status->nominated_node_name = pod->status->qos_class = pod->status->pod_ip =
	    (char *)"";
}

static CoreV1__PodStatus *script_status(void)
{
	struct status_input in = {.pod = pod,
	                          .rt = &rt,
	                          .memory = &memory,
	                          .now_ms = now_ms,
	                          .host_ip = "192.0.2.1",
	                          .start_seconds = 1000,
	                          .stopping = stopping};
	return pod_status(&in, &arena);
}

static const CoreV1__ContainerStatus *status_of(const char *name)
{
	const CoreV1__PodStatus *s = script_status();
	for (size_t i = 0; i < s->n_init_container_statuses; i++)
		if (!strcmp(s->init_container_statuses[i]->name, name))
			return s->init_container_statuses[i];
	for (size_t i = 0; i < s->n_container_statuses; i++)
		if (!strcmp(s->container_statuses[i]->name, name))
			return s->container_statuses[i];
	return NULL;
}

static const char *word_of(const CoreV1__ContainerState *s)
{
	return s->waiting      ? s->waiting->reason
	       : s->terminated ? s->terminated->reason
	       : s->running    ? "Running"
	                       : "none";
}

static void script_forget(const char *name)
{
	size_t k = 0;
	for (size_t i = 0; i < rt.n_containers; i++)
		if (strcmp(containers[i].name, name))
			containers[k++] = containers[i];
	rt.n_containers = k;
}

static const char *script_stop(void)
{
	struct pod_plan plan;
	const char *said = "";
	pod_stop_plan(pod, &rt, 5, &arena, &plan);
	for (size_t i = 0; i < plan.n_kill; i++)
		said = arena_printf(&arena, "%s-%s%u", said, plan.kill[i].container->name,
		                    plan.kill[i].order);
	return plan.kill_pod ? arena_printf(&arena, "%sX", said) : said;
}

static const char *script_kill(const char *name)
{
	struct pod_plan plan;
	pod_plan(pod, &rt, &memory, now_ms, &arena, &plan);
	for (size_t i = 0; i < plan.n_kill; i++)
		if (!strcmp(plan.kill[i].container->name, name))
			return plan.kill[i].message;
	return "no kill";
}

static const char *yes(bool b)
{
	return b ? "yes" : "no";
}

/* Does one command; returns what it found, NULL when there is nothing to compare. *rest: what is to
 * be compared with. */
static const char *run_line(const char *command, const char *name, const char **rest)
{
	struct container_memory *m = memory_find(&memory, name);
	if (!strcmp(command, "step")) {
		*rest = strcmp(name, ".") ? name : "";
		return step();
	} else if (!strcmp(command, "stop")) {
		*rest = name;
		return script_stop();
	} else if (!strcmp(command, "phase")) {
		*rest = name;
		return script_status()->phase;
	} else if (!strcmp(command, "ready") || !strcmp(command, "initialized")) {
		*rest = name;
		return yes(!strcmp(
		    condition(script_status(), *command == 'r' ? "Ready" : "Initialized"), "True"));
	} else if (!strcmp(command, "word")) {
		return word_of(status_of(name)->state);
	} else if (!strcmp(command, "last")) {
		return word_of(status_of(name)->last_state);
	} else if (!strcmp(command, "restarts")) {
		return arena_printf(&arena, "%d", status_of(name)->restart_count);
	} else if (!strcmp(command, "kill")) {
		return script_kill(name);
	} else if (!strcmp(command, "end")) {
		end(name, (int)strtol(*rest, NULL, 10));
	} else if (!strcmp(command, "wait")) {
		now_ms += strtoull(name, NULL, 10);
	} else if (!strcmp(command, "lose")) {
		sandboxes[0].ready = false;
	} else if (!strcmp(command, "forget")) {
		script_forget(name);
	} else if (!strcmp(command, "unhealthy")) {
		m->must_restart = true;
		m->failed_probe = **rest == 's' ? PROBE_STARTUP : PROBE_LIVENESS;
	} else if (!strcmp(command, "unstarted") || !strcmp(command, "started")) {
		m->has_started = m->ready = *command == 's';
	} else if (!strcmp(command, "fail")) {
		m->wait_reason = arena_strdup(&arena, *rest);
	} else if (!strcmp(command, "changed")) {
		m->hash = 2;
		((struct runtime_container *)(uintptr_t)runtime_newest(&rt, name))->hash = 1;
	} else if (!strcmp(command, "told")) {
		pod->status = script_status();
	} else if (!strcmp(command, "stopping")) {
		stopping = true;
	} else {
		fail_msg("no such command: %s", command);
	}
	return NULL;
}

static void begin_case(void)
{
	stopping = false;
	teardown(NULL);
	setup(NULL);
}

static void test_script(void **state)
{
	(void)state;
	FILE *f = fopen(script_path, "re");
	char line[256], title[128] = "";
	unsigned number = 0, cases = 0;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char *rest = line, *command = strsep(&rest, " \n");
		number++;
		if (!*command || *command == '#')
			continue;
		char *end_of_line = rest ? strchr(rest, '\n') : NULL;
		if (end_of_line)
			*end_of_line = 0;
		if (!strcmp(command, "case")) {
			snprintf(title, sizeof(title), "%s", rest);
			begin_case();
			cases++;
			continue;
		}
		if (!strcmp(command, "pod")) {
			script_pod(rest);
			continue;
		}
		char *name = rest ? strsep(&rest, " ") : (char *)"";
		const char *want = rest ? rest : "";
		const char *got = run_line(command, name, &want);
		if (got && strcmp(got, want))
			fail_msg("%s, line %u: %s %s: got \"%s\", want \"%s\"", title, number,
			         command, name, got, want);
	}
	fclose(f);
	assert_true(cases > 20);
}

int main(int argc, char **argv)
{
	script_path = argc > 1 ? argv[1] : "testdata/plan.txt";
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_script, setup, teardown)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
