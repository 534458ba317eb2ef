/* SPDX-License-Identifier: Apache-2.0 */
/* What may change in a pod that exists, on each of its subresources. */
#include "apiserver/registry/core/pod.h"
#include "apiserver/registry/core/pod_spec.h"
#include "apiserver/registry/diff.h"
#include "proto/msg.h"
#include "proto/schema.h"

static void check_images(errs_t errs, path_t p, CoreV1__Container *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!*list[i]->image)
			field_required(errs, FIELD(FIELD_INDEX(p, i), "image"), "");
}

static void check_deadline(errs_t errs, const CoreV1__PodSpec *now, const CoreV1__PodSpec *old)
{
	path_t p = FIELD(NULL, "spec.activeDeadlineSeconds");

	if (!now->has_active_deadline_seconds) {
		if (old->has_active_deadline_seconds)
			field_invalid(errs, p, NULL,
			              "must not update from a positive integer to nil value");
		return;
	}
	if (now->active_deadline_seconds < 0 || now->active_deadline_seconds > INT32_MAX)
		field_invalid_int(errs, p, now->active_deadline_seconds,
		                  "must be between 0 and 2147483647, inclusive");
	else if (old->has_active_deadline_seconds &&
	         old->active_deadline_seconds < now->active_deadline_seconds)
		field_invalid_int(errs, p, now->active_deadline_seconds,
		                  "must be less than or equal to previous value");
}

static const char *toleration_key(errs_t errs, const CoreV1__Toleration *t)
{
	return arena_printf(errs->arena, "%s\x01%s\x01%s\x01%s", t->key, t->operator_, t->value,
	                    t->effect);
}

static void check_tolerations_grow(errs_t errs, const CoreV1__PodSpec *now,
                                   const CoreV1__PodSpec *old)
{
	struct index kept = INDEX_IN(errs->arena);

	for (size_t i = 0; i < now->n_tolerations; i++)
		index_add(&kept, toleration_key(errs, now->tolerations[i]), 0);
	for (size_t i = 0; i < old->n_tolerations; i++) {
		if (index_has(&kept, toleration_key(errs, old->tolerations[i])))
			continue;
		field_forbidden(errs, FIELD(NULL, "spec.tolerations"),
		                "existing toleration can not be modified except its "
		                "tolerationSeconds");
		return;
	}
}

static void check_gates_shrink(errs_t errs, const CoreV1__PodSpec *now, const CoreV1__PodSpec *old)
{
	struct index had = INDEX_IN(errs->arena);

	for (size_t i = 0; i < old->n_scheduling_gates; i++)
		index_add(&had, old->scheduling_gates[i]->name, 0);
	for (size_t i = 0; i < now->n_scheduling_gates; i++) {
		const char *name = now->scheduling_gates[i]->name;
		if (!index_has(&had, name))
			field_add(
			    errs, FIELD_FORBIDDEN,
			    FIELD(FIELD_INDEX(FIELD(NULL, "spec.schedulingGates"), i), "name"),
			    NULL, "only deletion is allowed, but found new scheduling gate '%s'",
			    name);
	}
}

/* The new spec with everything that may change put back: equal to the old one when nothing else
 * has changed. */
static CoreV1__PodSpec *munge(struct arena *a, const CoreV1__PodSpec *now,
                              const CoreV1__PodSpec *old)
{
	CoreV1__PodSpec *s =
	    (CoreV1__PodSpec *)msg_copy(schema_of(now->base.descriptor), &now->base, a);

	for (size_t i = 0; i < s->n_containers; i++)
		s->containers[i]->image = old->containers[i]->image;
	for (size_t i = 0; i < s->n_init_containers; i++)
		s->init_containers[i]->image = old->init_containers[i]->image;
	s->has_active_deadline_seconds = old->has_active_deadline_seconds;
	s->active_deadline_seconds = old->active_deadline_seconds;
	s->tolerations = old->tolerations;
	s->n_tolerations = old->n_tolerations;
	s->scheduling_gates = old->scheduling_gates;
	s->n_scheduling_gates = old->n_scheduling_gates;
	if (old->has_termination_grace_period_seconds &&
	    old->termination_grace_period_seconds < 0 && s->has_termination_grace_period_seconds &&
	    s->termination_grace_period_seconds == 1)
		s->termination_grace_period_seconds = old->termination_grace_period_seconds;
	if (old->n_scheduling_gates) { /* a gated pod may be moved */
		s->node_selector = old->node_selector;
		s->n_node_selector = old->n_node_selector;
		if (s->affinity && old->affinity)
			s->affinity->node_affinity = old->affinity->node_affinity;
		else
			s->affinity = old->affinity;
	}
	return s;
}

