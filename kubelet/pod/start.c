/* SPDX-License-Identifier: Apache-2.0 */
/* Starts one container: image, configuration, CreateContainer, StartContainer, postStart. */
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "kubelet/image/name.h"
#include "kubelet/pod/image.h"

enum { RETRY_MS = 10000 };

enum start_stage { START_IMAGE, START_CONFIG, START_CREATE, START_RUN, START_HOOK };

struct start {
	struct pod *pod;
	enum start_stage stage;
	const CoreV1__Container *spec; /* the pod's object does not change during a step */
	struct arena arena;
	uint32_t attempt, sandbox_attempt;
	const char *sandbox_id, *container_id;
	struct image_info image;
	struct image_ensure *ensure;
	struct cri_call *create;
	struct hook *hook;
	const char *hook_text; /* why it failed */
};

static void set_waiting(struct pod *p, const char *container, const char *reason,
                        const char *message)
{
	struct container_memory *m = pod_memory_of(p, container);
	if (!m)
		return;
	free((char *)(uintptr_t)m->wait_message);
	m->wait_message = message ? strdup(message) : NULL;
	m->wait_reason = reason;
}

static void finish(struct start *s)
{
	struct pod *p = s->pod;
	objects_forget(p->k->objects, s);
	p->start = NULL;
	arena_deinit(&s->arena);
	free(s);
	pods_relist_now(p->k->pods);
	pod_step_done(p);
}

static void fail(struct start *s, const char *reason, const char *message)
{
	set_waiting(s->pod, s->spec->name, reason, message);
	finish(s);
}

/* For what leaves no container behind whose end would make the next try wait. */
static void fail_and_hold(struct start *s, const char *reason, const char *message)
{
	struct container_memory *m = pod_memory_of(s->pod, s->spec->name);
	if (m)
		m->hold_until_ms = now_real_ms() + RETRY_MS;
	fail(s, reason, message);
}

/* postStart */

static void on_killed(const struct cri_result *r, void *arg)
{
	(void)r;
	struct start *s = arg;
	fail(s, "PostStartHookError", s->hook_text);
}

static void on_hook(const char *text, void *arg)
{
	struct start *s = arg;
	struct pod *p = s->pod;
	s->hook = NULL;
	if (!text) {
		finish(s);
		return;
	}
	s->hook_text = arena_strdup(&s->arena, text);
	pod_event(p, s->spec->name, true, "FailedPostStartHook", "PostStartHook failed");
	pod_event(p, s->spec->name, false, "Killing", "FailedPostStartHook");
	CriV1__StopContainerRequest q = CRI_V1__STOP_CONTAINER_REQUEST__INIT;
	q.container_id = (char *)(uintptr_t)s->container_id;
	q.timeout = p->spec->spec->has_termination_grace_period_seconds
	                ? p->spec->spec->termination_grace_period_seconds
	                : 30;
	cri_call(p->k->cri, CRI_STOP_CONTAINER, &q, (uint32_t)q.timeout * 1000 + CRI_TIMEOUT_MS,
	         on_killed, s);
}

/* Create and run */

static void on_started(const struct cri_result *r, void *arg)
{
	struct start *s = arg;
	struct pod *p = s->pod;
	if (r->code != RPC_OK) {
		pod_event(p, s->spec->name, true, "Failed", "Error: %s", r->text);
		fail(s, "RunContainerError", r->text);
		return;
	}
	set_waiting(p, s->spec->name, NULL, NULL);
	struct container_memory *m = pod_memory_of(p, s->spec->name);
	if (m)
		resize_restarted(p, m);
	pod_event(p, s->spec->name, false, "Started", "Container started");
	const CoreV1__Lifecycle *l = s->spec->lifecycle;
	if (l && l->post_start) {
		s->stage = START_HOOK;
		s->hook = hook_run(p, l->post_start, s->spec, s->container_id, 0, on_hook, s);
		return;
	}
	finish(s);
}

static void on_created(const struct cri_result *r, void *arg)
{
	struct start *s = arg;
	struct pod *p = s->pod;
	const CriV1__CreateContainerResponse *m = (const void *)r->body;
	s->create = NULL;
	if (!m) {
		pod_event(p, s->spec->name, true, "Failed", "Error: %s", r->text);
		fail_and_hold(s, "CreateContainerError", r->text);
		return;
	}
	pod_event(p, s->spec->name, false, "Created", "Container created");
	s->container_id = arena_strdup(&s->arena, m->container_id);
	if (p->deleting || p->gone) {
		finish(s);
		return;
	}
	s->stage = START_RUN;
	CriV1__StartContainerRequest q = CRI_V1__START_CONTAINER_REQUEST__INIT;
	q.container_id = (char *)(uintptr_t)s->container_id;
	cri_call(p->k->cri, CRI_START_CONTAINER, &q, CRI_TIMEOUT_MS, on_started, s);
}

/* Configuration */

