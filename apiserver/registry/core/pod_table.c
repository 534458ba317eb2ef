/* SPDX-License-Identifier: Apache-2.0 */
/* The row of a pod: what "kubectl get pods" says it is doing. */
#include "apiserver/registry/core/pod.h"
#include "apiserver/registry/row.h"

static bool is_sidecar(const CoreV1__Container *c)
{
	return c->restart_policy && !strcmp(c->restart_policy, "Always");
}

static const CoreV1__Container *init_container(const CoreV1__PodSpec *spec, const char *name)
{
	for (size_t i = 0; i < spec->n_init_containers; i++)
		if (!strcmp(spec->init_containers[i]->name, name))
			return spec->init_containers[i];
	return NULL;
}

struct pod_view {
	struct arena *a;
	const char *reason;
	int64_t restarts, sidecar_restarts;
	int64_t last_restart, last_sidecar_restart; /* seconds; 0 never */
	size_t ready, total;
};

static const char *exit_reason(struct arena *a, const CoreV1__ContainerStateTerminated *t)
{
	if (*t->reason)
		return t->reason;
	return t->signal ? arena_printf(a, "Signal:%d", t->signal)
	                 : arena_printf(a, "ExitCode:%d", t->exit_code);
}

static int64_t finished_at(const CoreV1__ContainerStatus *s)
{
	const CoreV1__ContainerStateTerminated *t =
	    s->last_state ? s->last_state->terminated : NULL;

	return t && t->finished_at ? t->finished_at->seconds : 0;
}

/* Looks at the init containers in order; true while one of them holds the pod up. */
static bool view_init(struct pod_view *v, const CoreV1__Pod *pod)
{
	const CoreV1__PodStatus *st = pod->status;

	for (size_t i = 0; i < st->n_init_container_statuses; i++) {
		const CoreV1__ContainerStatus *s = st->init_container_statuses[i];
		const CoreV1__Container *c = init_container(pod->spec, s->name);
		const CoreV1__ContainerState *state = s->state;
		bool sidecar = c && is_sidecar(c);
		v->restarts += s->restart_count;
		v->last_restart = MAX(v->last_restart, finished_at(s));
		if (sidecar) {
			v->sidecar_restarts += s->restart_count;
			v->last_sidecar_restart = MAX(v->last_sidecar_restart, finished_at(s));
		}
		if (state->terminated && state->terminated->exit_code == 0)
			continue;
		if (sidecar && s->started) {
			v->ready += s->ready ? 1 : 0;
			continue;
		}
		if (state->terminated)
			v->reason =
			    arena_printf(v->a, "Init:%s", exit_reason(v->a, state->terminated));
		else if (state->waiting && *state->waiting->reason &&
		         strcmp(state->waiting->reason, "PodInitializing"))
			v->reason = arena_printf(v->a, "Init:%s", state->waiting->reason);
		else
			v->reason =
			    arena_printf(v->a, "Init:%zu/%zu", i, pod->spec->n_init_containers);
		return true;
	}
	return false;
}

static bool pod_is_ready(const CoreV1__PodStatus *s)
{
	for (size_t i = 0; i < s->n_conditions; i++)
		if (!strcmp(s->conditions[i]->type, "Ready") &&
		    !strcmp(s->conditions[i]->status, "True"))
			return true;
	return false;
}

static bool pod_is_initialized(const CoreV1__PodStatus *s)
{
	for (size_t i = 0; i < s->n_conditions; i++)
		if (!strcmp(s->conditions[i]->type, "Initialized") &&
		    !strcmp(s->conditions[i]->status, "True"))
			return true;
	return false;
}

static void view_containers(struct pod_view *v, const CoreV1__Pod *pod)
{
	const CoreV1__PodStatus *st = pod->status;
	bool running = false;

	v->restarts = v->sidecar_restarts;
	v->last_restart = v->last_sidecar_restart;
	for (size_t i = st->n_container_statuses; i--;) {
		const CoreV1__ContainerStatus *s = st->container_statuses[i];
		const CoreV1__ContainerState *state = s->state;
		v->restarts += s->restart_count;
		v->last_restart = MAX(v->last_restart, finished_at(s));
		if (state->waiting && *state->waiting->reason) {
			v->reason = state->waiting->reason;
		} else if (state->terminated) {
			v->reason = exit_reason(v->a, state->terminated);
		} else if (s->ready && state->running) {
			running = true;
			v->ready++;
		}
	}
	/* A completed container beside running ones leaves the pod running. */
	if (!strcmp(v->reason, "Completed") && running)
		v->reason = pod_is_ready(st) ? "Running" : "NotReady";
}

static void view_pod(struct pod_view *v, const CoreV1__Pod *pod)
{
	const CoreV1__PodStatus *st = pod->status;

	v->reason = *st->reason ? st->reason : st->phase;
	v->total = pod->spec->n_containers;
	for (size_t i = 0; i < pod->spec->n_init_containers; i++)
		v->total += is_sidecar(pod->spec->init_containers[i]);
	for (size_t i = 0; i < st->n_conditions; i++)
		if (!strcmp(st->conditions[i]->type, "PodScheduled") &&
		    !strcmp(st->conditions[i]->reason, "SchedulingGated"))
			v->reason = "SchedulingGated";
	bool initializing = view_init(v, pod);
	if (!initializing || pod_is_initialized(st))
		view_containers(v, pod);
	if (pod->metadata->deletion_timestamp && !strcmp(st->reason, "NodeLost"))
		v->reason = "Unknown";
	else if (pod->metadata->deletion_timestamp &&
	         !list_has(LIST("Succeeded", "Failed"), st->phase))
		v->reason = "Terminating";
}

static const char *gates_text(struct arena *a, const CoreV1__Pod *pod)
{
	size_t n = 0;

	if (!pod->spec->n_readiness_gates)
		return "<none>";
	for (size_t i = 0; i < pod->spec->n_readiness_gates; i++)
		for (size_t j = 0; j < pod->status->n_conditions; j++) {
			const CoreV1__PodCondition *c = pod->status->conditions[j];
			if (strcmp(c->type, pod->spec->readiness_gates[i]->condition_type))
				continue;
			n += !strcmp(c->status, "True");
			break;
		}
	return arena_printf(a, "%zu/%zu", n, pod->spec->n_readiness_gates);
}

void pod_table_row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const CoreV1__Pod *pod = OBJECT_MSG(obj, CoreV1__Pod);
	struct pod_view v = {.a = ctx->arena};
	const char *restarts;

	view_pod(&v, pod);
	restarts = v.restarts && v.last_restart
	               ? arena_printf(ctx->arena, "%lld (%s ago)", (long long)v.restarts,
	                              human_since(ctx, v.last_restart))
	               : arena_printf(ctx->arena, "%lld", (long long)v.restarts);
	row_name(r, obj);
	row_str(r, arena_printf(ctx->arena, "%zu/%zu", v.ready, v.total));
	row_str(r, v.reason);
	row_str(r, restarts);
	row_age(ctx, r, obj);
	row_or_none(r, pod->status->n_pod_ips ? pod->status->pod_ips[0]->ip : pod->status->pod_ip);
	row_or_none(r, pod->spec->node_name);
	row_or_none(r, pod->status->nominated_node_name);
	row_str(r, gates_text(ctx->arena, pod));
	if (!strcmp(pod->status->phase, "Succeeded")) {
		r->completed_reason = "Succeeded";
		r->completed_message = "The pod has completed successfully.";
	} else if (!strcmp(pod->status->phase, "Failed")) {
		r->completed_reason = "Failed";
		r->completed_message = "The pod failed.";
	}
}
