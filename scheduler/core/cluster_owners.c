/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces' labels, the selectors by which services and workloads own pods, and disruption
 * budgets. */
#include <string.h>

#include "scheduler/core/cluster_internal.h"

struct namespace
{
	struct label_list labels;
	struct symbol_refs symbols;
	struct arena arena;
};

struct owner {
	struct selector selector;
	uint32_t ns;
	bool is_service;
	struct symbol_refs symbols;
	struct arena arena;
};

typedef VEC(struct owner *) owner_list;

static void namespace_free(struct namespace *n)
{
	if (!n)
		return;
	symbol_refs_deinit(&n->symbols);
	arena_deinit(&n->arena);
	free(n);
}

static void owner_free(struct owner *o)
{
	if (!o)
		return;
	symbol_refs_deinit(&o->symbols);
	arena_deinit(&o->arena);
	free(o);
}

static void budget_free(struct budget *b)
{
	symbol_refs_deinit(&b->symbols);
	arena_deinit(&b->arena);
	free(b);
}

void cluster_owners_deinit(struct cluster *c)
{
	MAP_FOREACH (&c->namespaces, it)
		namespace_free(it->value);
	MAP_FOREACH (&c->services, it) {
		owner_list *l = it->value;
		vec_deinit(l);
		free(l);
	}
	MAP_FOREACH (&c->owners, it)
		owner_free(it->value);
	VEC_FOREACH (&c->budgets, b)
		budget_free(*b);
	map_deinit(&c->namespaces);
	map_deinit(&c->services);
	map_deinit(&c->owners);
	map_deinit(&c->budgets_by_key);
	vec_deinit(&c->budgets);
}

/* Namespaces */

bool cluster_set_namespace(struct cluster *c, const char *name, const MetaV1__ObjectMeta *meta)
{
	struct namespace *n = calloc(1, sizeof(*n));
	if (!n)
		abort();
	n->symbols = (struct symbol_refs){.symbols = c->symbols, .arena = &n->arena};
	uint32_t symbol = symbol_refs_get(&n->symbols, name);
	n->labels.n = (uint32_t)meta->n_labels;
	n->labels.at = arena_array(&n->arena, struct label, n->labels.n);
	for (uint32_t i = 0; i < n->labels.n; i++)
		n->labels.at[i] =
		    (struct label){symbol_refs_get(&n->symbols, meta->labels[i]->key),
		                   symbol_refs_get(&n->symbols, meta->labels[i]->value)};
	struct namespace *old = map_put(&c->namespaces, symbol_key(&symbol), n);
	bool same = old && old->labels.n == n->labels.n;
	for (uint32_t i = 0; same && i < n->labels.n; i++)
		same = label_value(&old->labels, n->labels.at[i].key) == n->labels.at[i].value;
	namespace_free(old);
	if (!same)
		cluster_tallies_namespaces_changed(c);
	return !same;
}

void cluster_remove_namespace(struct cluster *c, const char *name)
{
	uint32_t symbol = symbols_find(c->symbols, name);
	struct namespace *n = symbol ? map_del(&c->namespaces, symbol_key(&symbol)) : NULL;
	if (n)
		cluster_tallies_namespaces_changed(c);
	namespace_free(n);
}

const struct label_list *cluster_namespace_labels(const struct cluster *c, uint32_t ns)
{
	const struct namespace *n = map_get(&c->namespaces, symbol_key(&ns));
	return n ? &n->labels : NULL;
}

/* Owners */

static const char *owner_key(struct arena *a, const char *kind, const char *ns, const char *name)
{
	return arena_printf(a, "%s/%s/%s", kind, ns, name);
}

static owner_list *services_of(struct cluster *c, uint32_t ns)
{
	owner_list *l = map_get(&c->services, symbol_key(&ns));
	if (!l) {
		l = calloc(1, sizeof(*l));
		if (!l)
			abort();
		map_put(&c->services, symbol_key(&ns), l);
	}
	return l;
}

static void forget_service(struct cluster *c, struct owner *o)
{
	owner_list *l = services_of(c, o->ns);
	for (size_t i = 0; i < l->n; i++)
		if (l->at[i] == o) {
			vec_swap_remove(l, i);
			break;
		}
	if (!l->n) {
		map_del(&c->services, symbol_key(&o->ns));
		vec_deinit(l);
		free(l);
	}
}

