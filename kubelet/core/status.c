/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/core/status.h"

#include <stdlib.h>
#include <string.h>

#include "kubelet/core/make.h"
#include "kubelet/core/resources.h"
#include "kubelet/core/status_parts.h"

bool status_has_sandbox(const struct status_input *in)
{
	const struct pod_runtime *rt = in->rt;
	return rt->n_sandboxes && rt->sandboxes[0].ready &&
	       (in->pod->spec->host_network || rt->sandboxes[0].n_ips);
}

bool status_was_initialized(const struct status_input *in)
{
	const CoreV1__PodSpec *spec = in->pod->spec;
	for (size_t i = 0; in->rt->n_sandboxes && i < spec->n_containers; i++) {
		const struct runtime_container *c =
		    runtime_newest(in->rt, spec->containers[i]->name);
		if (c && (!c->sandbox_id || !strcmp(c->sandbox_id, in->rt->sandboxes[0].id)))
			return true;
	}
	return false;
}

/* The phase */

struct tally {
	unsigned pending_init, pending_sidecars; /* still to come */
	unsigned init_failed;                    /* for good */
	unsigned waiting, running, stopped, stopped_for_good, succeeded;
};

/* How the container ended last when it does not run. */
static const CoreV1__ContainerStateTerminated *end_of(const CoreV1__ContainerStatus *s)
{
	return s->state->terminated ? s->state->terminated : s->last_state->terminated;
}

static void count_init(struct tally *t, const CoreV1__Pod *pod, const CoreV1__Container *c,
                       const CoreV1__ContainerStatus *s)
{
	const CoreV1__ContainerStateTerminated *end = end_of(s);
	if (container_is_sidecar(c)) {
		t->running += s->state->running != NULL;
		t->waiting += s->state->waiting && !end;
		t->pending_sidecars += s->state->running ? !s->started : s->state->waiting && !end;
	} else if (s->state->running || !end) {
		t->pending_init++;
	} else if (end->exit_code && !container_restarts(pod, c, end->exit_code)) {
		t->init_failed++;
	}
}

static void count(struct tally *t, const CoreV1__Pod *pod, const CoreV1__Container *c,
                  const CoreV1__ContainerStatus *s)
{
	const CoreV1__ContainerStateTerminated *end = end_of(s);
	if (s->state->running) {
		t->running++;
	} else if (!end) {
		t->waiting++;
	} else {
		t->stopped++;
		t->stopped_for_good += !container_restarts(pod, c, end->exit_code);
		t->succeeded += s->state->terminated && !end->exit_code;
	}
}

static const char *phase_by_containers(const struct status_input *in, const CoreV1__PodStatus *s)
{
	const CoreV1__PodSpec *spec = in->pod->spec;
	struct tally t = {0};
	for (size_t i = 0; i < spec->n_init_containers; i++)
		count_init(&t, in->pod, spec->init_containers[i], s->init_container_statuses[i]);
	for (size_t i = 0; i < spec->n_containers; i++)
		count(&t, in->pod, spec->containers[i], s->container_statuses[i]);
	if (t.init_failed)
		return "Failed";
	if (t.pending_init || (t.pending_sidecars && !status_was_initialized(in)) || t.waiting)
		return "Pending";
	if (t.running)
		return "Running";
	if (!t.stopped)
		return "Pending";
	if (!in->stopping && t.stopped != t.stopped_for_good)
		return "Running";
	return t.stopped == t.succeeded ? "Succeeded" : "Failed";
}

static bool is_over(const char *phase)
{
	return !strcmp(phase, "Failed") || !strcmp(phase, "Succeeded");
}

