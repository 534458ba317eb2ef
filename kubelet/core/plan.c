/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/core/plan.h"

#include <string.h>

struct planner {
	const CoreV1__Pod *pod;
	const struct pod_runtime *rt;
	const struct pod_memory *memory;
	uint64_t now_ms;
	struct arena *arena;
	struct pod_plan *out;
	size_t cap_kill, cap_start;
};

static void add_kill(struct planner *p, struct plan_kill kill)
{
	struct pod_plan *o = p->out;
	if (o->n_kill == p->cap_kill) {
		size_t cap = p->cap_kill ? p->cap_kill * 2 : 4;
		o->kill = arena_grow(p->arena, o->kill, p->cap_kill * sizeof(*o->kill),
		                     cap * sizeof(*o->kill));
		p->cap_kill = cap;
	}
	o->kill[o->n_kill++] = kill;
}

/* The number of the next container: the runtime's last one's, or, when the runtime has forgotten
 * it, that of the last status. */
static uint32_t next_attempt(const struct planner *p, const CoreV1__Container *spec,
                             enum container_kind kind)
{
	const struct runtime_container *c = runtime_newest(p->rt, spec->name);
	const CoreV1__PodStatus *s = p->pod->status;
	if (c)
		return c->attempt + 1;
	if (!s || kind == KIND_EPHEMERAL)
		return 0;
	bool init = kind == KIND_INIT;
	size_t n = init ? s->n_init_container_statuses : s->n_container_statuses;
	for (size_t i = 0; i < n; i++) {
		const CoreV1__ContainerStatus *old =
		    init ? s->init_container_statuses[i] : s->container_statuses[i];
		if (!strcmp(old->name, spec->name) && old->container_id && *old->container_id)
			return (uint32_t)old->restart_count + 1;
	}
	return 0;
}

/* Starts the container unless its back-off is running. */
static void add_start(struct planner *p, const CoreV1__Container *spec, enum container_kind kind)
{
	struct pod_plan *o = p->out;
	const struct runtime_container *last = runtime_newest(p->rt, spec->name);
	const struct container_memory *m = memory_find(p->memory, spec->name);
	if (m && m->hold_until_ms > p->now_ms && !o->create_sandbox) {
		o->retry_ms = m->hold_until_ms < o->retry_ms ? m->hold_until_ms : o->retry_ms;
		return;
	}
	if (last && last->state == CONTAINER_EXITED && m && !o->create_sandbox) {
		uint64_t since = (uint64_t)(last->finished_ns / 1000000);
		if (backoff_active(&m->crash, since, p->now_ms)) {
			o->backing_off = o->backing_off ? o->backing_off : spec->name;
			o->backing_off_delay_ms = m->crash.delay_ms;
			uint64_t at = since + m->crash.delay_ms;
			o->retry_ms = at < o->retry_ms ? at : o->retry_ms;
			return;
		}
	}
	if (o->n_start == p->cap_start) {
		size_t cap = p->cap_start ? p->cap_start * 2 : 4;
		o->start = arena_grow(p->arena, o->start, p->cap_start * sizeof(*o->start),
		                      cap * sizeof(*o->start));
		p->cap_start = cap;
	}
	o->start[o->n_start++] = (struct plan_start){spec, kind, next_attempt(p, spec, kind)};
}

static bool succeeded(const struct runtime_container *c)
{
	return c && c->state == CONTAINER_EXITED && c->exit_code == 0;
}

static bool running(const struct runtime_container *c)
{
	return c && c->state == CONTAINER_RUNNING;
}

/* Whether a container of the pod that does not run is to be started (again). */
static bool should_restart(const CoreV1__Pod *pod, const CoreV1__Container *spec,
                           const struct runtime_container *c)
{
	if (!c || c->state == CONTAINER_UNKNOWN || c->state == CONTAINER_CREATED)
		return true;
	return container_restarts(pod, spec, c->exit_code);
}

