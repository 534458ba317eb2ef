/* SPDX-License-Identifier: Apache-2.0 */
/* matchLabelKeys and mismatchLabelKeys of a new pod become requirements of the selectors beside
 * them, with the values of the pod's own labels (KEP-3633, KEP-3243). */
#include "apiserver/registry/core/pod.h"
#include "apiserver/registry/defaults.h"

static void add_requirements(struct arena *a, MetaV1__LabelSelector *sel, char *const *keys,
                             size_t n, const char *operator_, const MetaV1__ObjectMeta *m)
{
	for (size_t i = 0; sel && i < n; i++) {
		const char *value = strings_get(STRINGS(m->labels), m->n_labels, keys[i]);
		size_t at = sel->n_match_expressions;
		if (!value)
			continue;
		MetaV1__LabelSelectorRequirement *r =
		    MSG_NEW(a, MetaV1__LabelSelectorRequirement,
		            meta_v1__label_selector_requirement__descriptor);
		r->key = keys[i];
		r->operator_ = arena_strdup(a, operator_);
		r->values = arena_array(a, char *, 1);
		r->values[0] = arena_strdup(a, value);
		r->n_values = 1;
		sel->match_expressions = arena_grow(a, sel->match_expressions, at * sizeof(void *),
		                                    (at + 1) * sizeof(void *));
		sel->match_expressions[sel->n_match_expressions++] = r;
	}
}

static void merge_term(struct arena *a, CoreV1__PodAffinityTerm *t, const MetaV1__ObjectMeta *m)
{
	add_requirements(a, t->label_selector, t->match_label_keys, t->n_match_label_keys, "In", m);
	add_requirements(a, t->label_selector, t->mismatch_label_keys, t->n_mismatch_label_keys,
	                 "NotIn", m);
}

static void merge_terms(struct arena *a, CoreV1__PodAffinity *f, const MetaV1__ObjectMeta *m)
{
	for (size_t i = 0; f && i < f->n_required_during_scheduling_ignored_during_execution; i++)
		merge_term(a, f->required_during_scheduling_ignored_during_execution[i], m);
	for (size_t i = 0; f && i < f->n_preferred_during_scheduling_ignored_during_execution; i++)
		merge_term(
		    a,
		    f->preferred_during_scheduling_ignored_during_execution[i]->pod_affinity_term,
		    m);
}

void pod_keys_merge(struct arena *a, CoreV1__Pod *pod)
{
	CoreV1__PodSpec *s = pod->spec;

	_Static_assert(sizeof(CoreV1__PodAffinity) == sizeof(CoreV1__PodAntiAffinity),
	               "affinity and anti-affinity share a layout");
	if (s->affinity) {
		merge_terms(a, s->affinity->pod_affinity, pod->metadata);
		merge_terms(a, (CoreV1__PodAffinity *)s->affinity->pod_anti_affinity,
		            pod->metadata);
	}
	for (size_t i = 0; i < s->n_topology_spread_constraints; i++) {
		CoreV1__TopologySpreadConstraint *c = s->topology_spread_constraints[i];
		add_requirements(a, c->label_selector, c->match_label_keys, c->n_match_label_keys,
		                 "In", pod->metadata);
	}
}
