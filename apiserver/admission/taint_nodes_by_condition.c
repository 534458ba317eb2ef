/* SPDX-License-Identifier: Apache-2.0 */
/* TaintNodesByCondition: a new node takes no pods until it is known to be ready. */
#include "apiserver/admission/pods.h"
#include "proto/schema.h"

#define NOT_READY "node.kubernetes.io/not-ready"

const struct refusal *taint_nodes_by_condition(struct admission *ad)
{
	if (!admission_is(ad, "", "nodes") || ad->at->op != ADMIT_CREATE)
		return NULL;
	CoreV1__NodeSpec *spec = OBJECT_MSG(ad->at->obj, CoreV1__Node)->spec;

	for (size_t i = 0; i < spec->n_taints; i++)
		if (!strcmp(spec->taints[i]->key, NOT_READY) &&
		    !strcmp(spec->taints[i]->effect, "NoSchedule"))
			return NULL;
	CoreV1__Taint *t = NEW_MSG(ad->arena, CoreV1__Taint, core_v1__taint__descriptor);
	t->key = (char *)NOT_READY;
	t->effect = (char *)"NoSchedule";
	APPEND_MSG(ad->arena, spec, taints, t);
	return NULL;
}
