/* SPDX-License-Identifier: Apache-2.0 */
/* Resizes in place: a running container gets other limits without, or where its resizePolicy asks
 * for that, with a restart. What it has until then is remembered; after a start of the kubelet the
 * status in the apiserver tells. */
#include <string.h>

#include "kubelet/cgroup/cgroups.h"
#include "kubelet/core/resources.h"
#include "kubelet/node/node.h"
#include "kubelet/pod/pod.h"
#include "proto/json_encode.h"
#include "proto/msg.h"
#include "proto/schema_messages.h"

enum { RETRY_MS = 10000 };

struct update {
	struct pod *pod;
	char name[];
};

static bool same(const CoreV1__ResourceRequirements *a, const CoreV1__ResourceRequirements *b)
{
	static const char *const names[] = {"cpu", "memory"};
	for (size_t i = 0; i < 4; i++)
		if (quantity_cmp_text(container_resource(a, i & 1, names[i / 2]),
		                      container_resource(b, i & 1, names[i / 2])))
			return false;
	return true;
}

static const CoreV1__Container *container_of(const CoreV1__Pod *pod, const char *name)
{
	const CoreV1__PodSpec *s = pod->spec;
	for (size_t i = 0; i < s->n_containers; i++)
		if (!strcmp(s->containers[i]->name, name))
			return s->containers[i];
	for (size_t i = 0; i < s->n_init_containers; i++)
		if (!strcmp(s->init_containers[i]->name, name))
			return s->init_containers[i];
	return NULL;
}

/* What a running container of an object had by its status. */
static const CoreV1__ResourceRequirements *told(const CoreV1__Pod *pod, const char *name)
{
	const CoreV1__PodStatus *s = pod->status;
	for (size_t i = 0; i < s->n_container_statuses; i++) {
		const CoreV1__ContainerStatus *c = s->container_statuses[i];
		if (!strcmp(c->name, name))
			return c->state && c->state->running ? c->resources : NULL;
	}
	return NULL;
}

/* The resource was changed, and its policy says that the container is to be made anew. */
static bool restarts(const CoreV1__Container *c, const CoreV1__ResourceRequirements *before)
{
	for (size_t i = 0; i < c->n_resize_policy; i++) {
		const char *name = c->resize_policy[i]->resource_name;
		bool changed = false;
		for (int limit = 0; limit < 2; limit++)
			changed |= quantity_cmp_text(container_resource(c->resources, limit, name),
			                             container_resource(before, limit, name)) != 0;
		if (changed && !strcmp(c->resize_policy[i]->restart_policy, "RestartContainer"))
			return true;
	}
	return false;
}

void resize_note(struct pod *p, const CoreV1__Pod *object)
{
	for (size_t i = 0; i < p->memory.n; i++) {
		struct container_memory *m = &p->memory.at[i];
		const CoreV1__Container *now = container_of(object, m->name);
		const CoreV1__Container *was = container_of(p->spec, m->name);
		if (!now || !was)
			continue;
		const CoreV1__ResourceRequirements *before = m->actual ? m->actual
		                                             : object == p->spec
		                                                 ? told(object, m->name)
		                                                 : was->resources;
		if (!before || same(before, now->resources)) {
			m->actual = NULL;
			continue;
		}
		if (!m->actual)
			m->actual = (void *)msg_copy(&core_v1__resource_requirements_schema,
			                             &before->base, &p->resize_arena);
		m->resize_restarts = restarts(now, m->actual);
		if (object == p->spec || !same(was->resources, now->resources))
			p->memory.resize_accepted = false;
	}
}

/* {"containers":[{"name":"a","resources":{...}}],"generation":2} */
static const char *summary(const struct pod *p, struct arena *a)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const CoreV1__PodSpec *s = p->spec->spec;
	buf_str(&b, "{\"containers\":[");
	for (size_t i = 0; i < s->n_containers; i++) {
		buf_printf(&b, "%s{\"name\":\"%s\",\"resources\":", i ? "," : "",
		           s->containers[i]->name);
		json_encode(&core_v1__resource_requirements_schema,
		            &s->containers[i]->resources->base, NULL, &b);
		buf_byte(&b, '}');
	}
	buf_printf(&b, "],\"generation\":%lld}", (long long)p->spec->metadata->generation);
	return arena_strndup(a, b.data, b.len);
}

static void set_condition(struct pod *p, const char *type, const char *reason, const char *message)
{
	p->resize_type = type;
	p->resize_reason = reason;
	p->resize_message = arena_strdup(&p->resize_arena, message ? message : "");
}

