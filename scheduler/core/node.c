/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/core/node.h"

#include <assert.h>
#include <string.h>

#include "scheduler/core/event.h"

static uint8_t effect_of(const char *effect)
{
	if (!strcmp(effect, "NoSchedule"))
		return EFFECT_NO_SCHEDULE;
	if (!strcmp(effect, "NoExecute"))
		return EFFECT_NO_EXECUTE;
	return !strcmp(effect, "PreferNoSchedule") ? EFFECT_PREFER_NO_SCHEDULE : 0;
}

static void set_labels(struct node_spec *n, const MetaV1__ObjectMeta *m)
{
	struct symbols *s = n->symbols.symbols;
	n->labels.n = (uint32_t)m->n_labels;
	n->labels.at = arena_array(&n->arena, struct label, n->labels.n);
	for (uint32_t i = 0; i < n->labels.n; i++)
		n->labels.at[i] = (struct label){symbol_refs_get(&n->symbols, m->labels[i]->key),
		                                 symbol_refs_get(&n->symbols, m->labels[i]->value)};
	n->region = label_value(&n->labels, symbols_find(s, "topology.kubernetes.io/region"));
	n->zone = label_value(&n->labels, symbols_find(s, "topology.kubernetes.io/zone"));
}

static void set_taints(struct node_spec *n, const CoreV1__NodeSpec *spec)
{
	n->n_taints = (uint32_t)spec->n_taints;
	n->taints = arena_array(&n->arena, struct taint, n->n_taints);
	for (uint32_t i = 0; i < n->n_taints; i++)
		n->taints[i] = (struct taint){
		    .key = symbol_refs_get(&n->symbols, spec->taints[i]->key),
		    .value = symbol_refs_get(&n->symbols, spec->taints[i]->value),
		    .effect = effect_of(spec->taints[i]->effect ? spec->taints[i]->effect : ""),
		};
}

static int image_cmp(const void *a, const void *b)
{
	const struct node_image *x = a, *y = b;
	return (x->name > y->name) - (x->name < y->name);
}

static void set_images(struct node_spec *n, const CoreV1__NodeStatus *st)
{
	size_t total = 0;
	for (size_t i = 0; i < st->n_images; i++)
		total += st->images[i]->n_names;
	n->images = arena_array(&n->arena, struct node_image, total);
	for (size_t i = 0; i < st->n_images; i++)
		for (size_t k = 0; k < st->images[i]->n_names; k++)
			n->images[n->n_images++] =
			    (struct node_image){image_symbol(&n->symbols, st->images[i]->names[k]),
			                        st->images[i]->size_bytes};
	if (n->n_images > 1)
		qsort(n->images, n->n_images, sizeof(*n->images), image_cmp);
	uint32_t kept = 0;
	for (uint32_t i = 0; i < n->n_images; i++)
		if (!kept || n->images[kept - 1].name != n->images[i].name)
			n->images[kept++] = n->images[i];
	n->n_images = kept;
}

struct node_spec *node_spec_new(struct symbols *s, const CoreV1__Node *node)
{
	struct node_spec *n = calloc(1, sizeof(*n));
	if (!n)
		abort();
	n->refs = 1;
	n->symbols = (struct symbol_refs){.symbols = s, .arena = &n->arena};
	n->name = symbol_refs_get(&n->symbols, node->metadata->name);
	n->name_text = symbols_text(s, n->name);
	n->unschedulable = node->spec && node->spec->has_unschedulable && node->spec->unschedulable;
	set_labels(n, node->metadata);
	if (node->spec)
		set_taints(n, node->spec);
	if (!node->status)
		return n;
	set_images(n, node->status);
	for (size_t i = 0; i < node->status->n_allocatable; i++) {
		const CoreV1__NodeStatus__AllocatableEntry *e = node->status->allocatable[i];
		resources_set(&n->allocatable, s, e->key, e->value ? e->value->string : "");
	}
	return n;
}

struct node_spec *node_spec_ref(const struct node_spec *n)
{
	struct node_spec *mine = (struct node_spec *)(uintptr_t)n;
	mine->refs++;
	return mine;
}

