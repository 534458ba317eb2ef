/* SPDX-License-Identifier: Apache-2.0 */
/* NodeAffinity: spec.nodeSelector and the required terms of spec.affinity.nodeAffinity; preferred
 * terms give their weight. The profile's addedAffinity counts for each pod on top. */
#include <string.h>

#include "scheduler/plugins/plugins.h"

struct args {
	bool has_required;
	struct node_terms required, preferred;
};

/* Arguments */

static void compile_requirements(const struct jvalue *list, struct symbol_refs *r, bool names,
                                 struct requirement **ret, uint32_t *ret_n)
{
	*ret_n = jvalue_is(list, JVALUE_ARRAY) ? list->n : 0;
	*ret = arena_array(r->arena, struct requirement, *ret_n);
	for (uint32_t i = 0; i < *ret_n; i++) {
		const struct jvalue *one = jvalue_at(list, i), *values = jvalue_get(one, "values");
		uint32_t n = jvalue_is(values, JVALUE_ARRAY) ? values->n : 0;
		char **texts = arena_array(r->arena, char *, n);
		for (uint32_t k = 0; k < n; k++)
			texts[k] = arena_strdup(r->arena, jvalue_is(values->items[k], JVALUE_STRING)
			                                      ? values->items[k]->str
			                                      : "");
		const char *key = jvalue_get_str(one, "key", "");
		requirement_compile(r, key, jvalue_get_str(one, "operator", ""), texts, n,
		                    &(*ret)[i]);
		if (names && strcmp(key, "metadata.name") != 0)
			(*ret)[i].op = SELECTOR_INVALID;
	}
}

static void compile_term(const struct jvalue *v, struct symbol_refs *r, struct node_term *ret)
{
	compile_requirements(jvalue_get(v, "matchExpressions"), r, false, &ret->labels,
	                     &ret->n_labels);
	compile_requirements(jvalue_get(v, "matchFields"), r, true, &ret->names, &ret->n_names);
}