void pod_validate_update(const struct strategy_ctx *ctx, const struct object *obj,
                         const struct object *old_obj, errs_t errs)
{
	const CoreV1__PodSpec *now = OBJECT_MSG(obj, CoreV1__Pod)->spec;
	const CoreV1__PodSpec *old = OBJECT_MSG(old_obj, CoreV1__Pod)->spec;
	path_t p = FIELD(NULL, "spec");

	check_images(errs, FIELD(p, "containers"), now->containers, now->n_containers);
	check_images(errs, FIELD(p, "initContainers"), now->init_containers,
	             now->n_init_containers);
	if (now->n_containers != old->n_containers) {
		field_forbidden(errs, FIELD(p, "containers"),
		                "pod updates may not add or remove containers");
		return;
	}
	if (now->n_init_containers != old->n_init_containers) {
		field_forbidden(errs, FIELD(p, "initContainers"),
		                "pod updates may not add or remove containers");
		return;
	}
	check_deadline(errs, now, old);
	check_tolerations_grow(errs, now, old);
	check_gates_shrink(errs, now, old);
	const CoreV1__PodSpec *munged = munge(errs->arena, now, old);
	if (!same_msg(munged, old))
		field_add(
		    errs, FIELD_FORBIDDEN, p, NULL,
		    "pod updates may not change fields other than `spec.containers[*].image`,"
		    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations`"
		    " "
		    "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` "
		    "(allow it to be set to 1 if it was previously negative)\n%s",
		    msg_diff(errs, old, munged));
}

void pod_ephemeral_prepare(const struct strategy_ctx *ctx, struct object *obj,
                           const struct object *old)
{
	CoreV1__Pod *pod = OBJECT_MSG(obj, CoreV1__Pod);
	CoreV1__PodSpec *was = OBJECT_MSG(old, CoreV1__Pod)->spec;
	CoreV1__PodSpec *spec =
	    (CoreV1__PodSpec *)msg_copy(schema_of(was->base.descriptor), &was->base, ctx->arena);

	spec->ephemeral_containers = pod->spec->ephemeral_containers;
	spec->n_ephemeral_containers = pod->spec->n_ephemeral_containers;
	pod->spec = spec;
}

void pod_ephemeral_validate(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old_obj, errs_t errs)
{
	const CoreV1__PodSpec *now = OBJECT_MSG(obj, CoreV1__Pod)->spec;
	const CoreV1__PodSpec *old = OBJECT_MSG(old_obj, CoreV1__Pod)->spec;

	struct index names = INDEX_IN(errs->arena);

	for (size_t i = 0; i < now->n_ephemeral_containers; i++)
		index_add(&names, ephemeral_as_container(now->ephemeral_containers[i])->name,
		          (uint32_t)i);
	for (size_t i = 0; i < old->n_ephemeral_containers; i++) {
		const CoreV1__EphemeralContainer *was = old->ephemeral_containers[i];
		const char *name = ephemeral_as_container(was)->name;
		int64_t at = index_find(&names, name);
		const CoreV1__EphemeralContainer *is =
		    at < 0 ? NULL : now->ephemeral_containers[at];
		if (!is || !same_msg(is, was))
			field_add(errs, FIELD_FORBIDDEN, FIELD(NULL, "spec.ephemeralContainers"),
			          NULL, "existing ephemeral containers \"%s\" may not be %s\n%s",
			          name, is ? "changed" : "removed",
			          is ? msg_diff(errs, was, is) : "");
	}
}

