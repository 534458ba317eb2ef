/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kubelet/core/make.h"
#include "kubelet/core/status_parts.h"

/* PodReadyToStartContainers, Initialized, Ready, ContainersReady and PodScheduled. */
enum { N_OWN = 5 };

struct verdict {
	bool good;
	const char *reason, *message;
};

static const CoreV1__PodCondition *old_condition(const CoreV1__Pod *pod, const char *type)
{
	const CoreV1__PodStatus *s = pod->status;
	for (size_t i = 0; s && i < s->n_conditions; i++)
		if (!strcmp(s->conditions[i]->type, type))
			return s->conditions[i];
	return NULL;
}

static void add(const struct status_input *in, CoreV1__PodStatus *s, struct arena *a,
                const char *type, struct verdict v)
{
	CoreV1__PodCondition *c = MAKE(a, CoreV1__PodCondition, CORE_V1__POD_CONDITION__INIT);
	const CoreV1__PodCondition *old = old_condition(in->pod, type);
	c->type = TEXT(type);
	c->status = TEXT(v.good ? "True" : "False");
	c->reason = TEXT(v.reason ? v.reason : "");
	c->message = TEXT(v.message ? v.message : "");
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

static const char *append(struct arena *a, const char *list, const char *name)
{
	return list ? arena_printf(a, "%s %s", list, name) : name;
}

static struct verdict initialized(const struct status_input *in, const CoreV1__PodStatus *s,
                                  struct arena *a)
{
	const char *names = NULL;
	for (size_t i = 0; i < s->n_init_container_statuses; i++) {
		const CoreV1__ContainerStatus *c = s->init_container_statuses[i];
		bool sidecar = container_is_sidecar(in->pod->spec->init_containers[i]);
		if (sidecar ? !c->started : !c->ready)
			names = append(a, names, c->name);
	}
	if (!strcmp(s->phase, "Succeeded"))
		return (struct verdict){true, "PodCompleted", NULL};
	if (!names)
		return (struct verdict){.good = true};
	for (size_t i = 0; i < s->n_container_statuses; i++) {
		const CoreV1__ContainerStatus *c = s->container_statuses[i];
		if (c->started || c->state->terminated || c->last_state->terminated)
			return (struct verdict){.good = true};
	}
	return (struct verdict){false, "ContainersNotInitialized",
	                        arena_printf(a, "containers with incomplete status: [%s]", names)};
}

static struct verdict containers_ready(const struct status_input *in, const CoreV1__PodStatus *s,
                                       struct arena *a)
{
	const CoreV1__PodSpec *spec = in->pod->spec;
	const char *names = NULL;
	if (!strcmp(s->phase, "Succeeded"))
		return (struct verdict){false, "PodCompleted", NULL};
	if (!strcmp(s->phase, "Failed"))
		return (struct verdict){false, "PodFailed", NULL};
	for (size_t i = 0; i < s->n_init_container_statuses; i++)
		if (container_is_sidecar(spec->init_containers[i]) &&
		    !s->init_container_statuses[i]->ready)
			names = append(a, names, s->init_container_statuses[i]->name);
	/* In the order of the spec, which the statuses are not in. */
	for (size_t i = 0; i < spec->n_containers; i++)
		for (size_t k = 0; k < s->n_container_statuses; k++)
			if (!s->container_statuses[k]->ready &&
			    !strcmp(s->container_statuses[k]->name, spec->containers[i]->name))
				names = append(a, names, spec->containers[i]->name);
	if (!names)
		return (struct verdict){.good = true};
	return (struct verdict){false, "ContainersNotReady",
	                        arena_printf(a, "containers with unready status: [%s]", names)};
}

static struct verdict ready(const struct status_input *in, struct verdict containers,
                            struct arena *a)
{
	const CoreV1__PodSpec *spec = in->pod->spec;
	const char *text = NULL;
	if (!containers.good)
		return containers;
	for (size_t i = 0; i < spec->n_readiness_gates; i++) {
		const char *type = spec->readiness_gates[i]->condition_type;
		const CoreV1__PodCondition *c = old_condition(in->pod, type);
		const char *sep = text ? ", " : "";
		if (!c)
			text = arena_printf(a,
			                    "%s%scorresponding condition of pod readiness gate "
			                    "\"%s\" does not exist.",
			                    text ? text : "", sep, type);
		else if (strcmp(c->status, "True"))
			text = arena_printf(a,
			                    "%s%sthe status of pod readiness gate \"%s\" is not "
			                    "\"True\", but %s",
			                    text ? text : "", sep, type, c->status);
	}
	return text ? (struct verdict){false, "ReadinessGatesNotReady", text} : containers;
}

void status_conditions(const struct status_input *in, CoreV1__PodStatus *s, struct arena *a)
{
	const CoreV1__PodStatus *old = in->pod->status;
	s->conditions =
	    arena_array(a, CoreV1__PodCondition *, N_OWN + 2 + (old ? old->n_conditions : 0));
	if (in->resize_type)
		add(in, s, a, in->resize_type,
		    (struct verdict){true, in->resize_reason, in->resize_message});
	if (in->disruption_reason)
		add(in, s, a, "DisruptionTarget",
		    (struct verdict){true, in->disruption_reason, in->failed_message});
	add(in, s, a, "PodReadyToStartContainers",
	    (struct verdict){.good = status_has_sandbox(in)});
	add(in, s, a, "Initialized", initialized(in, s, a));
	struct verdict containers = containers_ready(in, s, a);
	add(in, s, a, "Ready", ready(in, containers, a));
	add(in, s, a, "ContainersReady", containers);
	add(in, s, a, "PodScheduled", (struct verdict){.good = true});
	/* Conditions of others stay. */
	for (size_t i = 0; old && i < old->n_conditions; i++) {
		bool there = !strncmp(old->conditions[i]->type, "PodResize", 9);
		for (size_t k = 0; k < s->n_conditions; k++)
			there |= !strcmp(old->conditions[i]->type, s->conditions[k]->type);
		if (!there)
			s->conditions[s->n_conditions++] = old->conditions[i];
	}
}