static void configure(void *arg)
{
	struct start *s = arg;
	struct pod *p = s->pod;
	if (s->stage != START_CONFIG)
		return;
	_cleanup_arena_ struct arena a = {0};
	CriV1__CreateContainerRequest *q =
	    CRI_NEW(&a, CriV1__CreateContainerRequest, CRI_V1__CREATE_CONTAINER_REQUEST__INIT);
	struct err err = ERR_INIT;
	enum object_state state =
	    container_config(p, s->spec, s->attempt, &s->image, configure, s, &a, &q->config, &err);
	if (state == OBJECT_WAIT)
		return;
	if (state == OBJECT_FAILED) {
		pod_event(p, s->spec->name, true, "Failed", "Error: %s", err.text);
		fail_and_hold(s, "CreateContainerConfigError", err.text);
		return;
	}
	s->stage = START_CREATE;
	q->pod_sandbox_id = (char *)(uintptr_t)s->sandbox_id;
	q->sandbox_config = sandbox_config(p, s->sandbox_attempt, false, &a);
	s->create = cri_call(p->k->cri, CRI_CREATE_CONTAINER, q, CRI_TIMEOUT_MS, on_created, s);
}

/* Image */

static void on_image(const struct image_info *image, const char *reason, const char *message,
                     void *arg)
{
	struct start *s = arg;
	s->ensure = NULL;
	if (reason) {
		pod_event(s->pod, s->spec->name, true, "Failed", "Error: %s", reason);
		if (!strcmp(reason, "ErrImagePull")) {
			/* Only this container waits: the image has a back-off of its own. */
			fail(s, reason, message);
			return;
		}
		fail_and_hold(s, reason, message);
		return;
	}
	s->image = *image;
	s->image.ref = arena_strdup(&s->arena, image->ref);
	s->image.username = arena_strdup(&s->arena, image->username);
	s->stage = START_CONFIG;
	configure(s);
}

/* An image whose last pull failed a moment ago: says so once. */
static bool waits_for_image(struct pod *p, const CoreV1__Container *c, const char *image)
{
	_cleanup_arena_ struct arena a = {0};
	const char *error = NULL;
	uint64_t left = image_backing_off(p, image, &error);
	if (!left)
		return false;
	pod_sync_after(p, left + 1);
	const struct container_memory *m = pod_memory_of(p, c->name);
	if (m && m->wait_reason && !strcmp(m->wait_reason, "ImagePullBackOff"))
		return true;
	pod_event(p, c->name, false, "BackOff", "Back-off pulling image \"%s\"", image);
	pod_event(p, c->name, true, "Failed", "Error: ImagePullBackOff");
	set_waiting(p, c->name, "ImagePullBackOff",
	            arena_printf(&a, "Back-off pulling image \"%s\": ErrImagePull: %s", image,
	                         error ? error : ""));
	return true;
}

static void tell_bad_name(struct pod *p, const CoreV1__Container *c, const char *text)
{
	const struct container_memory *m = pod_memory_of(p, c->name);
	if (m && m->wait_reason && !strcmp(m->wait_reason, "InvalidImageName"))
		return;
	pod_event(p, c->name, true, "InspectFailed", "%s", text);
	pod_event(p, c->name, true, "Failed", "Error: InvalidImageName");
	set_waiting(p, c->name, "InvalidImageName", text);
}

void container_start(struct pod *p, const struct plan_start *plan, const char *sandbox_id,
                     uint32_t sandbox_attempt)
{
	_cleanup_arena_ struct arena a = {0};
	struct err err = ERR_INIT;
	const char *image = image_name_complete(plan->spec->image, &a, &err);
	if (!image) {
		tell_bad_name(p, plan->spec, err.text);
		return;
	}
	if (waits_for_image(p, plan->spec, image))
		return;
	struct start *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->pod = p;
	s->spec = plan->spec;
	s->attempt = plan->attempt;
	s->sandbox_id = arena_strdup(&s->arena, sandbox_id);
	s->sandbox_attempt = sandbox_attempt;
	if (plan->kind == KIND_EPHEMERAL) {
		/* Planned in the plan's arena. */
		CoreV1__Container *copy = arena_new(&s->arena, CoreV1__Container);
		*copy = *plan->spec;
		s->spec = copy;
	}
	struct container_memory *m = pod_memory_of(p, plan->spec->name);
	const struct runtime_container *last = runtime_newest(&p->rt, plan->spec->name);
	if (m && last && last->state == CONTAINER_EXITED)
		backoff_raise(&m->crash, (uint64_t)(last->finished_ns / 1000000), now_real_ms());
	if (m)
		m->must_restart = m->has_started = m->ready = false;
	p->start = s;
	pod_step(p);
	s->ensure = image_ensure(p, s->spec, image, on_image, s);
}

void container_start_cancel(struct start *s)
{
	switch (s->stage) {
	case START_IMAGE:
		image_ensure_drop(s->ensure);
		break;
	case START_CONFIG:
		break;
	case START_HOOK:
		hook_drop(s->hook);
		break;
	case START_CREATE:
		cri_call_drop(s->create);
		break;
	case START_RUN:
		return; /* soon over */
	}
	if (s->stage == START_HOOK && !s->hook)
		return; /* its container is being stopped */
	finish(s);
}
