/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/core/pod_spec.h"

static void check_requirement(errs_t errs, path_t p, const CoreV1__NodeSelectorRequirement *r,
                              bool field, bool is_required)
{
	path_t values = FIELD(p, "values");

	if (list_has(LIST("In", "NotIn"), r->operator_)) {
		if (field && r->n_values != 1)
			field_required(
			    errs, values,
			    "must be only one value when `operator` is 'In' or 'NotIn' for "
			    "node field selector");
		else if (!r->n_values)
			field_required(errs, values,
			               "must be specified when `operator` is 'In' or 'NotIn'");
	} else if (field) {
		field_invalid(errs, FIELD(p, "operator"), r->operator_,
		              "not a valid selector operator");
	} else if (list_has(LIST("Exists", "DoesNotExist"), r->operator_)) {
		if (r->n_values)
			field_forbidden(
			    errs, values,
			    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
	} else if (list_has(LIST("Gt", "Lt"), r->operator_)) {
		if (r->n_values != 1)
			field_required(
			    errs, values,
			    "must be specified single value when `operator` is 'Lt' or 'Gt'");
	} else {
		field_invalid(errs, FIELD(p, "operator"), r->operator_,
		              "not a valid selector operator");
	}
	if (!field)
		check_name(errs, FIELD(p, "key"), r->key, names_qualified);
	else if (strcmp(r->key, "metadata.name"))
		field_invalid(errs, FIELD(p, "key"), r->key, "not a valid field selector key");
	for (size_t i = 0; i < r->n_values; i++)
		if (field || is_required)
			check_name(errs, FIELD_INDEX(values, i), r->values[i],
			           field ? names_dns1123_subdomain : names_label_value);
}

void node_selector_term_check(errs_t errs, path_t p, const CoreV1__NodeSelectorTerm *t,
                              bool is_required)
{
	for (size_t i = 0; i < t->n_match_expressions; i++)
		check_requirement(errs, FIELD_INDEX(FIELD(p, "matchExpressions"), i),
		                  t->match_expressions[i], false, is_required);
	for (size_t i = 0; i < t->n_match_fields; i++)
		check_requirement(errs, FIELD_INDEX(FIELD(p, "matchFields"), i), t->match_fields[i],
		                  true, is_required);
}

void node_selector_check(errs_t errs, path_t p, const CoreV1__NodeSelector *sel)
{
	path_t terms = FIELD(p, "nodeSelectorTerms");

	if (!sel->n_node_selector_terms)
		field_required(errs, terms, "must have at least one node selector term");
	for (size_t i = 0; i < sel->n_node_selector_terms; i++)
		node_selector_term_check(errs, FIELD_INDEX(terms, i), sel->node_selector_terms[i],
		                         true);
}

static void check_weight(errs_t errs, path_t p, int32_t weight)
{
	if (weight < 1 || weight > 100)
		field_invalid_int(errs, p, weight, "must be in the range 1-100");
}

static void check_keys(errs_t errs, path_t p, char *const *keys, size_t n,
                       const MetaV1__LabelSelector *sel)
{
	if (n && !sel) {
		field_forbidden(errs, p, "must not be specified when labelSelector is not set");
		return;
	}
	for (size_t i = 0; i < n; i++)
		check_name(errs, FIELD_INDEX(p, i), keys[i], names_qualified);
}

/* A new pod's keys have been put into the selector: only what stands there twice came from the
 * client as well. */
void selector_keys_check(errs_t errs, path_t p, const MetaV1__LabelSelector *sel, char *const *keys,
                         size_t n)
{
	struct index wanted = INDEX_IN(errs->arena), seen = wanted;

	for (size_t i = 0; i < n; i++)
		index_add(&wanted, keys[i], (uint32_t)i);
	for (size_t i = 0; sel && i < sel->n_match_labels; i++)
		index_add(&seen, sel->match_labels[i]->key, 0);
	for (size_t i = 0; sel && i < sel->n_match_expressions; i++) {
		const char *key = sel->match_expressions[i]->key;
		int64_t at = index_find(&wanted, key);
		if (!index_add(&seen, key, 0) && at >= 0)
			field_invalid(errs, FIELD_INDEX(p, at), key,
			              "exists in both matchLabelKeys and labelSelector");
	}
}

static void check_pod_term(errs_t errs, path_t p, const CoreV1__PodAffinityTerm *t)
{
	check_selector(errs, FIELD(p, "labelSelector"), t->label_selector);
	check_selector(errs, FIELD(p, "namespaceSelector"), t->namespace_selector);
	for (size_t i = 0; i < t->n_namespaces; i++)
		check_name(errs, FIELD(p, "namespace"), t->namespaces[i], names_dns1123_label);
	check_keys(errs, FIELD(p, "matchLabelKeys"), t->match_label_keys, t->n_match_label_keys,
	           t->label_selector);
	check_keys(errs, FIELD(p, "mismatchLabelKeys"), t->mismatch_label_keys,
	           t->n_mismatch_label_keys, t->label_selector);
	selector_keys_check(errs, p, t->label_selector, t->match_label_keys, t->n_match_label_keys);
	for (size_t i = 0; i < t->n_match_label_keys; i++)
		if (strings_have(t->mismatch_label_keys, t->n_mismatch_label_keys,
		                 t->match_label_keys[i]))
			field_invalid(errs, FIELD_INDEX(FIELD(p, "matchLabelKeys"), i),
			              t->match_label_keys[i],
			              "exists in both matchLabelKeys and mismatchLabelKeys");
	if (!*t->topology_key)
		field_required(errs, FIELD(p, "topologyKey"), "can not be empty");
	check_name(errs, FIELD(p, "topologyKey"), t->topology_key, names_qualified);
}

/* Affinity and anti-affinity have the same members. */
static void check_pod_affinity(errs_t errs, path_t p, const CoreV1__PodAffinity *a)
{
	path_t required = FIELD(p, "requiredDuringSchedulingIgnoredDuringExecution");
	path_t preferred = FIELD(p, "preferredDuringSchedulingIgnoredDuringExecution");

	for (size_t i = 0; i < a->n_required_during_scheduling_ignored_during_execution; i++)
		check_pod_term(errs, FIELD_INDEX(required, i),
		               a->required_during_scheduling_ignored_during_execution[i]);
	for (size_t i = 0; i < a->n_preferred_during_scheduling_ignored_during_execution; i++) {
		const CoreV1__WeightedPodAffinityTerm *t =
		    a->preferred_during_scheduling_ignored_during_execution[i];
		path_t at = FIELD_INDEX(preferred, i);
		check_weight(errs, FIELD(at, "weight"), t->weight);
		check_pod_term(errs, FIELD(at, "podAffinityTerm"), t->pod_affinity_term);
	}
}

static void check_node_affinity(errs_t errs, path_t p, const CoreV1__NodeAffinity *a)
{
	path_t preferred = FIELD(p, "preferredDuringSchedulingIgnoredDuringExecution");

	if (a->required_during_scheduling_ignored_during_execution)
		node_selector_check(errs,
		                    FIELD(p, "requiredDuringSchedulingIgnoredDuringExecution"),
		                    a->required_during_scheduling_ignored_during_execution);
	for (size_t i = 0; i < a->n_preferred_during_scheduling_ignored_during_execution; i++) {
		const CoreV1__PreferredSchedulingTerm *t =
		    a->preferred_during_scheduling_ignored_during_execution[i];
		path_t at = FIELD_INDEX(preferred, i);
		check_weight(errs, FIELD(at, "weight"), t->weight);
		node_selector_term_check(errs, FIELD(at, "preference"), t->preference, false);
	}
}

void affinity_check(struct pod_scope *s)
{
	const CoreV1__Affinity *a = s->spec->affinity;
	path_t p = FIELD(s->spec_path, "affinity");

	_Static_assert(sizeof(CoreV1__PodAffinity) == sizeof(CoreV1__PodAntiAffinity),
	               "affinity and anti-affinity share a layout");
	if (!a)
		return;
	if (a->node_affinity)
		check_node_affinity(s->errs, FIELD(p, "nodeAffinity"), a->node_affinity);
	if (a->pod_affinity)
		check_pod_affinity(s->errs, FIELD(p, "podAffinity"), a->pod_affinity);
	if (a->pod_anti_affinity)
		check_pod_affinity(s->errs, FIELD(p, "podAntiAffinity"),
		                   (const CoreV1__PodAffinity *)a->pod_anti_affinity);
}

static void check_toleration(errs_t errs, path_t p, const CoreV1__Toleration *t)
{
	const char *effects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute", NULL};

	if (*t->key)
		check_name(errs, FIELD(p, "key"), t->key, names_qualified);
	else if (strcmp(t->operator_, "Exists"))
		field_invalid(
		    errs, FIELD(p, "operator"), t->operator_,
		    "operator must be Exists when `key` is empty, which means \"match all "
		    "values and all keys\"");
	if (t->has_toleration_seconds && strcmp(t->effect, "NoExecute"))
		field_invalid(errs, FIELD(p, "effect"), t->effect,
		              "effect must be 'NoExecute' when `tolerationSeconds` is set");
	if (!*t->operator_ || !strcmp(t->operator_, "Equal")) {
		check_joined(errs, FIELD(p, "operator"), t->value, names_label_value);
	} else if (!strcmp(t->operator_, "Exists")) {
		if (*t->value)
			field_invalid(errs, FIELD(p, "operator"), t->value,
			              "value must be empty when `operator` is 'Exists'");
	} else {
		field_not_supported(errs, FIELD(p, "operator"), t->operator_,
		                    LIST("Equal", "Exists"));
	}
	if (*t->effect)
		check_enum(errs, FIELD(p, "effect"), t->effect, effects);
}

void tolerations_check(errs_t errs, path_t p, CoreV1__Toleration *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check_toleration(errs, FIELD_INDEX(p, i), list[i]);
}