static int parse_args(const struct jvalue *v, struct symbols *s, struct arena *a, const void **ret,
                      struct err *err)
{
	(void)err;
	struct args *args = arena_new(a, struct args);
	struct symbol_refs r = {.symbols = s, .arena = a};
	const struct jvalue *added = jvalue_get(v, "addedAffinity");
	const struct jvalue *terms =
	    jvalue_path(added, "requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
	if (jvalue_is(terms, JVALUE_ARRAY)) {
		args->has_required = true;
		args->required =
		    (struct node_terms){terms->n, arena_array(a, struct node_term, terms->n)};
		for (uint32_t i = 0; i < terms->n; i++)
			compile_term(jvalue_at(terms, i), &r, &args->required.at[i]);
	}
	terms = jvalue_get(added, "preferredDuringSchedulingIgnoredDuringExecution");
	if (jvalue_is(terms, JVALUE_ARRAY)) {
		args->preferred =
		    (struct node_terms){terms->n, arena_array(a, struct node_term, terms->n)};
		for (uint32_t i = 0; i < terms->n; i++) {
			const struct jvalue *one = jvalue_at(terms, i);
			compile_term(jvalue_get(one, "preference"), &r, &args->preferred.at[i]);
			args->preferred.at[i].weight = (int32_t)jvalue_get_int(one, "weight", 0);
		}
	}
	vec_deinit(&r.at); /* the symbols live as long as the profile */
	*ret = args;
	return 0;
}

/* Filter */

static bool added_matches(const struct args *a, const struct node_spec *n, const struct symbols *s)
{
	if (!a || !a->has_required)
		return true;
	for (uint32_t i = 0; i < a->required.n; i++)
		if (node_term_matches(&a->required.at[i], &n->labels, n->name, s))
			return true;
	return false;
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool in_all(const struct node_term *t, uint32_t name)
{
	for (uint32_t i = 0; i < t->n_names; i++) {
		bool found = t->names[i].op != SELECTOR_IN;
		for (uint32_t k = 0; k < t->names[i].n && !found; k++)
			found = t->names[i].values[k] == name;
		if (!found)
			return false;
	}
	return true;
}

static const struct requirement *first_in(const struct node_term *t)
{
	for (uint32_t i = 0; i < t->n_names; i++)
		if (t->names[i].op == SELECTOR_IN)
			return &t->names[i];
	return NULL;
}

/* Terms that all name their nodes limit the search to these. */
static enum status_code pre_filter(const struct plugin_call *c, struct node_subset *subset,
                                   struct reasons *why)
{
	const struct pod_info *p = c->pod;
	const struct args *args = c->args;
	if (!p->has_required_node_terms && !p->node_selector.n && !(args && args->has_required))
		return STATUS_SKIP;
	size_t n = 0, cap = 0;
	for (uint32_t i = 0; i < p->node_required.n; i++) {
		const struct requirement *in = first_in(&p->node_required.at[i]);
		if (!in)
			return STATUS_SUCCESS;
		cap += in->n;
	}
	if (!p->node_required.n)
		return STATUS_SUCCESS;
	const char **names = arena_array(c->arena, const char *, cap);
	for (uint32_t i = 0; i < p->node_required.n; i++) {
		const struct requirement *in = first_in(&p->node_required.at[i]);
		for (uint32_t k = 0; k < in->n; k++)
			if (in_all(&p->node_required.at[i], in->values[k]))
				names[n++] = symbols_text(c->symbols, in->values[k]);
	}
	if (!n) {
		reasons_add(why, "pod affinity terms conflict");
		return STATUS_UNRESOLVABLE;
	}
	qsort(names, n, sizeof(*names), name_cmp);
	size_t kept = 0;
	for (size_t i = 0; i < n; i++)
		if (!kept || strcmp(names[kept - 1], names[i]) != 0)
			names[kept++] = names[i];
	*subset = (struct node_subset){true, kept, names};
	return STATUS_SUCCESS;
}

static enum status_code filter(const struct plugin_call *c, const struct node_info *n,
                               struct reasons *why)
{
	if (!added_matches(c->args, n->spec, c->symbols)) {
		reasons_add(why, "node(s) didn't match scheduler-enforced node affinity");
		return STATUS_UNRESOLVABLE;
	}
	if (node_matches_pod(n->spec, c->pod))
		return STATUS_SUCCESS;
	reasons_add(why, "node(s) didn't match Pod's node affinity/selector");
	return STATUS_UNRESOLVABLE;
}

/* Score */

static enum status_code pre_score(const struct plugin_call *c, struct node_info *const *nodes,
                                  size_t n)
{
	(void)nodes;
	(void)n;
	const struct args *args = c->args;
	return c->pod->node_preferred.n || (args && args->preferred.n) ? STATUS_SUCCESS
	                                                               : STATUS_SKIP;
}

static int64_t sum_of(const struct node_terms *t, const struct node_spec *n,
                      const struct symbols *s)
{
	int64_t sum = 0;
	for (uint32_t i = 0; i < t->n; i++)
		if (node_term_matches(&t->at[i], &n->labels, n->name, s))
			sum += t->at[i].weight;
	return sum;
}

static int64_t score(const struct plugin_call *c, const struct node_info *n)
{
	const struct args *args = c->args;
	int64_t sum = sum_of(&c->pod->node_preferred, n->spec, c->symbols);
	return sum + (args ? sum_of(&args->preferred, n->spec, c->symbols) : 0);
}

static void normalize(const struct plugin_call *c, struct node_info *const *nodes, int64_t *scores,
                      size_t n)
{
	(void)c;
	(void)nodes;
	scores_normalize(scores, n, false);
}

static bool matches(const struct hint_call *c, const struct node_spec *n)
{
	return added_matches(c->args, n, c->symbols) && node_matches_pod(n, c->pod);
}

static enum hint on_node(const struct hint_call *c, const struct event *e)
{
	bool was = e->old_node && matches(c, e->old_node);
	return !was && matches(c, e->node) ? HINT_QUEUE : HINT_SKIP;
}

static const struct plugin_event events[] = {
    {EVENT_NODE_ADD | EVENT_NODE_LABEL, on_node}, {EVENT_POD_SPEC, NULL}, {0}};

const struct plugin plugin_node_affinity = {
    .name = "NodeAffinity",
    .weight = 2,
    .parse_args = parse_args,
    .pre_filter = pre_filter,
    .filter = filter,
    .pre_score = pre_score,
    .score = score,
    .normalize = normalize,
    .events = events,
};
