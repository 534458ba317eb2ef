/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kubelet/core/make.h"
#include "kubelet/core/status_parts.h"

/* What a container that vanished is said to have ended with. */
enum { EXIT_CODE_UNKNOWN = 137 };

/* Of the runtime's clock: what never started did so in 1970, as upstream has it. */
static MetaV1__Time *time_of_ns(struct arena *a, int64_t ns)
{
	MetaV1__Time *t = make_time(a, ns / 1000000000);
	t->has_seconds = 1;
	return t;
}

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

static CoreV1__ContainerState *state_ended(struct arena *a, int32_t exit_code, const char *reason,
                                           const char *message)
{
	CoreV1__ContainerState *s = make_state(a);
	CoreV1__ContainerStateTerminated *t =
	    MAKE(a, CoreV1__ContainerStateTerminated, CORE_V1__CONTAINER_STATE_TERMINATED__INIT);
	t->has_exit_code = 1;
	t->exit_code = exit_code;
	t->reason = TEXT(reason);
	t->message = TEXT(message ? message : "");
	t->started_at = make_time(a, 0);
	t->finished_at = make_time(a, 0);
	s->terminated = t;
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
	const char *reason = c->reason && *c->reason ? c->reason
	                     : c->exit_code          ? "Error"
	                                             : "Completed";
	CoreV1__ContainerState *s = state_ended(a, c->exit_code, reason, c->message);
	s->terminated->started_at = time_of_ns(a, c->started_ns);
	s->terminated->finished_at = time_of_ns(a, c->finished_ns);
	s->terminated->container_id = TEXT(full_id(in, c, a));
	return s;
}

/* "1m20s" as Go prints a duration of whole seconds. */
static const char *duration_text(struct arena *a, uint64_t ms)
{
	unsigned s = (unsigned)(ms / 1000);
	return s < 60 ? arena_printf(a, "%us", s) : arena_printf(a, "%um%us", s / 60, s % 60);
}

/* Why a container that is to run (again) does not; NULL: nothing keeps it from running. */
static CoreV1__ContainerState *obstacle(const struct status_input *in, struct arena *a,
                                        const struct container_memory *m,
                                        const struct runtime_container *last)
{
	if (m && last && last->state == CONTAINER_EXITED &&
	    backoff_active(&m->crash, (uint64_t)(last->finished_ns / 1000000), in->now_ms)) {
		const char *text = arena_printf(
		    a, "back-off %s restarting failed container=%s pod=%s_%s(%s)",
		    duration_text(a, m->crash.delay_ms), last->name, in->pod->metadata->name,
		    in->pod->metadata->namespace_, in->pod->metadata->uid);
		return state_waiting(a, "CrashLoopBackOff", text);
	}
	return m && m->wait_reason ? state_waiting(a, m->wait_reason, m->wait_message) : NULL;
}

static const CoreV1__ContainerStatus *old_status(const struct status_input *in, const char *name,
                                                 enum container_kind kind)
{
	const CoreV1__PodStatus *s = in->pod->status;
	if (!s)
		return NULL;
	CoreV1__ContainerStatus *const *list = kind == KIND_INIT ? s->init_container_statuses
	                                       : kind == KIND_REGULAR
	                                           ? s->container_statuses
	                                           : s->ephemeral_container_statuses;
	size_t n = kind == KIND_INIT      ? s->n_init_container_statuses
	           : kind == KIND_REGULAR ? s->n_container_statuses
	                                  : s->n_ephemeral_container_statuses;
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i]->name, name))
			return list[i];
	return NULL;
}

static void add_mounts(CoreV1__ContainerStatus *s, const CoreV1__Container *spec, struct arena *a)
{
	s->volume_mounts = arena_array(a, CoreV1__VolumeMountStatus *, spec->n_volume_mounts + 1);
	for (size_t i = 0; i < spec->n_volume_mounts; i++) {
		CoreV1__VolumeMountStatus *m =
		    MAKE(a, CoreV1__VolumeMountStatus, CORE_V1__VOLUME_MOUNT_STATUS__INIT);
		m->name = spec->volume_mounts[i]->name;
		m->mount_path = spec->volume_mounts[i]->mount_path;
		m->has_read_only = 1;
		m->read_only = spec->volume_mounts[i]->read_only;
		if (m->read_only)
			m->recursive_read_only = (char *)"Disabled";
		s->volume_mounts[s->n_volume_mounts++] = m;
	}
}

static CoreV1__ContainerStatus *base_status(struct arena *a, const CoreV1__Container *spec)
{
	CoreV1__ContainerStatus *s =
	    MAKE(a, CoreV1__ContainerStatus, CORE_V1__CONTAINER_STATUS__INIT);
	s->name = spec->name;
	s->image = spec->image;
	s->has_restart_count = s->has_ready = 1;
	s->last_state = make_state(a);
	add_mounts(s, spec, a);
	return s;
}

