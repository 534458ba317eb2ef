/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "kubelet/core/test_model.h"

struct arena arena;
CoreV1__Pod *pod;
struct runtime_container containers[MODEL_MAX];
struct runtime_sandbox sandboxes[4];
struct container_memory memories[8];
struct pod_runtime rt;
struct pod_memory memory;
uint64_t now_ms;

static CoreV1__Container *make_container(const char *name)
{
	CoreV1__Container *c = MAKE(&arena, CoreV1__Container, CORE_V1__CONTAINER__INIT);
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

void make_pod(const char *init, const char *regular, const char *policy)
{
	pod = MAKE(&arena, CoreV1__Pod, CORE_V1__POD__INIT);
	pod->metadata = MAKE(&arena, MetaV1__ObjectMeta, META_V1__OBJECT_META__INIT);
	pod->metadata->name = (char *)"p";
	pod->metadata->namespace_ = (char *)"ns";
	pod->metadata->uid = (char *)"u1";
	pod->spec = MAKE(&arena, CoreV1__PodSpec, CORE_V1__POD_SPEC__INIT);
	pod->spec->restart_policy = (char *)policy;
	pod->status = MAKE(&arena, CoreV1__PodStatus, CORE_V1__POD_STATUS__INIT);
	pod->spec->init_containers = make_list(init, &pod->spec->n_init_containers);
	pod->spec->containers = make_list(regular, &pod->spec->n_containers);
}

int setup(void **state)
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

int teardown(void **state)
{
	(void)state;
	arena_deinit(&arena);
	return 0;
}

/* Carries out one plan; returns what it did, as words. */
const char *step(void)
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
		assert_true(rt.n_containers < MODEL_MAX);
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

void end(const char *name, int code)
{
	struct runtime_container *c =
	    (struct runtime_container *)(uintptr_t)runtime_newest(&rt, name);
	assert_non_null(c);
	c->state = CONTAINER_EXITED;
	c->exit_code = code;
	c->finished_ns = (int64_t)now_ms * 1000000;
}

CoreV1__PodStatus *status(void)
{
	struct status_input in = {.pod = pod,
	                          .rt = &rt,
	                          .memory = &memory,
	                          .now_ms = now_ms,
	                          .host_ip = "192.0.2.1",
	                          .start_seconds = 1000};
	return pod_status(&in, &arena);
}

const char *condition(const CoreV1__PodStatus *s, const char *type)
{
	for (size_t i = 0; i < s->n_conditions; i++)
		if (!strcmp(s->conditions[i]->type, type))
			return s->conditions[i]->status;
	return "absent";
}
