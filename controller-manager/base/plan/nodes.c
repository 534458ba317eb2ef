/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/base/plan/nodes.h"

#include <string.h>

#include "common/codec/labels.h"
#include "proto/meta_labels.h"

bool toleration_fits(const CoreV1__Toleration *t, const CoreV1__Taint *taint)
{
	if (*t->effect && strcmp(t->effect, taint->effect))
		return false;
	if (*t->key && strcmp(t->key, taint->key))
		return false;
	if (!strcmp(t->operator_, "Exists"))
		return true;
	return (!*t->operator_ || !strcmp(t->operator_, "Equal")) &&
	       !strcmp(t->value, taint->value);
}

bool node_repels(const CoreV1__Node *node, CoreV1__Toleration *const *tolerations, size_t n,
                 const char *effect)
{
	for (size_t i = 0; i < node->spec->n_taints; i++) {
		const CoreV1__Taint *taint = node->spec->taints[i];
		size_t k = 0;
		while (k < n && !toleration_fits(tolerations[k], taint))
			k++;
		if (k == n && !strcmp(taint->effect, effect))
			return true;
	}
	return false;
}

/* --- node selector terms --- */

static bool op_of(const char *name, enum label_op *ret)
{
	static const struct {
		const char *name;
		enum label_op op;
	} ops[] = {{"In", LABEL_IN},         {"NotIn", LABEL_NOT_IN},
	           {"Exists", LABEL_EXISTS}, {"DoesNotExist", LABEL_NOT_EXISTS},
	           {"Gt", LABEL_GREATER},    {"Lt", LABEL_LESS}};
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (!strcmp(ops[i].name, name)) {
			*ret = ops[i].op;
			return true;
		}
	return false;
}

static bool term_labels(const CoreV1__Node *node, const CoreV1__NodeSelectorTerm *term,
                        struct arena *a)
{
	struct label_selector sel = {0};
	for (size_t i = 0; i < term->n_match_expressions; i++) {
		const CoreV1__NodeSelectorRequirement *r = term->match_expressions[i];
		enum label_op op;
		if (!op_of(r->operator_, &op) ||
		    label_selector_require(&sel, a, r->key, op, (const char *const *)r->values,
		                           r->n_values, NULL))
			return false;
	}
	return meta_labels_match(&sel, node->metadata);
}

/* The only field is metadata.name, with one value. */
static bool term_fields(const CoreV1__Node *node, const CoreV1__NodeSelectorTerm *term)
{
	for (size_t i = 0; i < term->n_match_fields; i++) {
		const CoreV1__NodeSelectorRequirement *r = term->match_fields[i];
		if (strcmp(r->key, "metadata.name") || r->n_values != 1)
			return false;
		bool same = !strcmp(r->values[0], node->metadata->name);
		if (same != !strcmp(r->operator_, "In"))
			return false;
	}
	return true;
}

bool node_selected(const CoreV1__Node *node, const CoreV1__PodSpec *pod, struct arena *a)
{
	struct label_selector sel = pb_map_selector(pod->node_selector, pod->n_node_selector, a);
	const CoreV1__NodeSelector *required =
	    pod->affinity && pod->affinity->node_affinity
	        ? pod->affinity->node_affinity->required_during_scheduling_ignored_during_execution
	        : NULL;
	if (!meta_labels_match(&sel, node->metadata))
		return false;
	for (size_t i = 0; required && i < required->n_node_selector_terms; i++) {
		const CoreV1__NodeSelectorTerm *term = required->node_selector_terms[i];
		/* A term without anything selects nothing. */
		if ((term->n_match_expressions || term->n_match_fields) &&
		    term_labels(node, term, a) && term_fields(node, term))
			return true;
	}
	return !required;
}
