/* SPDX-License-Identifier: Apache-2.0 */
/* NodeAffinity: spec.nodeSelector and the required terms of spec.affinity.nodeAffinity; preferred
 * terms give their weight. */
#include "scheduler/plugins/plugins.h"

#include "scheduler/core/queue.h"

static bool parse_int(const char *text, int64_t *ret)
{
	char *end;
	if (!text || !*text)
		return false;
	*ret = strtoll(text, &end, 10);
	return !*end;
}

static bool among(const char *value, char *const *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(value, values[i]))
			return true;
	return false;
}

/* One requirement against a value that may be absent (NULL). An unknown operator matches nothing.
 */
static bool holds(const CoreV1__NodeSelectorRequirement *r, const char *value)
{
	const char *op = r->operator_ ? r->operator_ : "";
	int64_t have, want;
	if (!strcmp(op, "In"))
		return value && among(value, r->values, r->n_values);
	if (!strcmp(op, "NotIn"))
		return !value || !among(value, r->values, r->n_values);
	if (!strcmp(op, "Exists"))
		return value != NULL;
	if (!strcmp(op, "DoesNotExist"))
		return value == NULL;
	if (r->n_values != 1 || !parse_int(value, &have) || !parse_int(r->values[0], &want))
		return false;
	return !strcmp(op, "Gt") ? have > want : !strcmp(op, "Lt") ? have < want : false;
}

/* All requirements of a term hold; a term without any matches nothing. */
static bool term_matches(const CoreV1__NodeSelectorTerm *t, const struct node_info *node)
{
	if (!t || (!t->n_match_expressions && !t->n_match_fields))
		return false;
	for (size_t i = 0; i < t->n_match_expressions; i++)
		if (!holds(t->match_expressions[i], node_label(node, t->match_expressions[i]->key)))
			return false;
	for (size_t i = 0; i < t->n_match_fields; i++) {
		const char *key = t->match_fields[i]->key;
		if (!holds(t->match_fields[i],
		           key && !strcmp(key, "metadata.name") ? node->name : NULL))
			return false;
	}
	return true;
}

static bool required_matches(const CoreV1__PodSpec *spec, const struct node_info *node)
{
	for (size_t i = 0; i < spec->n_node_selector; i++) {
		const char *have = node_label(node, spec->node_selector[i]->key);
		if (!have || strcmp(have, spec->node_selector[i]->value))
			return false;
	}
	const CoreV1__NodeAffinity *affinity =
	    spec->affinity ? spec->affinity->node_affinity : NULL;
	const CoreV1__NodeSelector *required =
	    affinity ? affinity->required_during_scheduling_ignored_during_execution : NULL;
	if (!required)
		return true;
	for (size_t i = 0; i < required->n_node_selector_terms; i++)
		if (term_matches(required->node_selector_terms[i], node))
			return true;
	return false;
}

static enum filter_code filter(const struct cycle_pod *pod, const struct node_info *node,
                               struct filter_reasons *why)
{
	if (required_matches(pod->pod->spec, node))
		return FILTER_FITS;
	filter_reason(why, "node(s) didn't match Pod's node affinity/selector");
	return FILTER_UNRESOLVABLE;
}

static int64_t score(const struct cycle_pod *pod, const struct node_info *node)
{
	const CoreV1__Affinity *a = pod->pod->spec->affinity;
	const CoreV1__NodeAffinity *n = a ? a->node_affinity : NULL;
	int64_t sum = 0;
	for (size_t i = 0; n && i < n->n_preferred_during_scheduling_ignored_during_execution;
	     i++) {
		const CoreV1__PreferredSchedulingTerm *t =
		    n->preferred_during_scheduling_ignored_during_execution[i];
		if (term_matches(t->preference, node))
			sum += t->weight;
	}
	return sum;
}

const struct plugin plugin_node_affinity = {
    .name = "NodeAffinity",
    .filter = filter,
    .score = score,
    .normalize = SCORE_NORMALIZE,
    .weight = 2,
    .help = QUEUE_NODE_ADD | QUEUE_NODE_LABEL | QUEUE_POD_UPDATE,
};
