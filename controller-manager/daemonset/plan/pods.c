/* SPDX-License-Identifier: Apache-2.0 */
/* The pods of a DaemonSet: bound to their node by affinity, so that the scheduler places them, and
 * tolerant of what happens to nodes. */
#include <string.h>
#include "controller-manager/base/plan/meta.h"
#include "controller-manager/daemonset/plan/internal.h"
#include "proto/msg.h"
#include "proto/pb_decode.h"
#include "proto/schema_messages.h"

#define TEXT(s) ((char *)(uintptr_t)(s))
#define KEY(name) "node.kubernetes.io/" name

static bool has_toleration(const CoreV1__PodSpec *spec, const char *key, const char *effect)
{
	for (size_t i = 0; i < spec->n_tolerations; i++) {
		const CoreV1__Toleration *t = spec->tolerations[i];
		if (!strcmp(t->key, key) && !strcmp(t->effect, effect) &&
		    !strcmp(t->operator_, "Exists") && !t->has_toleration_seconds)
			return true;
	}
	return false;
}

static void add_toleration(CoreV1__PodSpec *spec, const char *key, const char *effect,
                           struct arena *a)
{
	CoreV1__Toleration *t = (CoreV1__Toleration *)pb_new(&core_v1__toleration_schema, a);
	CoreV1__Toleration **list = arena_array(a, CoreV1__Toleration *, spec->n_tolerations + 1);
	if (has_toleration(spec, key, effect))
		return;
	t->key = TEXT(key);
	t->effect = TEXT(effect);
	t->operator_ = TEXT("Exists");
	for (size_t i = 0; i < spec->n_tolerations; i++)
		list[i] = spec->tolerations[i];
	list[spec->n_tolerations++] = t;
	spec->tolerations = list;
}

void daemonset_tolerate(CoreV1__PodSpec *spec, struct arena *a)
{
	static const struct {
		const char *key, *effect;
	} all[] = {
	    {KEY("not-ready"), "NoExecute"},           {KEY("unreachable"), "NoExecute"},
	    {KEY("disk-pressure"), "NoSchedule"},      {KEY("memory-pressure"), "NoSchedule"},
	    {KEY("pid-pressure"), "NoSchedule"},       {KEY("unschedulable"), "NoSchedule"},
	    {KEY("network-unavailable"), "NoSchedule"}};
	/* The last one is for pods that are the network. */
	size_t n = ARRAY_LEN(all) - !spec->host_network;
	for (size_t i = 0; i < n; i++)
		add_toleration(spec, all[i].key, all[i].effect, a);
}

static CoreV1__NodeSelectorTerm *name_term(const char *node, struct arena *a)
{
	CoreV1__NodeSelectorTerm *term =
	    (CoreV1__NodeSelectorTerm *)pb_new(&core_v1__node_selector_term_schema, a);
	CoreV1__NodeSelectorRequirement *r = (CoreV1__NodeSelectorRequirement *)pb_new(
	    &core_v1__node_selector_requirement_schema, a);
	r->key = TEXT("metadata.name");
	r->operator_ = TEXT("In");
	r->values = arena_array(a, char *, 1);
	r->values[r->n_values++] = arena_strdup(a, node);
	term->match_fields = arena_memdup(a, &r, sizeof(r));
	term->n_match_fields = 1;
	return term;
}

/* Any other node affinity was looked at already: the node alone decides. */
static void pin(CoreV1__PodSpec *spec, const char *node, struct arena *a)
{
	CoreV1__Affinity *affinity = spec->affinity =
	    spec->affinity ? arena_memdup(a, spec->affinity, sizeof(*affinity))
	                   : (CoreV1__Affinity *)pb_new(&core_v1__affinity_schema, a);
	CoreV1__NodeAffinity *na = affinity->node_affinity =
	    affinity->node_affinity
	        ? arena_memdup(a, affinity->node_affinity, sizeof(*na))
	        : (CoreV1__NodeAffinity *)pb_new(&core_v1__node_affinity_schema, a);
	CoreV1__NodeSelector *sel =
	    (CoreV1__NodeSelector *)pb_new(&core_v1__node_selector_schema, a);
	CoreV1__NodeSelectorTerm *term = name_term(node, a);
	sel->node_selector_terms = arena_memdup(a, &term, sizeof(term));
	sel->n_node_selector_terms = 1;
	na->required_during_scheduling_ignored_during_execution = sel;
}

void daemonset_shape_pod(const AppsV1__DaemonSet *ds, const char *node, const char *hash,
                         CoreV1__Pod *pod, struct arena *a)
{
	pod->spec = arena_memdup(a, pod->spec, sizeof(*pod->spec));
	daemonset_tolerate(pod->spec, a);
	pin(pod->spec, node, a);
	meta_set_label(pod->metadata, a, DAEMONSET_HASH_LABEL, hash);
	if (daemonset_generation(ds))
		meta_set_label(pod->metadata, a, "pod-template-generation",
		               arena_printf(a, "%lld", (long long)daemonset_generation(ds)));
}

const char *daemonset_pod_node(const CoreV1__Pod *pod)
{
	if (*pod->spec->node_name)
		return pod->spec->node_name;
	const CoreV1__Affinity *affinity = pod->spec->affinity;
	const CoreV1__NodeSelector *sel =
	    affinity && affinity->node_affinity
	        ? affinity->node_affinity->required_during_scheduling_ignored_during_execution
	        : NULL;
	for (size_t i = 0; sel && i < sel->n_node_selector_terms; i++) {
		const CoreV1__NodeSelectorTerm *t = sel->node_selector_terms[i];
		for (size_t k = 0; k < t->n_match_fields; k++)
			if (!strcmp(t->match_fields[k]->key, "metadata.name") &&
			    t->match_fields[k]->n_values == 1)
				return t->match_fields[k]->values[0];
	}
	return NULL;
}