void cluster_remove_owner(struct cluster *c, const char *kind, const char *ns, const char *name)
{
	_cleanup_arena_ struct arena a = {0};
	struct owner *o = map_del_str(&c->owners, owner_key(&a, kind, ns, name));
	if (o && o->is_service)
		forget_service(c, o);
	owner_free(o);
}

void cluster_set_owner(struct cluster *c, const char *kind, const char *ns, const char *name,
                       const MetaV1__LabelSelector *selector)
{
	_cleanup_arena_ struct arena a = {0};
	cluster_remove_owner(c, kind, ns, name);
	struct owner *o = calloc(1, sizeof(*o));
	if (!o)
		abort();
	o->symbols = (struct symbol_refs){.symbols = c->symbols, .arena = &o->arena};
	o->ns = symbol_refs_get(&o->symbols, ns);
	selector_compile(&o->symbols, selector, &o->selector);
	o->is_service = !strcmp(kind, "Service");
	map_put_str(&c->owners, owner_key(&a, kind, ns, name), o);
	if (o->is_service) {
		owner_list *l = services_of(c, o->ns);
		*vec_push(l) = o;
	}
}

static bool same_requirement(const struct requirement *a, const struct requirement *b)
{
	return a->key == b->key && a->op == b->op && a->n == b->n &&
	       (!a->n || !memcmp(a->values, b->values, a->n * sizeof(*a->values)));
}

static void merge(struct selector *to, const struct selector *from, struct arena *a)
{
	for (uint32_t i = 0; i < from->n; i++) {
		bool there = false;
		for (uint32_t k = 0; k < to->n && !there; k++)
			there = same_requirement(&to->at[k], &from->at[i]);
		if (there)
			continue;
		to->at =
		    arena_grow(a, to->at, to->n * sizeof(*to->at), (to->n + 1) * sizeof(*to->at));
		to->at[to->n++] = from->at[i];
	}
}

bool cluster_default_selector(const struct cluster *c, const struct pod_info *p, struct arena *a,
                              struct selector *ret)
{
	*ret = (struct selector){0};
	const owner_list *l = map_get(&c->services, symbol_key(&p->ns));
	for (size_t i = 0; l && i < l->n; i++)
		if (l->at[i]->selector.n &&
		    selector_matches(&l->at[i]->selector, &p->labels, c->symbols))
			merge(ret, &l->at[i]->selector, a);
	if (!p->owner_kind)
		return ret->n > 0;
	const char *kind = symbols_text(c->symbols, p->owner_kind);
	if (strcmp(kind, "Service") != 0) {
		const struct owner *o =
		    map_get_str(&c->owners, owner_key(a, kind, p->ns_text,
		                                      symbols_text(c->symbols, p->owner_name)));
		if (o && !o->selector.nothing)
			merge(ret, &o->selector, a);
	}
	return ret->n > 0;
}

/* Budgets */

void cluster_remove_budget(struct cluster *c, const char *key)
{
	struct budget *b = map_del_str(&c->budgets_by_key, key);
	if (!b)
		return;
	for (size_t i = 0; i < c->budgets.n; i++)
		if (c->budgets.at[i] == b) {
			vec_remove(&c->budgets, i);
			break;
		}
	budget_free(b);
}

void cluster_set_budget(struct cluster *c, const PolicyV1__PodDisruptionBudget *from)
{
	struct budget *b = calloc(1, sizeof(*b));
	if (!b)
		abort();
	b->symbols = (struct symbol_refs){.symbols = c->symbols, .arena = &b->arena};
	b->ns = symbol_refs_get(&b->symbols, from->metadata->namespace_);
	b->key = arena_printf(&b->arena, "%s/%s", from->metadata->namespace_, from->metadata->name);
	selector_compile(&b->symbols, from->spec ? from->spec->selector : NULL, &b->selector);
	if (from->status) {
		b->disruptions_allowed = from->status->disruptions_allowed;
		b->n_disrupted = from->status->n_disrupted_pods;
		b->disrupted = arena_array(&b->arena, char *, b->n_disrupted);
		for (size_t i = 0; i < b->n_disrupted; i++)
			b->disrupted[i] =
			    arena_strdup(&b->arena, from->status->disrupted_pods[i]->key);
	}
	cluster_remove_budget(c, b->key);
	map_put_str(&c->budgets_by_key, b->key, b);
	*vec_push(&c->budgets) = b;
}

const struct budget *const *cluster_budgets(const struct cluster *c, size_t *ret_n)
{
	*ret_n = c->budgets.n;
	return (const struct budget *const *)c->budgets.at;
}
