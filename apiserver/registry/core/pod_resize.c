/* SPDX-License-Identifier: Apache-2.0 */
/* Resizing the containers of a pod that runs. */
#include "apiserver/registry/core/pod.h"
#include "apiserver/registry/core/pod_spec.h"
#include "proto/msg.h"
#include "proto/schema.h"

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

static bool removed(struct quantity_entry *const *now, size_t n, struct quantity_entry *const *old,
                    size_t n_old)
{
	for (size_t i = 0; i < n_old; i++)
		if (!quantities_get(now, n, old[i]->key))
			return true;
	return false;
}

/* Entries other than CPU and memory are as they were. */
static bool same_fixed(struct quantity_entry *const *a, size_t na, struct quantity_entry *const *b,
                       size_t nb)
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

static bool only_resizable(const CoreV1__Container *now, const CoreV1__Container *old)
{
	const CoreV1__ResourceRequirements *r = now->resources, *o = old->resources;

	return same_fixed(QUANTITIES(r->limits), r->n_limits, QUANTITIES(o->limits), o->n_limits) &&
	       same_fixed(QUANTITIES(o->limits), o->n_limits, QUANTITIES(r->limits), r->n_limits) &&
	       same_fixed(QUANTITIES(r->requests), r->n_requests, QUANTITIES(o->requests),
	                  o->n_requests) &&
	       same_fixed(QUANTITIES(o->requests), o->n_requests, QUANTITIES(r->requests),
	                  r->n_requests) &&
	       same_list(now->resize_policy, now->n_resize_policy, old->resize_policy,
	                 old->n_resize_policy) &&
	       same_list(r->claims, r->n_claims, o->claims, o->n_claims);
}

static void check_container(errs_t errs, path_t p, const CoreV1__Container *now,
                            const CoreV1__Container *old)
{
	const CoreV1__ResourceRequirements *r = now->resources, *o = old->resources;

	if (removed(QUANTITIES(r->requests), r->n_requests, QUANTITIES(o->requests), o->n_requests))
		field_forbidden(errs, FIELD(p, "resources.requests"),
		                "resource requests cannot be removed");
	if (removed(QUANTITIES(r->limits), r->n_limits, QUANTITIES(o->limits), o->n_limits))
		field_forbidden(errs, FIELD(p, "resources.limits"),
		                "resource limits cannot be removed");
}

static bool is_sidecar(const CoreV1__Container *c)
{
	return c->restart_policy && !strcmp(c->restart_policy, "Always");
}

/* A node that knows how to resize reports the resources of what runs. */
static bool is_supported(const CoreV1__PodStatus *s)
{
	for (size_t i = 0; i < s->n_container_statuses; i++)
		if (s->container_statuses[i]->state->running)
			return s->container_statuses[i]->resources;
	return true;
}

static void check_init_containers(errs_t errs, path_t spec, const CoreV1__PodSpec *now,
                                  const CoreV1__PodSpec *old)
{
	for (size_t i = 0; i < old->n_init_containers; i++) {
		const CoreV1__Container *c = now->init_containers[i], *o = old->init_containers[i];
		if (is_sidecar(o)) {
			check_container(errs, FIELD_INDEX(FIELD(spec, "initContainers"), i), c, o);
			if (!only_resizable(c, o))
				field_forbidden(errs, spec,
				                "only cpu and memory resources for sidecar "
				                "containers are mutable");
		} else if (!same_msg(c, o)) {
			field_forbidden(errs, spec,
			                "resources for non-sidecar init containers are immutable");
		}
	}
}

void pod_resize_validate(const struct strategy_ctx *ctx, const struct object *obj,
                         const struct object *old_obj, errs_t errs)
{
	const CoreV1__Pod *pod = OBJECT_MSG(obj, CoreV1__Pod);
	const CoreV1__Pod *old = OBJECT_MSG(old_obj, CoreV1__Pod);
	path_t spec = FIELD(NULL, "spec");

	if (pod_is_mirror(old)) {
		field_forbidden(errs, FIELD(NULL, ""), "static pods cannot be resized");
		return;
	}
	if (old->spec->os && !strcmp(old->spec->os->name, "windows")) {
		field_forbidden(errs, FIELD(NULL, ""), "windows pods cannot be resized");
		return;
	}
	if (strcmp(pod_qos_class(pod->spec), old->status->qos_class))
		field_invalid(errs, spec, old->status->qos_class,
		              "Pod QOS Class may not change as a result of resizing");
	if (!is_supported(old->status))
		field_forbidden(errs, spec, "Pod running on node without support for resize");
	check_init_containers(errs, spec, pod->spec, old->spec);
	for (size_t i = 0; i < pod->spec->n_containers; i++) {
		const CoreV1__Container *c = pod->spec->containers[i],
		                        *o = old->spec->containers[i];
		check_container(errs, FIELD_INDEX(FIELD(spec, "containers"), i), c, o);
		if (!only_resizable(c, o))
			field_forbidden(errs, spec, "only cpu and memory resources are mutable");
	}
}