static const char *phase_of(const struct status_input *in, const CoreV1__PodStatus *s)
{
	const CoreV1__PodStatus *old = in->pod->status;
	const char *last = old && old->phase ? old->phase : "";
	if (is_over(last))
		return last;
	const char *phase = in->failed_reason ? "Failed" : phase_by_containers(in, s);
	/* A pod is not over while something of it still runs. */
	for (size_t i = 0; is_over(phase) && i < in->rt->n_containers; i++)
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

/* Containers */

static void add_containers(const struct status_input *in, CoreV1__PodStatus *s, struct arena *a)
{
	const CoreV1__PodSpec *spec = in->pod->spec;
	s->init_container_statuses =
	    arena_array(a, CoreV1__ContainerStatus *, spec->n_init_containers + 1);
	for (size_t i = 0; i < spec->n_init_containers; i++)
		s->init_container_statuses[s->n_init_container_statuses++] =
		    container_status(in, a, spec->init_containers[i], KIND_INIT);
	s->container_statuses = arena_array(a, CoreV1__ContainerStatus *, spec->n_containers + 1);
	for (size_t i = 0; i < spec->n_containers; i++)
		s->container_statuses[s->n_container_statuses++] =
		    container_status(in, a, spec->containers[i], KIND_REGULAR);
	s->ephemeral_container_statuses =
	    arena_array(a, CoreV1__ContainerStatus *, spec->n_ephemeral_containers + 1);
	for (size_t i = 0; i < spec->n_ephemeral_containers; i++) {
		const CoreV1__EphemeralContainer *e = spec->ephemeral_containers[i];
		s->ephemeral_container_statuses[s->n_ephemeral_container_statuses++] =
		    container_status(in, a,
		                     container_of_ephemeral(e->ephemeral_container_common, a),
		                     KIND_EPHEMERAL);
	}
}

static int by_name(const void *a, const void *b)
{
	const CoreV1__ContainerStatus *const *x = a, *const *y = b;
	return strcmp((*x)->name, (*y)->name);
}

static CoreV1__PodStatus *refused_status(const struct status_input *in, struct arena *a)
{
	const CoreV1__PodStatus *old = in->pod->status;
	CoreV1__PodStatus *s = MAKE(a, CoreV1__PodStatus, CORE_V1__POD_STATUS__INIT);
	if (old)
		*s = *old;
	s->phase = (char *)"Failed";
	s->reason = TEXT(in->failed_reason);
	s->message = TEXT(in->failed_message);
	s->qos_class = TEXT(pod_qos_class(in->pod));
	s->start_time = make_time(a, in->start_seconds);
	if (in->pod->metadata->generation) {
		s->has_observed_generation = 1;
		s->observed_generation = in->pod->metadata->generation;
	}
	return s;
}

CoreV1__PodStatus *pod_status(const struct status_input *in, struct arena *a)
{
	const CoreV1__PodStatus *old = in->pod->status;
	if (in->refused)
		return refused_status(in, a);
	CoreV1__PodStatus *s = MAKE(a, CoreV1__PodStatus, CORE_V1__POD_STATUS__INIT);
	add_containers(in, s, a);
	s->phase = TEXT(phase_of(in, s));
	bool failed = in->failed_reason && !strcmp(s->phase, "Failed");
	bool same = old && old->phase && !strcmp(old->phase, s->phase);
	s->reason = TEXT(failed ? in->failed_reason : same ? old->reason : "");
	s->message = TEXT(failed ? in->failed_message : same ? old->message : "");
	s->nominated_node_name = TEXT(old ? old->nominated_node_name : "");
	s->qos_class = TEXT(old && *old->qos_class ? old->qos_class : pod_qos_class(in->pod));
	s->start_time = make_time(a, in->start_seconds);
	if (in->pod->metadata->generation) {
		s->has_observed_generation = 1;
		s->observed_generation = in->pod->metadata->generation;
	}
	if (old) {
		s->n_resource_claim_statuses = old->n_resource_claim_statuses;
		s->resource_claim_statuses = old->resource_claim_statuses;
		s->extended_resource_claim_status = old->extended_resource_claim_status;
	}
	pod_resources_status(in->pod, s, a);
	add_addresses(in, s, a);
	qsort(s->container_statuses, s->n_container_statuses, sizeof(*s->container_statuses),
	      by_name);
	status_conditions(in, s, a);
	return s;
}