bool pod_is_finished(const CoreV1__Pod *pod, const struct pod_runtime *rt)
{
	const CoreV1__PodSpec *spec = pod->spec;
	for (size_t i = 0; i < spec->n_init_containers; i++) {
		const CoreV1__Container *c = spec->init_containers[i];
		const struct runtime_container *s = runtime_newest(rt, c->name);
		if (!container_is_sidecar(c) && s && s->state == CONTAINER_EXITED && s->exit_code &&
		    !should_restart(pod, c, s))
			return true;
	}
	for (size_t i = 0; i < spec->n_containers; i++) {
		const struct runtime_container *s = runtime_newest(rt, spec->containers[i]->name);
		if (!s || s->state != CONTAINER_EXITED ||
		    should_restart(pod, spec->containers[i], s))
			return false;
	}
	return spec->n_containers > 0;
}

/* Init containers */

/* The newest container of that name if it was made in the present sandbox: what was initialized in
 * an older one counts no more. */
static const struct runtime_container *newest_here(const struct planner *p, const char *name)
{
	const struct runtime_container *c = runtime_newest(p->rt, name);
	const struct runtime_sandbox *s = p->out->sandbox;
	return c && s && c->sandbox_id && strcmp(c->sandbox_id, s->id) ? NULL : c;
}

/* Some regular container was ever made in this sandbox: initialization is over. */
static bool initialized_before(const struct planner *p)
{
	const CoreV1__PodSpec *spec = p->pod->spec;
	for (size_t i = 0; i < spec->n_containers; i++)
		if (newest_here(p, spec->containers[i]->name))
			return true;
	return false;
}

static bool sidecar_started(const struct planner *p, const CoreV1__Container *c,
                            const struct runtime_container *s)
{
	const struct container_memory *m = memory_find(p->memory, c->name);
	return running(s) && m && m->has_started;
}

static int64_t grace_of(const struct planner *p)
{
	const CoreV1__PodSpec *spec = p->pod->spec;
	return spec->has_termination_grace_period_seconds ? spec->termination_grace_period_seconds
	                                                  : 30;
}

/* Kills a container of which a new one is to be made. */
static void kill_changed(struct planner *p, const CoreV1__Container *spec,
                         const struct runtime_container *c, const char *message)
{
	add_kill(p, (struct plan_kill){.container = c,
	                               .message = message,
	                               .reason = "Changed",
	                               .grace_seconds = grace_of(p),
	                               .spec = spec});
}

/* Kills what its liveness or startup probe found unhealthy. */
static void kill_unhealthy(struct planner *p, const CoreV1__Container *spec,
                           const struct runtime_container *c, enum probe_kind probe, bool init)
{
	bool startup = probe == PROBE_STARTUP;
	const CoreV1__Probe *s = startup ? spec->startup_probe : spec->liveness_probe;
	const char *restart = container_restarts(p->pod, spec, 137) ? ", will be restarted" : "";
	const char *message =
	    arena_printf(p->arena, "%s %s failed %s probe%s", init ? "Init container" : "Container",
	                 spec->name, startup ? "startup" : "liveness", restart);
	add_kill(p, (struct plan_kill){.container = c,
	                               .message = message,
	                               .reason = "Unhealthy",
	                               .grace_seconds = s && s->has_termination_grace_period_seconds
	                                                    ? s->termination_grace_period_seconds
	                                                    : grace_of(p),
	                               .spec = spec});
}

/* Kills a running container that is not as it should be; true when it was killed. */
static bool kill_if_wrong(struct planner *p, const CoreV1__Container *spec,
                          const struct runtime_container *c, bool init)
{
	const struct container_memory *m = memory_find(p->memory, spec->name);
	const char *kind = init ? "Init container" : "Container";
	if (m && m->hash && c->hash && m->hash != c->hash)
		kill_changed(p, spec, c,
		             arena_printf(p->arena, "%s %s definition changed, will be restarted",
		                          kind, spec->name));
	else if (m && m->actual && m->resize_restarts && p->memory->resize_accepted)
		kill_changed(p, spec, c,
		             arena_printf(p->arena,
		                          "%s %s resize requires restart, will be restarted", kind,
		                          spec->name));
	else if (m && m->must_restart)
		kill_unhealthy(p, spec, c, m->failed_probe, init);
	else
		return false;
	return true;
}

