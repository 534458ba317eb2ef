/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/core/status.h"

#include <string.h>

/* C strings of the messages are not const; the status is read only from here on. */
#define TEXT(s) ((char *)(uintptr_t)(s))

#define MAKE(a, type, INIT)                       \
	__extension__({                           \
		type *made_ = arena_new(a, type); \
		*made_ = (type)INIT;              \
		made_;                            \
	})

static MetaV1__Time *make_time(struct arena *a, int64_t seconds)
{
	MetaV1__Time *t = MAKE(a, MetaV1__Time, META_V1__TIME__INIT);
	if (seconds) {
		t->has_seconds = 1;
		t->seconds = seconds;
	}
	return t;
}

static MetaV1__Time *time_of_ns(struct arena *a, int64_t ns)
{
	return make_time(a, ns / 1000000000);
}

/* Container states */

static CoreV1__ContainerState *make_state(struct arena *a)
{
	return MAKE(a, CoreV1__ContainerState, CORE_V1__CONTAINER_STATE__INIT);
}

static CoreV1__ContainerState *state_waiting(struct arena *a, const char *reason,
                                             const char *message)
{
	CoreV1__ContainerState *s = make_state(a);
	s->waiting = MAKE(a, CoreV1__ContainerStateWaiting, CORE_V1__CONTAINER_STATE_WAITING__INIT);
	s->waiting->reason = TEXT(reason);
	s->waiting->message = TEXT(message ? message : "");
	return s;
}

static CoreV1__ContainerState *state_running(struct arena *a, const struct runtime_container *c)
{
	CoreV1__ContainerState *s = make_state(a);
	s->running = MAKE(a, CoreV1__ContainerStateRunning, CORE_V1__CONTAINER_STATE_RUNNING__INIT);
	s->running->started_at = time_of_ns(a, c->started_ns);
	return s;
}

static const char *full_id(const struct status_input *in, const struct runtime_container *c,
                           struct arena *a)
{
	return arena_printf(a, "%s://%s", in->rt->runtime_name, c->id);
}

static CoreV1__ContainerState *state_terminated(const struct status_input *in, struct arena *a,
                                                const struct runtime_container *c)
{
	CoreV1__ContainerState *s = make_state(a);
	CoreV1__ContainerStateTerminated *t =
	    MAKE(a, CoreV1__ContainerStateTerminated, CORE_V1__CONTAINER_STATE_TERMINATED__INIT);
	const char *reason = c->reason && *c->reason ? c->reason
	                     : c->exit_code          ? "Error"
	                                             : "Completed";
	t->has_exit_code = 1;
	t->exit_code = c->exit_code;
	t->reason = TEXT(reason);
	t->message = TEXT(c->message ? c->message : "");
	t->started_at = time_of_ns(a, c->started_ns);
	t->finished_at = time_of_ns(a, c->finished_ns);
	t->container_id = TEXT(full_id(in, c, a));
	s->terminated = t;
	return s;
}

/* "1m20s" as Go prints a duration of whole seconds. */
static const char *duration_text(struct arena *a, uint64_t ms)
{
	unsigned s = (unsigned)(ms / 1000);
	return s < 60 ? arena_printf(a, "%us", s) : arena_printf(a, "%um%us", s / 60, s % 60);
}

/* Whether the policy starts it again after this end. */
static bool will_restart(const struct status_input *in, const CoreV1__Container *spec,
                         const struct runtime_container *c)
{
	const char *policy = spec->restart_policy && *spec->restart_policy ? spec->restart_policy
	                     : in->pod->spec->restart_policy ? in->pod->spec->restart_policy
	                                                     : "";
	if (!strcmp(policy, "Never"))
		return false;
	return strcmp(policy, "OnFailure") || c->exit_code != 0;
}

/* The state of a container that is to run (again) but does not. */
static CoreV1__ContainerState *waiting_state(const struct status_input *in, struct arena *a,
                                             const struct container_memory *m,
                                             const struct runtime_container *last,
                                             bool initializing)
{
	if (m && m->wait_reason)
		return state_waiting(a, m->wait_reason, m->wait_message);
	if (last && m &&
	    backoff_active(&m->crash, (uint64_t)(last->finished_ns / 1000000), in->now_ms)) {
		const char *text = arena_printf(
		    a, "back-off %s restarting failed container=%s pod=%s_%s(%s)",
		    duration_text(a, m->crash.delay_ms), last->name, in->pod->metadata->name,
		    in->pod->metadata->namespace_, in->pod->metadata->uid);
		return state_waiting(a, "CrashLoopBackOff", text);
	}
	return state_waiting(a, initializing ? "PodInitializing" : "ContainerCreating", NULL);
}

