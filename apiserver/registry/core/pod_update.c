/* SPDX-License-Identifier: Apache-2.0 */
/* What may change in a pod that exists, on each of its subresources. */
#include "apiserver/registry/core/pod.h"
#include "apiserver/registry/core/pod_spec.h"
#include "apiserver/registry/defaults.h"
#include "apiserver/registry/diff.h"
#include "apiserver/registry/row.h"
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

/* Puts the old node affinity back, and nothing else of the affinity. */
static void munge_affinity(struct arena *a, CoreV1__PodSpec *s, const CoreV1__PodSpec *old)
{
	CoreV1__NodeAffinity *was = old->affinity ? old->affinity->node_affinity : NULL;

	if (!s->affinity && was)
		s->affinity = MSG_NEW(a, CoreV1__Affinity, core_v1__affinity__descriptor);
	if (s->affinity)
		s->affinity->node_affinity = was;
	if (s->affinity && !old->affinity && !s->affinity->pod_affinity &&
	    !s->affinity->pod_anti_affinity)
		s->affinity = NULL;
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
		munge_affinity(a, s, old);
	}
	return s;
}

/* --- where a gated pod may be scheduled: it only gets narrower ----------------------------------
 */

static void check_node_selector(errs_t errs, const CoreV1__PodSpec *now, const CoreV1__PodSpec *old)
{
	struct string_entry *const *map = STRINGS(now->node_selector);

	for (size_t i = 0; i < old->n_node_selector; i++) {
		const char *value =
		    strings_get(map, now->n_node_selector, old->node_selector[i]->key);
		if (value && same_str(value, old->node_selector[i]->value))
			continue;
		field_invalid_json(errs, FIELD(NULL, "spec.nodeSelector"),
		                   json_of_map(errs, map, now->n_node_selector),
		                   "only additions to spec.nodeSelector are allowed (no mutations "
		                   "or deletions)");
		return;
	}
}

static bool begins_with(CoreV1__NodeSelectorRequirement *const *now, size_t n,
                        CoreV1__NodeSelectorRequirement *const *old, size_t n_old)
{
	return n >= n_old && same_list(now, n_old, old, n_old);
}

static bool only_adds(const CoreV1__NodeSelectorTerm *now, const CoreV1__NodeSelectorTerm *old)
{
	if (!old->n_match_expressions && !old->n_match_fields &&
	    (now->n_match_expressions || now->n_match_fields))
		return false;
	return begins_with(now->match_expressions, now->n_match_expressions, old->match_expressions,
	                   old->n_match_expressions) &&
	       begins_with(now->match_fields, now->n_match_fields, old->match_fields,
	                   old->n_match_fields);
}

static const CoreV1__NodeSelector *required_terms(const CoreV1__PodSpec *s)
{
	const CoreV1__NodeAffinity *n = s->affinity ? s->affinity->node_affinity : NULL;

	return n ? n->required_during_scheduling_ignored_during_execution : NULL;
}

static const char *terms_json(errs_t errs, const CoreV1__NodeSelector *s)
{
	struct join text = JOIN(errs->arena, ",");

	for (size_t i = 0; s && i < s->n_node_selector_terms; i++)
		join_add(&text, go_json_of(errs, s->node_selector_terms[i]));
	return s && s->n_node_selector_terms ? arena_printf(errs->arena, "[%s]", join_text(&text))
	                                     : "null";
}

static void check_node_affinity(errs_t errs, const CoreV1__PodSpec *now, const CoreV1__PodSpec *old)
{
	path_t p = FIELD(NULL, "spec.affinity.nodeAffinity."
	                       "requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
	const CoreV1__NodeSelector *is = required_terms(now), *was = required_terms(old);
	size_t n = is ? is->n_node_selector_terms : 0, n_was = was ? was->n_node_selector_terms : 0;

	if (!n_was)
		return;
	if (n != n_was) {
		field_invalid_json(
		    errs, p, terms_json(errs, is),
		    "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (!only_adds(is->node_selector_terms[i], was->node_selector_terms[i]))
			field_invalid_json(
			    errs, FIELD_INDEX(p, i), go_json_of(errs, is->node_selector_terms[i]),
			    "only additions are allowed (no mutations or deletions)");
}

void pod_validate_update(const struct strategy_ctx *ctx, const struct object *obj,
                         const struct object *old_obj, errs_t errs)
{
	const CoreV1__PodSpec *now = OBJECT_MSG(obj, CoreV1__Pod)->spec;
	const CoreV1__PodSpec *old = OBJECT_MSG(old_obj, CoreV1__Pod)->spec;
	path_t p = FIELD(NULL, "spec");

	pod_annotations_check_update(errs, OBJECT_MSG(obj, CoreV1__Pod),
	                             OBJECT_MSG(old_obj, CoreV1__Pod));
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
	if (old->n_scheduling_gates) {
		check_node_selector(errs, now, old);
		check_node_affinity(errs, now, old);
	}
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

	pod_annotations_check_update(errs, OBJECT_MSG(obj, CoreV1__Pod),
	                             OBJECT_MSG(old_obj, CoreV1__Pod));
	if (pod_is_mirror(OBJECT_MSG(old_obj, CoreV1__Pod))) {
		errs->n = 0;
		field_forbidden(errs, FIELD(NULL, ""),
		                "static pods do not support ephemeral containers");
		return;
	}
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