/* A sidecar is kept running; returns true when it has started. */
static bool plan_sidecar(struct planner *p, const CoreV1__Container *spec)
{
	const struct runtime_container *s = runtime_newest(p->rt, spec->name);
	if (!running(s))
		add_start(p, spec, KIND_INIT);
	else if (kill_if_wrong(p, spec, s, true))
		return false;
	return sidecar_started(p, spec, s);
}

/* Plans init containers up to the first that is not done; returns true when all are. `failed` is
 * set when one has failed for good. */
static bool plan_init(struct planner *p, bool *failed)
{
	const CoreV1__PodSpec *spec = p->pod->spec;
	bool over = initialized_before(p);
	for (size_t i = 0; i < spec->n_init_containers; i++) {
		const CoreV1__Container *c = spec->init_containers[i];
		const struct runtime_container *s = newest_here(p, c->name);
		if (container_is_sidecar(c)) {
			if (!plan_sidecar(p, c) && !over)
				return false;
			continue;
		}
		if (over || succeeded(s))
			continue;
		if (running(s)) {
			kill_if_wrong(p, c, s, true);
			return false;
		}
		if (!should_restart(p->pod, c, s)) {
			*failed = true;
			return false;
		}
		add_start(p, c, KIND_INIT);
		return false;
	}
	return true;
}

/* Regular containers */

static void plan_container(struct planner *p, const CoreV1__Container *spec)
{
	const struct runtime_container *s = runtime_newest(p->rt, spec->name);
	if (running(s))
		kill_if_wrong(p, spec, s, false);
	else if (should_restart(p->pod, spec, s))
		add_start(p, spec, KIND_REGULAR);
}

static const CoreV1__Container *spec_of(const CoreV1__Pod *pod, const char *name)
{
	for (size_t i = 0; i < pod->spec->n_containers; i++)
		if (!strcmp(pod->spec->containers[i]->name, name))
			return pod->spec->containers[i];
	for (size_t i = 0; i < pod->spec->n_init_containers; i++)
		if (!strcmp(pod->spec->init_containers[i]->name, name))
			return pod->spec->init_containers[i];
	return NULL;
}

/* Sidecars end after the others, the last of them first. */
static unsigned order_of(const CoreV1__Pod *pod, const char *name)
{
	const CoreV1__PodSpec *s = pod->spec;
	for (size_t i = 0; i < s->n_init_containers; i++)
		if (container_is_sidecar(s->init_containers[i]) &&
		    !strcmp(s->init_containers[i]->name, name))
			return (unsigned)(s->n_init_containers - i);
	return 0;
}

/* In the order in which they are to end. */
static void kill_all(struct planner *p, int64_t grace_seconds, const char *reason)
{
	for (unsigned order = 0; order <= p->pod->spec->n_init_containers; order++)
		for (size_t i = 0; i < p->rt->n_containers; i++) {
			const struct runtime_container *c = &p->rt->containers[i];
			if ((c->state != CONTAINER_RUNNING && c->state != CONTAINER_UNKNOWN) ||
			    order_of(p->pod, c->name) != order)
				continue;
			add_kill(p,
			         (struct plan_kill){.container = c,
			                            .message = arena_printf(
			                                p->arena, "Stopping container %s", c->name),
			                            .reason = reason,
			                            .grace_seconds = grace_seconds,
			                            .order = order,
			                            .spec = spec_of(p->pod, c->name)});
		}
}