static CoreV1__ContainerStatus *container_status(const struct status_input *in, struct arena *a,
                                                 const CoreV1__Container *spec,
                                                 enum container_kind kind, bool initializing)
{
	const struct runtime_container *c = runtime_newest(in->rt, spec->name);
	const struct runtime_container *before = runtime_previous(in->rt, spec->name);
	const struct container_memory *m = memory_find(in->memory, spec->name);
	CoreV1__ContainerStatus *s =
	    MAKE(a, CoreV1__ContainerStatus, CORE_V1__CONTAINER_STATUS__INIT);
	s->name = spec->name;
	s->image = TEXT(c && c->image && *c->image ? c->image : spec->image);
	s->image_id = TEXT(c && c->image_id ? c->image_id : "");
	s->container_id = TEXT(c ? full_id(in, c, a) : "");
	s->has_restart_count = s->has_ready = 1;
	s->restart_count = c ? (int32_t)c->attempt : 0;
	s->has_started = 1;
	s->last_state = make_state(a);
	if (c && c->state == CONTAINER_RUNNING) {
		s->state = state_running(a, c);
		/* An init container is over when it has ended, not when it has started. */
		bool to_end = kind == KIND_INIT && !container_is_sidecar(spec);
		s->started = !to_end && m && m->has_started;
		s->ready = m && m->ready && s->started;
		if (before)
			s->last_state = state_terminated(in, a, before);
	} else if (c && c->state == CONTAINER_EXITED) {
		bool again = will_restart(in, spec, c);
		bool waits =
		    !in->stopping && !in->failed_reason && again && m &&
		    (m->wait_reason ||
		     backoff_active(&m->crash, (uint64_t)(c->finished_ns / 1000000), in->now_ms));
		if (waits) {
			s->state = waiting_state(in, a, m, c, initializing);
			s->last_state = state_terminated(in, a, c);
		} else {
			s->state = state_terminated(in, a, c);
			if (before)
				s->last_state = state_terminated(in, a, before);
		}
		/* An init container that is done counts as ready. */
		s->ready = kind == KIND_INIT && c->exit_code == 0 && !container_is_sidecar(spec);
	} else {
		s->state = waiting_state(in, a, m, c, initializing);
		if (before)
			s->last_state = state_terminated(in, a, before);
	}
	return s;
}

/* Conditions */

static const CoreV1__PodCondition *old_condition(const CoreV1__Pod *pod, const char *type)
{
	const CoreV1__PodStatus *s = pod->status;
	for (size_t i = 0; s && i < s->n_conditions; i++)
		if (!strcmp(s->conditions[i]->type, type))
			return s->conditions[i];
	return NULL;
}

static void add_condition(const struct status_input *in, CoreV1__PodStatus *s, struct arena *a,
                          const char *type, bool value, const char *reason, const char *message)
{
	CoreV1__PodCondition *c = MAKE(a, CoreV1__PodCondition, CORE_V1__POD_CONDITION__INIT);
	const CoreV1__PodCondition *old = old_condition(in->pod, type);
	c->type = TEXT(type);
	c->status = TEXT(value ? "True" : "False");
	c->reason = TEXT(reason ? reason : "");
	c->message = TEXT(message ? message : "");
	if (in->pod->metadata->generation) {
		c->has_observed_generation = 1;
		c->observed_generation = in->pod->metadata->generation;
	}
	c->last_probe_time = make_time(a, 0);
	c->last_transition_time =
	    old && !strcmp(old->status, c->status) && old->last_transition_time
	        ? old->last_transition_time
	        : make_time(a, (int64_t)(in->now_ms / 1000));
	s->conditions[s->n_conditions++] = c;
}

/* Names of the containers for which `good` does not hold: "[a b]"; NULL when there are none. */
static const char *names_without(struct arena *a, CoreV1__ContainerStatus *const *list, size_t n,
                                 bool (*good)(const CoreV1__ContainerStatus *s))
{
	const char *text = NULL;
	for (size_t i = 0; i < n; i++)
		if (!good(list[i]))
			text = text ? arena_printf(a, "%s %s", text, list[i]->name)
			            : arena_printf(a, "[%s", list[i]->name);
	return text ? arena_printf(a, "%s]", text) : NULL;
}

static bool is_ready(const CoreV1__ContainerStatus *s)
{
	return s->ready;
}

static bool init_is_done(const CoreV1__ContainerStatus *s)
{
	return s->ready || (s->started && s->state->running);
}