/* Takes over the resources of containers of the same names. */
static void take_resources(struct arena *a, CoreV1__Container **to, size_t n_to,
                           CoreV1__Container *const *from, size_t n_from)
{
	struct index names = INDEX_IN(a);

	for (size_t i = 0; i < n_to; i++)
		index_add(&names, to[i]->name, (uint32_t)i);
	for (size_t i = 0; i < n_from; i++) {
		int64_t at = index_find(&names, from[i]->name);
		if (at < 0)
			continue;
		to[at]->resources = from[i]->resources;
		to[at]->resize_policy = from[i]->resize_policy;
		to[at]->n_resize_policy = from[i]->n_resize_policy;
	}
}

void pod_resize_prepare(const struct strategy_ctx *ctx, struct object *obj,
                        const struct object *old)
{
	CoreV1__Pod *pod = OBJECT_MSG(obj, CoreV1__Pod);
	CoreV1__PodSpec *was = OBJECT_MSG(old, CoreV1__Pod)->spec;
	CoreV1__PodSpec *spec =
	    (CoreV1__PodSpec *)msg_copy(schema_of(was->base.descriptor), &was->base, ctx->arena);

	take_resources(ctx->arena, spec->containers, spec->n_containers, pod->spec->containers,
	               pod->spec->n_containers);
	take_resources(ctx->arena, spec->init_containers, spec->n_init_containers,
	               pod->spec->init_containers, pod->spec->n_init_containers);
	pod->spec = spec;
}

/* Entries other than CPU and memory stay as they are. */
static bool same_fixed_resources(struct quantity_entry *const *a, size_t na,
                                 struct quantity_entry *const *b, size_t nb)
{
	for (size_t i = 0; i < na; i++) {
		const char *other;
		if (list_has(LIST("cpu", "memory"), a[i]->key))
			continue;
		other = quantities_get(b, nb, a[i]->key);
		if (!other || quantity_cmp_text(other, a[i]->value->string))
			return false;
	}
	return true;
}

static void check_resized(errs_t errs, path_t p, const CoreV1__ResourceRequirements *now,
                          const CoreV1__ResourceRequirements *old)
{
	struct quantity_entry *const *l = QUANTITIES(now->limits), *const *ol =
	                                                               QUANTITIES(old->limits);
	struct quantity_entry *const *r = QUANTITIES(now->requests);
	struct quantity_entry *const * or = QUANTITIES(old->requests);

	if (!same_fixed_resources(l, now->n_limits, ol, old->n_limits) ||
	    !same_fixed_resources(ol, old->n_limits, l, now->n_limits) ||
	    !same_fixed_resources(r, now->n_requests, or, old->n_requests) ||
	    !same_fixed_resources(or, old->n_requests, r, now->n_requests))
		field_forbidden(errs, p, "only cpu and memory resources are mutable");
	for (size_t i = 0; i < old->n_limits; i++)
		if (!quantities_get(l, now->n_limits, ol[i]->key))
			field_forbidden(errs, FIELD(p, "limits"),
			                "resource limits cannot be removed");
	for (size_t i = 0; i < old->n_requests; i++)
		if (!quantities_get(r, now->n_requests, or [i] -> key))
			field_forbidden(errs, FIELD(p, "requests"),
			                "resource requests cannot be removed");
}

void pod_resize_validate(const struct strategy_ctx *ctx, const struct object *obj,
                         const struct object *old_obj, errs_t errs)
{
	const CoreV1__Pod *pod = OBJECT_MSG(obj, CoreV1__Pod);
	const CoreV1__Pod *old = OBJECT_MSG(old_obj, CoreV1__Pod);

	if (strcmp(pod_qos_class(pod->spec), old->status->qos_class))
		field_invalid(errs, FIELD(NULL, "spec"), pod_qos_class(pod->spec),
		              "Pod QOS Class may not change as a result of resizing");
	for (size_t i = 0; i < pod->spec->n_containers; i++)
		check_resized(
		    errs, FIELD(FIELD_INDEX(FIELD(NULL, "spec.containers"), i), "resources"),
		    pod->spec->containers[i]->resources, old->spec->containers[i]->resources);
}