static bool is_pending(const struct pod *p)
{
	for (size_t i = 0; i < p->memory.n; i++)
		if (p->memory.at[i].actual)
			return true;
	return false;
}

static void complete(struct pod *p)
{
	_cleanup_arena_ struct arena a = {0};
	struct err err = ERR_INIT;
	if (p->memory.resize_accepted)
		pod_event(p, NULL, false, "ResizeCompleted", "Pod resize completed: %s",
		          summary(p, &a));
	/* The pod's own limits shrink last. */
	ERR_IGNORE(cgroups_pod_make(p->k->cgroups, p->spec, &err));
	p->resize_type = p->resize_reason = p->resize_message = NULL;
	p->memory.resize_accepted = false;
	arena_deinit(&p->resize_arena);
}

void resize_restarted(struct pod *p, struct container_memory *m)
{
	if (!m->actual)
		return;
	m->actual = NULL;
	m->resize_restarts = false;
	pod_sync_after(p, 0);
}

static void on_updated(const struct cri_result *r, void *arg)
{
	struct update *u = arg;
	struct pod *p = u->pod;
	struct container_memory *m = pod_memory_of(p, u->name);
	if (r->code == RPC_OK && m) {
		m->actual = NULL;
	} else if (r->code != RPC_OK) {
		_cleanup_arena_ struct arena a = {0};
		const char *text = cri_error_text(r, &a);
		set_condition(p, "PodResizeInProgress", "Error", text);
		pod_event(p, u->name, true, "ResizeError", "Pod resize error: %s", text);
		pod_hold(p, RETRY_MS);
	}
	free(u);
	pod_step_done(p);
}

static void update(struct pod *p, const CoreV1__Container *c, const char *id)
{
	_cleanup_arena_ struct arena a = {0};
	struct update *u = malloc(sizeof(*u) + strlen(c->name) + 1);
	if (!u)
		abort();
	u->pod = p;
	memcpy(u->name, c->name, strlen(c->name) + 1);
	CriV1__UpdateContainerResourcesRequest q = CRI_V1__UPDATE_CONTAINER_RESOURCES_REQUEST__INIT;
	q.container_id = (char *)(uintptr_t)id;
	q.linux_ = cgroups_container_resources(p->k->cgroups, p->spec, c,
	                                       node_memory_bytes(p->k->node), &a);
	pod_step(p);
	cri_call(p->k->cri, CRI_UPDATE_CONTAINER_RESOURCES, &q, CRI_TIMEOUT_MS, on_updated, u);
}

/* Whether the node takes it; says so once. */
static bool is_accepted(struct pod *p)
{
	_cleanup_arena_ struct arena a = {0};
	const char *message = NULL, *reason = pod_resize_obstacle(p, &a, &message);
	struct err err = ERR_INIT;
	if (p->memory.resize_accepted)
		return true;
	if (reason) {
		bool told_before = p->resize_reason && !strcmp(p->resize_reason, reason);
		set_condition(p, "PodResizePending", reason, message);
		if (!told_before)
			pod_event(p, NULL, true,
			          !strcmp(reason, "Deferred") ? "ResizeDeferred"
			                                      : "ResizeInfeasible",
			          "Pod resize %s: %s, reason: %s", p->resize_reason, summary(p, &a),
			          message);
		pod_sync_after(p, RETRY_MS);
		return false;
	}
	p->memory.resize_accepted = true;
	set_condition(p, "PodResizeInProgress", NULL, NULL);
	pod_event(p, NULL, false, "ResizeStarted", "Pod resize started: %s", summary(p, &a));
	/* The pod's own limits grow first. */
	ERR_IGNORE(cgroups_pod_make(p->k->cgroups, p->spec, &err));
	return true;
}

bool resize_sync(struct pod *p)
{
	if (!is_pending(p)) {
		if (p->resize_type)
			complete(p);
		return false;
	}
	bool before = p->memory.resize_accepted;
	if (!is_accepted(p))
		return false;
	for (size_t i = 0; i < p->memory.n; i++) {
		struct container_memory *m = &p->memory.at[i];
		const CoreV1__Container *c = pod_container_spec(p, m->name);
		const struct runtime_container *rc = runtime_newest(&p->rt, m->name);
		if (!m->actual || !c)
			continue;
		if (!rc || rc->state != CONTAINER_RUNNING)
			m->actual = NULL; /* the next one gets what the spec says */
		else if (!m->resize_restarts)
			update(p, c, rc->id);
		else if (!before)
			pod_sync_after(p, 0); /* the plan kills it */
	}
	return p->busy > 0;
}