static void add_conditions(const struct status_input *in, CoreV1__PodStatus *s, struct arena *a)
{
	const CoreV1__PodSpec *spec = in->pod->spec;
	const CoreV1__PodStatus *old = in->pod->status;
	s->conditions = arena_array(a, CoreV1__PodCondition *, 5 + (old ? old->n_conditions : 0));
	bool done = !strcmp(s->phase, "Succeeded"), failed = !strcmp(s->phase, "Failed");
	const char *ended = done ? "PodCompleted" : failed ? "PodFailed" : NULL;
	bool has_sandbox = in->rt->n_sandboxes && in->rt->sandboxes[0].ready &&
	                   (spec->host_network || in->rt->sandboxes[0].n_ips);
	add_condition(in, s, a, "PodReadyToStartContainers", has_sandbox, NULL, NULL);

	const char *uninit = names_without(a, s->init_container_statuses,
	                                   s->n_init_container_statuses, init_is_done);
	bool any_run = false;
	for (size_t i = 0; i < s->n_container_statuses; i++)
		any_run |= *s->container_statuses[i]->container_id != 0;
	if (!uninit || any_run || done)
		add_condition(in, s, a, "Initialized", true, done ? "PodCompleted" : NULL, NULL);
	else
		add_condition(in, s, a, "Initialized", false, "ContainersNotInitialized",
		              arena_printf(a, "containers with incomplete status: %s", uninit));

	const char *unready =
	    names_without(a, s->container_statuses, s->n_container_statuses, is_ready);
	const char *text = unready && !ended
	                       ? arena_printf(a, "containers with unready status: %s", unready)
	                       : NULL;
	bool ready = !unready && !ended;
	const char *reason = ready ? NULL : ended ? ended : "ContainersNotReady";
	const char *gate = NULL;
	for (size_t i = 0; i < spec->n_readiness_gates && ready; i++) {
		const CoreV1__PodCondition *c =
		    old_condition(in->pod, spec->readiness_gates[i]->condition_type);
		if (!c || strcmp(c->status, "True"))
			gate = arena_printf(
			    a,
			    "corresponding condition of pod readiness gate \"%s\" does not exist.",
			    spec->readiness_gates[i]->condition_type);
	}
	add_condition(in, s, a, "Ready", ready && !gate, gate ? "ReadinessGatesNotReady" : reason,
	              gate ? gate : text);
	add_condition(in, s, a, "ContainersReady", ready, reason, text);
	add_condition(in, s, a, "PodScheduled", true, NULL, NULL);
	/* Conditions of others stay. */
	static const char *const own[] = {"PodReadyToStartContainers", "Initialized", "Ready",
	                                  "ContainersReady", "PodScheduled"};
	for (size_t i = 0; old && i < old->n_conditions; i++) {
		bool mine = false;
		for (size_t k = 0; k < sizeof(own) / sizeof(*own); k++)
			mine |= !strcmp(old->conditions[i]->type, own[k]);
		if (!mine)
			s->conditions[s->n_conditions++] = old->conditions[i];
	}
}

/* The phase */

struct tally {
	size_t waiting, running, succeeded, failed, stopped_to_restart, unknown;
};

static struct tally tally_of(const struct status_input *in)
{
	const CoreV1__PodSpec *spec = in->pod->spec;
	struct tally t = {0};
	for (size_t i = 0; i < spec->n_containers; i++) {
		const struct runtime_container *c =
		    runtime_newest(in->rt, spec->containers[i]->name);
		if (!c)
			t.unknown++;
		else if (c->state == CONTAINER_RUNNING)
			t.running++;
		else if (c->state == CONTAINER_CREATED)
			t.waiting++;
		else if (c->state != CONTAINER_EXITED)
			t.unknown++;
		else if (will_restart(in, spec->containers[i], c))
			t.stopped_to_restart++;
		else if (c->exit_code)
			t.failed++;
		else
			t.succeeded++;
	}
	return t;
}

/* 0: done; 1: still to come or running; -1: one has failed for good. */
static int init_progress(const struct status_input *in)
{
	const CoreV1__PodSpec *spec = in->pod->spec;
	for (size_t i = 0; i < spec->n_init_containers; i++) {
		const CoreV1__Container *ic = spec->init_containers[i];
		const struct runtime_container *c = runtime_newest(in->rt, ic->name);
		if (container_is_sidecar(ic))
			continue;
		if (c && c->state == CONTAINER_EXITED && c->exit_code == 0)
			continue;
		if (c && c->state == CONTAINER_EXITED && !will_restart(in, ic, c))
			return -1;
		return 1;
	}
	return 0;
}

