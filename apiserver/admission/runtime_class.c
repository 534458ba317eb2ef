/* SPDX-License-Identifier: Apache-2.0 */
/* RuntimeClass: a pod takes the overhead and the scheduling constraints of its runtime class. */
#include "apiserver/admission/pods.h"
#include "proto/resource_sum.h"
#include "proto/msg.h"
#include "proto/node_v1.pb-c.h"
#include "proto/schema.h"

static const struct refusal *set_overhead(struct admission *ad, CoreV1__PodSpec *spec,
                                          const NodeV1__RuntimeClass *rc)
{
	struct resource_list have = RESOURCES(spec, overhead), want = {0};

	if (!rc->overhead)
		return NULL;
	want = (struct resource_list)RESOURCES(rc->overhead, pod_fixed);
	if (have.n && !resources_equal(&have, &want))
		return admission_forbid(
		    ad,
		    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
	if (have.n)
		return NULL;
	for (size_t i = 0; i < want.n; i++) {
		CoreV1__PodSpec__OverheadEntry *e =
		    NEW_MSG(ad->arena, CoreV1__PodSpec__OverheadEntry,
		            core_v1__pod_spec__overhead_entry__descriptor);
		e->key = want.at[i]->key;
		e->value = want.at[i]->value;
		APPEND_MSG(ad->arena, spec, overhead, e);
	}
	return NULL;
}

static const struct refusal *merge_selector(struct admission *ad, CoreV1__PodSpec *spec,
                                            const NodeV1__Scheduling *s)
{
	for (size_t i = 0; i < s->n_node_selector; i++) {
		const char *key = s->node_selector[i]->key, *value = s->node_selector[i]->value;
		const char *have = pb_map_get(spec->node_selector, spec->n_node_selector, key);

		if (have && strcmp(have, value) != 0)
			return admission_forbid(
			    ad,
			    "conflict: runtimeClass.scheduling.nodeSelector[%s] "
			    "= %s; pod.spec.nodeSelector[%s] = %s",
			    key, value, key, have);
	}
	for (size_t i = 0; i < s->n_node_selector; i++) {
		if (pb_map_get(spec->node_selector, spec->n_node_selector,
		               s->node_selector[i]->key))
			continue;
		CoreV1__PodSpec__NodeSelectorEntry *e =
		    NEW_MSG(ad->arena, CoreV1__PodSpec__NodeSelectorEntry,
		            core_v1__pod_spec__node_selector_entry__descriptor);
		e->key = s->node_selector[i]->key;
		e->value = s->node_selector[i]->value;
		APPEND_MSG(ad->arena, spec, node_selector, e);
	}
	return NULL;
}

static void merge_tolerations(struct admission *ad, CoreV1__PodSpec *spec,
                              const NodeV1__Scheduling *s)
{
	const struct schema_message *schema = schema_of(&core_v1__toleration__descriptor);

	for (size_t i = 0; i < s->n_tolerations; i++) {
		bool has = false;

		for (size_t k = 0; k < spec->n_tolerations; k++)
			has |= msg_equal(schema, &spec->tolerations[k]->base,
			                 &s->tolerations[i]->base);
		if (!has)
			APPEND_MSG(ad->arena, spec, tolerations, s->tolerations[i]);
	}
}

static const struct refusal *find(struct admission *ad, const CoreV1__PodSpec *spec,
                                  const NodeV1__RuntimeClass **ret)
{
	const struct object *o =
	    admission_get(ad, "node.k8s.io", "runtimeclasses", "", spec->runtime_class_name);

	if (!o)
		return admission_forbid(ad, "pod rejected: RuntimeClass \"%s\" not found",
		                        spec->runtime_class_name);
	*ret = OBJECT_MSG(o, NodeV1__RuntimeClass);
	return NULL;
}

const struct refusal *runtime_class_mutate(struct admission *ad)
{
	CoreV1__Pod *pod = admission_pod(ad);
	const NodeV1__RuntimeClass *rc = NULL;
	const struct refusal *r;

	if (!pod || ad->at->op != ADMIT_CREATE || !pod->spec->runtime_class_name)
		return NULL;
	r = find(ad, pod->spec, &rc);
	if (!r)
		r = set_overhead(ad, pod->spec, rc);
	if (!r && rc->scheduling)
		r = merge_selector(ad, pod->spec, rc->scheduling);
	if (!r && rc->scheduling)
		merge_tolerations(ad, pod->spec, rc->scheduling);
	return r;
}

const struct refusal *runtime_class_validate(struct admission *ad)
{
	CoreV1__Pod *pod = admission_pod(ad);
	const NodeV1__RuntimeClass *rc = NULL;
	const struct refusal *r = NULL;

	if (!pod || ad->at->op != ADMIT_CREATE)
		return NULL;
	if (pod->spec->runtime_class_name)
		r = find(ad, pod->spec, &rc);
	if (!r && pod->spec->n_overhead && !(rc && rc->overhead))
		r = admission_forbid(ad, "pod rejected: Pod Overhead set without corresponding "
		                         "RuntimeClass defined Overhead");
	return r;
}