/* The sandbox that containers run in; NULL when a new one is needed. */
static const struct runtime_sandbox *usable_sandbox(const struct planner *p)
{
	const struct runtime_sandbox *ready = NULL;
	for (size_t i = 0; i < p->rt->n_sandboxes; i++) {
		if (!p->rt->sandboxes[i].ready)
			continue;
		if (ready)
			return NULL; /* two at once: begin anew */
		ready = &p->rt->sandboxes[i];
	}
	/* Only the newest may be used, and it must have its network. */
	if (!ready || ready != &p->rt->sandboxes[0])
		return NULL;
	bool host = p->pod->spec->host_network;
	if (ready->host_network != host || (!host && !ready->n_ips))
		return NULL;
	return ready;
}

static void plan_new_sandbox(struct planner *p)
{
	struct pod_plan *o = p->out;
	const CoreV1__PodSpec *spec = p->pod->spec;
	uint32_t attempt = 0;
	for (size_t i = 0; i < p->rt->n_sandboxes; i++)
		if (p->rt->sandboxes[i].attempt + 1 > attempt)
			attempt = p->rt->sandboxes[i].attempt + 1;
	bool never = p->pod->spec->restart_policy && !strcmp(p->pod->spec->restart_policy, "Never");
	if (pod_is_finished(p->pod, p->rt) || (never && attempt && p->rt->n_containers)) {
		o->kill_pod = p->rt->n_sandboxes > 0 && p->rt->sandboxes[0].ready;
		return;
	}
	o->kill_pod = p->rt->n_sandboxes > 0;
	o->create_sandbox = true;
	o->sandbox_attempt = attempt;
	/* Nothing of the old sandbox counts: initialization begins again. */
	if (spec->n_init_containers) {
		add_start(p, spec->init_containers[0], KIND_INIT);
		return;
	}
	for (size_t i = 0; i < spec->n_containers; i++) {
		const struct runtime_container *s =
		    runtime_newest(p->rt, spec->containers[i]->name);
		if (should_restart(p->pod, spec->containers[i], s))
			add_start(p, spec->containers[i], KIND_REGULAR);
	}
}

/* They are started once and never again. */
static void plan_ephemeral(struct planner *p)
{
	const CoreV1__PodSpec *spec = p->pod->spec;
	for (size_t i = 0; i < spec->n_ephemeral_containers; i++) {
		const CoreV1__EphemeralContainerCommon *e =
		    spec->ephemeral_containers[i]->ephemeral_container_common;
		if (e && !runtime_newest(p->rt, e->name))
			add_start(p, container_of_ephemeral(e, p->arena), KIND_EPHEMERAL);
	}
}

void pod_plan(const CoreV1__Pod *pod, const struct pod_runtime *rt, const struct pod_memory *memory,
              uint64_t now_ms, struct arena *a, struct pod_plan *ret)
{
	struct planner p = {pod, rt, memory, now_ms, a, ret, 0, 0};
	*ret = (struct pod_plan){.retry_ms = UINT64_MAX};
	ret->sandbox = usable_sandbox(&p);
	if (!ret->sandbox) {
		plan_new_sandbox(&p);
		return;
	}
	plan_ephemeral(&p);
	bool failed = false;
	bool initialized = plan_init(&p, &failed);
	if (failed || pod_is_finished(pod, rt)) {
		ret->n_start = 0;
		ret->retry_ms = UINT64_MAX;
		ret->backing_off = NULL;
		kill_all(&p, grace_of(&p), "PodCompleted");
		ret->kill_pod = ret->n_kill == 0;
		return;
	}
	if (!initialized)
		return;
	for (size_t i = 0; i < pod->spec->n_containers; i++)
		plan_container(&p, pod->spec->containers[i]);
}

void pod_stop_plan(const CoreV1__Pod *pod, const struct pod_runtime *rt, int64_t grace_seconds,
                   struct arena *a, struct pod_plan *ret)
{
	struct planner p = {.pod = pod, .rt = rt, .arena = a, .out = ret};
	*ret = (struct pod_plan){.retry_ms = UINT64_MAX};
	kill_all(&p, grace_seconds, "Killing");
	bool ready = false;
	for (size_t i = 0; i < rt->n_sandboxes; i++)
		ready |= rt->sandboxes[i].ready;
	ret->kill_pod = !ret->n_kill && ready;
}