static const char *phase_by_containers(const struct status_input *in)
{
	const char *last = in->pod->status ? in->pod->status->phase : "";
	if (in->failed_reason)
		return "Failed";
	if (!strcmp(last, "Failed") || !strcmp(last, "Succeeded"))
		return last;
	struct tally t = tally_of(in);
	size_t n = in->pod->spec->n_containers;
	int init = init_progress(in);
	bool nothing_ran = t.unknown == n;
	if (nothing_ran && init < 0)
		return "Failed";
	if (nothing_ran && init > 0)
		return "Pending";
	if (t.unknown || t.waiting)
		return t.running || t.stopped_to_restart || t.succeeded || t.failed ? "Running"
		                                                                    : "Pending";
	if (t.running || (t.stopped_to_restart && !in->stopping))
		return "Running";
	if (t.stopped_to_restart) {
		for (size_t i = 0; i < n; i++) {
			const struct runtime_container *c =
			    runtime_newest(in->rt, in->pod->spec->containers[i]->name);
			if (c && c->exit_code)
				return "Failed";
		}
		return "Succeeded";
	}
	return t.failed ? "Failed" : "Succeeded";
}

/* A pod is not over while something of it still runs. */
static const char *phase_of(const struct status_input *in)
{
	const char *phase = phase_by_containers(in);
	const char *last = in->pod->status ? in->pod->status->phase : "";
	if (strcmp(phase, "Failed") && strcmp(phase, "Succeeded"))
		return phase;
	if (!strcmp(phase, last))
		return phase;
	for (size_t i = 0; i < in->rt->n_containers; i++)
		if (in->rt->containers[i].state == CONTAINER_RUNNING)
			return *last ? last : "Running";
	return phase;
}

/* Addresses */

static void add_addresses(const struct status_input *in, CoreV1__PodStatus *s, struct arena *a)
{
	s->host_ip = TEXT(in->host_ip);
	s->n_host_ips = 1;
	s->host_ips = arena_array(a, CoreV1__HostIP *, 1);
	s->host_ips[0] = MAKE(a, CoreV1__HostIP, CORE_V1__HOST_IP__INIT);
	s->host_ips[0]->ip = TEXT(in->host_ip);
	const char *const host[] = {in->host_ip}, *const *ips = host;
	size_t n = in->pod->spec->host_network ? 1 : 0;
	if (!n && in->rt->n_sandboxes) {
		ips = in->rt->sandboxes[0].ips;
		n = in->rt->sandboxes[0].n_ips;
	}
	const CoreV1__PodStatus *last = in->pod->status;
	if (!n && last && *last->pod_ip) {
		/* The address that a pod had stays in its status when its sandbox has gone. */
		s->pod_ip = last->pod_ip;
		s->n_pod_ips = last->n_pod_ips;
		s->pod_ips = last->pod_ips;
	}
	if (!n)
		return;
	s->pod_ip = TEXT(ips[0]);
	s->pod_ips = arena_array(a, CoreV1__PodIP *, n);
	for (; s->n_pod_ips < n; s->n_pod_ips++) {
		s->pod_ips[s->n_pod_ips] = MAKE(a, CoreV1__PodIP, CORE_V1__POD_IP__INIT);
		s->pod_ips[s->n_pod_ips]->ip = TEXT(ips[s->n_pod_ips]);
	}
}

CoreV1__PodStatus *pod_status(const struct status_input *in, struct arena *a)
{
	const CoreV1__PodSpec *spec = in->pod->spec;
	const CoreV1__PodStatus *old = in->pod->status;
	CoreV1__PodStatus *s = MAKE(a, CoreV1__PodStatus, CORE_V1__POD_STATUS__INIT);
	s->phase = TEXT(phase_of(in));
	s->reason = TEXT(in->failed_reason ? in->failed_reason : old ? old->reason : "");
	s->message = TEXT(in->failed_message ? in->failed_message : old ? old->message : "");
	s->nominated_node_name = TEXT(old ? old->nominated_node_name : "");
	s->qos_class = TEXT(old && *old->qos_class ? old->qos_class : pod_qos_class(in->pod));
	s->start_time = make_time(a, in->start_seconds);
	if (in->pod->metadata->generation) {
		s->has_observed_generation = 1;
		s->observed_generation = in->pod->metadata->generation;
	}
	bool initializing = init_progress(in) != 0;
	s->init_container_statuses =
	    arena_array(a, CoreV1__ContainerStatus *, spec->n_init_containers);
	for (size_t i = 0; i < spec->n_init_containers; i++)
		s->init_container_statuses[s->n_init_container_statuses++] = container_status(
		    in, a, spec->init_containers[i], KIND_INIT, i > 0 || initializing);
	s->container_statuses = arena_array(a, CoreV1__ContainerStatus *, spec->n_containers);
	for (size_t i = 0; i < spec->n_containers; i++)
		s->container_statuses[s->n_container_statuses++] = container_status(
		    in, a, spec->containers[i], KIND_REGULAR, spec->n_init_containers > 0);
	add_addresses(in, s, a);
	add_conditions(in, s, a);
	return s;
}
