/* SPDX-License-Identifier: Apache-2.0 */
/* Priority: the name of a class becomes a number and a preemption policy; only one class may be the
 * default. */
#include "apiserver/admission/pods.h"
#include "proto/scheduling_v1.pb-c.h"

#define GROUP "scheduling.k8s.io"
#define PREEMPT "PreemptLowerPriority"

struct resolved {
	const char *name;
	int32_t value;
	const char *policy;
};

static const struct object *default_class(struct admission *ad)
{
	const struct object *all, *best = NULL;
	size_t n = admission_list(ad, GROUP, "priorityclasses", "", &all);

	/* Of several, the one with the lowest value: the least harm. */
	for (size_t i = 0; i < n; i++) {
		const SchedulingV1__PriorityClass *c =
		    OBJECT_MSG(&all[i], SchedulingV1__PriorityClass);

		if (c->global_default &&
		    (!best || OBJECT_MSG(best, SchedulingV1__PriorityClass)->value > c->value))
			best = &all[i];
	}
	return best;
}

static const struct refusal *resolve(struct admission *ad, const char *name, struct resolved *ret)
{
	const struct object *o =
	    *name ? admission_get(ad, GROUP, "priorityclasses", "", name) : default_class(ad);

	*ret = (struct resolved){.name = "", .policy = PREEMPT};
	if (!o && !*name)
		return NULL;
	if (!o)
		return admission_forbid(ad, "no PriorityClass with name %s was found", name);
	const SchedulingV1__PriorityClass *c = OBJECT_MSG(o, SchedulingV1__PriorityClass);

	ret->name = c->metadata->name;
	ret->value = c->value;
	if (c->preemption_policy && c->preemption_policy[0])
		ret->policy = c->preemption_policy;
	return NULL;
}

static const struct refusal *create(struct admission *ad, CoreV1__PodSpec *spec)
{
	struct resolved r;
	const struct refusal *refusal = resolve(ad, spec->priority_class_name, &r);

	if (refusal)
		return refusal;
	if (spec->has_priority && spec->priority != r.value)
		return admission_forbid(
		    ad,
		    "the integer value of priority (%d) must not be provided in "
		    "pod spec; priority admission controller computed %d from "
		    "the given PriorityClass name",
		    spec->priority, r.value);
	if (spec->preemption_policy && spec->preemption_policy[0] &&
	    strcmp(spec->preemption_policy, r.policy) != 0)
		return admission_forbid(ad,
		                        "the string value of PreemptionPolicy (%s) must not be "
		                        "provided in pod spec; priority admission controller "
		                        "computed %s from the given PriorityClass name",
		                        spec->preemption_policy, r.policy);
	spec->priority_class_name = arena_strdup(ad->arena, r.name);
	spec->has_priority = true;
	spec->priority = r.value;
	spec->preemption_policy = arena_strdup(ad->arena, r.policy);
	return NULL;
}

const struct refusal *priority_mutate(struct admission *ad)
{
	CoreV1__Pod *pod = admission_pod(ad);

	if (!pod)
		return NULL;
	if (ad->at->op == ADMIT_CREATE)
		return create(ad, pod->spec);
	if (ad->at->op == ADMIT_UPDATE && ad->at->old) {
		const CoreV1__PodSpec *old = OBJECT_MSG(ad->at->old, CoreV1__Pod)->spec;

		if (!pod->spec->has_priority && old->has_priority) {
			pod->spec->has_priority = true;
			pod->spec->priority = old->priority;
		}
		if (!pod->spec->preemption_policy)
			pod->spec->preemption_policy = old->preemption_policy;
	}
	return NULL;
}

const struct refusal *priority_validate(struct admission *ad)
{
	if (!admission_is(ad, GROUP, "priorityclasses") || !ad->at->obj)
		return NULL;
	const SchedulingV1__PriorityClass *c = OBJECT_MSG(ad->at->obj, SchedulingV1__PriorityClass);
	const struct object *other = c->global_default ? default_class(ad) : NULL;

	if (!other || !strcmp(object_name(other), c->metadata->name))
		return NULL;
	return admission_forbid(ad,
	                        "PriorityClass %s is already marked as default. Only one default "
	                        "can exist",
	                        object_name(other));
}