void node_spec_unref(const struct node_spec *n)
{
	struct node_spec *mine = (struct node_spec *)(uintptr_t)n;
	if (!mine)
		return;
	assert(mine->refs);
	if (--mine->refs)
		return;
	resources_deinit(&mine->allocatable, mine->symbols.symbols);
	symbol_refs_deinit(&mine->symbols);
	arena_deinit(&mine->arena);
	free(mine);
}

static bool same_labels(const struct label_list *a, const struct label_list *b)
{
	if (a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (label_value(b, a->at[i].key) != a->at[i].value)
			return false;
	return true;
}

static bool same_taints(const struct node_spec *a, const struct node_spec *b)
{
	if (a->n_taints != b->n_taints || a->unschedulable != b->unschedulable)
		return false;
	for (uint32_t i = 0; i < a->n_taints; i++)
		if (a->taints[i].key != b->taints[i].key ||
		    a->taints[i].value != b->taints[i].value ||
		    a->taints[i].effect != b->taints[i].effect)
			return false;
	return true;
}

unsigned node_spec_changes(const struct node_spec *old, const struct node_spec *n)
{
	unsigned kinds = 0;
	if (!resources_equal(&old->allocatable, &n->allocatable))
		kinds |= EVENT_NODE_ALLOCATABLE;
	if (!same_labels(&old->labels, &n->labels))
		kinds |= EVENT_NODE_LABEL;
	if (!same_taints(old, n))
		kinds |= EVENT_NODE_TAINT;
	return kinds;
}

static bool covers_all(const struct pod_info *p, const struct toleration *t)
{
	for (uint32_t i = 0; i < p->n_tolerations; i++) {
		const struct toleration *o = &p->tolerations[i];
		if (o->key == t->key && o->value == t->value && o->effects == t->effects &&
		    o->exists == t->exists)
			return true;
	}
	return false;
}

static bool same_tolerations(const struct pod_info *a, const struct pod_info *b)
{
	if (a->n_tolerations != b->n_tolerations)
		return false;
	for (uint32_t i = 0; i < a->n_tolerations; i++)
		if (!covers_all(b, &a->tolerations[i]))
			return false;
	return true;
}

static bool asks_less(const struct resources *old, const struct resources *now)
{
	if (now->milli_cpu < old->milli_cpu || now->memory < old->memory ||
	    now->ephemeral_storage < old->ephemeral_storage)
		return true;
	for (size_t i = 0; i < old->n_scalars; i++)
		if (resources_scalar(now, old->scalars[i].name) < old->scalars[i].amount)
			return true;
	return false;
}

unsigned pod_info_changes(const struct pod_info *old, const struct pod_info *p)
{
	unsigned kinds = 0;
	if (!same_labels(&old->labels, &p->labels))
		kinds |= EVENT_POD_LABEL;
	if (!same_tolerations(old, p))
		kinds |= EVENT_POD_TOLERATION;
	if (old->gated && !p->gated)
		kinds |= EVENT_POD_GATES;
	if (asks_less(&old->requests, &p->requests))
		kinds |= EVENT_POD_SCALE_DOWN;
	if (!kinds && old->generation != p->generation)
		kinds |= EVENT_POD_SPEC;
	return kinds;
}

const struct taint *node_untolerated(const struct node_spec *n, const struct pod_info *p,
                                     unsigned effects)
{
	for (uint32_t i = 0; i < n->n_taints; i++)
		if ((n->taints[i].effect & effects) && !pod_tolerates(p, &n->taints[i]))
			return &n->taints[i];
	return NULL;
}

bool node_matches_pod(const struct node_spec *n, const struct pod_info *p)
{
	const struct symbols *s = n->symbols.symbols;
	if (p->node_selector.n && !node_term_matches(p->node_selector.at, &n->labels, n->name, s))
		return false;
	if (!p->has_required_node_terms)
		return true;
	for (uint32_t i = 0; i < p->node_required.n; i++)
		if (node_term_matches(&p->node_required.at[i], &n->labels, n->name, s))
			return true;
	return false;
}