/* Of a container that the runtime does not have (any more). */
static CoreV1__ContainerStatus *status_without(const struct status_input *in, struct arena *a,
                                               const CoreV1__Container *spec,
                                               const CoreV1__ContainerStatus *old)
{
	CoreV1__ContainerStatus *s = base_status(a, spec);
	if (old && old->state && old->state->terminated) {
		*s = *old;
		return s;
	}
	s->state = state_waiting(
	    a, in->pod->spec->n_init_containers ? "PodInitializing" : "ContainerCreating", NULL);
	if (!old)
		return s;
	s->restart_count = old->restart_count;
	s->last_state = old->last_state ? old->last_state : s->last_state;
	if (old->state && old->state->running && !s->last_state->terminated) {
		s->last_state = state_ended(a, EXIT_CODE_UNKNOWN, "ContainerStatusUnknown",
		                            "The container could not be located when the pod was "
		                            "deleted.  The container used to be Running");
		s->restart_count += !in->pod->metadata->deletion_timestamp;
	}
	return s;
}

static CoreV1__ContainerStatus *status_with(const struct status_input *in, struct arena *a,
                                            const CoreV1__Container *spec,
                                            const struct runtime_container *c)
{
	const struct runtime_container *before = runtime_previous(in->rt, spec->name);
	CoreV1__ContainerStatus *s = base_status(a, spec);
	s->image = TEXT(c->image && *c->image ? c->image : spec->image);
	s->image_id = TEXT(c->image_id ? c->image_id : "");
	s->container_id = TEXT(full_id(in, c, a));
	s->restart_count = (int32_t)c->attempt;
	s->state = c->state == CONTAINER_RUNNING  ? state_running(a, c)
	           : c->state == CONTAINER_EXITED ? state_terminated(in, a, c)
	                                          : state_waiting(a, "", NULL);
	if (before)
		s->last_state = state_terminated(in, a, before);
	const struct container_memory *m = memory_find(in->memory, spec->name);
	CoreV1__ResourceRequirements *actual =
	    m && m->actual ? (CoreV1__ResourceRequirements *)(uintptr_t)m->actual : spec->resources;
	const CoreV1__ResourceRequirements *allocated =
	    in->memory->resize_accepted ? spec->resources : actual;
	s->resources = actual;
	if (allocated) {
		s->n_allocated_resources = allocated->n_requests;
		s->allocated_resources = (void *)allocated->requests;
	}
	if (c->has_user) {
		s->user = MAKE(a, CoreV1__ContainerUser, CORE_V1__CONTAINER_USER__INIT);
		s->user->linux_ =
		    MAKE(a, CoreV1__LinuxContainerUser, CORE_V1__LINUX_CONTAINER_USER__INIT);
		s->user->linux_->has_uid = s->user->linux_->has_gid = 1;
		s->user->linux_->uid = c->uid;
		s->user->linux_->gid = c->gid;
		s->user->linux_->n_supplemental_groups = c->n_groups;
		s->user->linux_->supplemental_groups = (int64_t *)(uintptr_t)c->groups;
	}
	return s;
}

/* Whether the kubelet would start it (again). */
static bool is_to_run(const struct status_input *in, const CoreV1__Container *spec,
                      enum container_kind kind, const struct runtime_container *c)
{
	if (in->stopping || in->failed_reason || in->pod->metadata->deletion_timestamp)
		return false;
	if (!c || c->state == CONTAINER_CREATED || c->state == CONTAINER_UNKNOWN)
		return true;
	if (c->state == CONTAINER_RUNNING || kind == KIND_EPHEMERAL)
		return false;
	bool done = kind == KIND_INIT && !c->exit_code && !container_is_sidecar(spec);
	return !done && container_restarts(in->pod, spec, c->exit_code);
}

CoreV1__ContainerStatus *container_status(const struct status_input *in, struct arena *a,
                                          const CoreV1__Container *spec, enum container_kind kind)
{
	const struct runtime_container *c = runtime_newest(in->rt, spec->name);
	const struct container_memory *m = memory_find(in->memory, spec->name);
	bool to_end = kind == KIND_INIT && !container_is_sidecar(spec);
	CoreV1__ContainerStatus *s =
	    c ? status_with(in, a, spec, c)
	      : status_without(in, a, spec, old_status(in, spec->name, kind));
	if (!c && to_end && s->state->waiting && status_was_initialized(in))
		s->state = state_ended(a, 0, "Completed",
		                       "Unable to get init container status from container runtime "
		                       "and pod has been initialized, treat it as exited normally");
	else if (is_to_run(in, spec, kind, c)) {
		CoreV1__ContainerState *waits = obstacle(in, a, m, c);
		if (waits && s->state->terminated)
			s->last_state = s->state;
		s->state = waits ? waits : s->state;
	}
	s->ready = false;
	if (kind == KIND_EPHEMERAL)
		return s;
	bool runs = c && c->state == CONTAINER_RUNNING;
	s->has_started = 1;
	s->started = runs && m && m->has_started;
	/* An init container that is to end is ready when it has. */
	s->ready = to_end ? s->state->terminated && !s->state->terminated->exit_code
	                  : s->started && m->ready;
	return s;
}
