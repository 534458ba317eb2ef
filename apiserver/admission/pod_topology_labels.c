/* SPDX-License-Identifier: Apache-2.0 */
/* PodTopologyLabels: a pod that is bound to a node carries the labels of the node's zone and
 * region, so that it can read them from its own metadata. */
#include "apiserver/admission/pods.h"

static void copy_labels(struct arena *a, MetaV1__ObjectMeta *to, const MetaV1__ObjectMeta *node)
{
	static const char *const LABELS[] = {"topology.kubernetes.io/zone",
	                                     "topology.kubernetes.io/region"};

	for (size_t i = 0; i < ARRAY_LEN(LABELS); i++) {
		const char *value = meta_label(node, LABELS[i]);
		size_t at = 0;

		if (!value)
			continue;
		MetaV1__ObjectMeta__LabelsEntry *e =
		    NEW_MSG(a, MetaV1__ObjectMeta__LabelsEntry,
		            meta_v1__object_meta__labels_entry__descriptor);
		e->key = (char *)LABELS[i];
		e->value = arena_strdup(a, value);
		while (at < to->n_labels && strcmp(to->labels[at]->key, LABELS[i]) != 0)
			at++;
		if (at < to->n_labels)
			to->labels[at] = e;
		else
			APPEND_MSG(a, to, labels, e);
	}
}

const struct refusal *pod_topology_labels(struct admission *ad)
{
	bool binding = admission_is_sub(ad, "", "pods", "binding");
	const CoreV1__Pod *pod = admission_pod(ad);
	const char *node_name = NULL;

	if (ad->at->op != ADMIT_CREATE)
		return NULL;
	if (binding)
		node_name = OBJECT_MSG(ad->at->obj, CoreV1__Binding)->target->name;
	else if (pod)
		node_name = pod->spec->node_name;
	const struct object *node =
	    node_name && *node_name ? admission_get(ad, "", "nodes", "", node_name) : NULL;
	if (node)
		copy_labels(ad->arena, ad->at->obj->meta, node->meta);
	return NULL;
}
