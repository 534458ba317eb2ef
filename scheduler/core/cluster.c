/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/core/cluster.h"

#include <string.h>

#include "common/base/map.h"
#include "scheduler/core/queue.h"

struct cluster {
	struct map nodes; /* name -> node_info */
	struct map pods;  /* key -> placed_pod */
	VEC(struct node_info *) dense;
};

static char *dup_str(const char *s)
{
	char *copy = strdup(s ? s : "");
	if (!copy)
		abort();
	return copy;
}

struct cluster *cluster_new(void)
{
	struct cluster *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	return c;
}

static void free_taints(struct node_info *n)
{
	for (size_t i = 0; i < n->n_taints; i++) {
		free(n->taints[i].key);
		free(n->taints[i].value);
		free(n->taints[i].effect);
	}
	free(n->taints);
	n->taints = NULL;
	n->n_taints = 0;
}

static void free_labels(struct node_info *n)
{
	for (size_t i = 0; i < n->n_labels; i++) {
		free(n->labels[i].key);
		free(n->labels[i].value);
	}
	free(n->labels);
	n->labels = NULL;
	n->n_labels = 0;
}

static void node_free(struct node_info *n)
{
	free_taints(n);
	free_labels(n);
	resources_deinit(&n->allocatable);
	resources_deinit(&n->requested);
	free(n->name);
	free(n);
}

static void placed_free(struct placed_pod *p)
{
	resources_deinit(&p->requests);
	free(p->key);
	free(p->uid);
	free(p);
}

void cluster_free(struct cluster *c)
{
	if (!c)
		return;
	MAP_FOREACH (&c->nodes, it)
		node_free(it->value);
	MAP_FOREACH (&c->pods, it)
		placed_free(it->value);
	map_deinit(&c->nodes);
	map_deinit(&c->pods);
	vec_deinit(&c->dense);
	free(c);
}

static struct node_info *node_get(struct cluster *c, const char *name)
{
	struct node_info *n = map_get_str(&c->nodes, name);
	if (n)
		return n;
	n = calloc(1, sizeof(*n));
	if (!n)
		abort();
	n->name = dup_str(name);
	map_put_str(&c->nodes, name, n);
	return n;
}

static bool same_resources(const struct resources *a, const struct resources *b)
{
	if (a->milli_cpu != b->milli_cpu || a->memory != b->memory || a->pods != b->pods ||
	    a->ephemeral_storage != b->ephemeral_storage || a->n_scalars != b->n_scalars)
		return false;
	for (size_t i = 0; i < a->n_scalars; i++)
		if (strcmp(a->scalars[i].name, b->scalars[i].name) ||
		    a->scalars[i].amount != b->scalars[i].amount)
			return false;
	return true;
}

static unsigned set_allocatable(struct node_info *n, const CoreV1__Node *node)
{
	struct resources now = {0};
	for (size_t i = 0; node->status && i < node->status->n_allocatable; i++)
		resources_set(&now, node->status->allocatable[i]->key,
		              node->status->allocatable[i]->value
		                  ? node->status->allocatable[i]->value->string
		                  : "");
	bool same = same_resources(&now, &n->allocatable);
	resources_deinit(&n->allocatable);
	n->allocatable = now;
	return same ? 0 : QUEUE_NODE_ALLOCATABLE;
}

static unsigned set_taints(struct node_info *n, const CoreV1__Node *node)
{
	const CoreV1__NodeSpec *spec = node->spec;
	bool same = n->n_taints == spec->n_taints && n->unschedulable == !!spec->unschedulable;
	for (size_t i = 0; same && i < n->n_taints; i++)
		same = !strcmp(n->taints[i].key, spec->taints[i]->key) &&
		       !strcmp(n->taints[i].value, spec->taints[i]->value) &&
		       !strcmp(n->taints[i].effect, spec->taints[i]->effect);
	if (same)
		return 0;
	free_taints(n);
	n->unschedulable = spec->unschedulable;
	n->taints = calloc(spec->n_taints ? spec->n_taints : 1, sizeof(*n->taints));
	if (!n->taints)
		abort();
	for (; n->n_taints < spec->n_taints; n->n_taints++) {
		const CoreV1__Taint *t = spec->taints[n->n_taints];
		n->taints[n->n_taints] =
		    (struct taint){dup_str(t->key), dup_str(t->value), dup_str(t->effect)};
	}
	return QUEUE_NODE_TAINT;
}

const char *node_label(const struct node_info *n, const char *key)
{
	for (size_t i = 0; i < n->n_labels; i++)
		if (!strcmp(n->labels[i].key, key))
			return n->labels[i].value;
	return NULL;
}

static unsigned set_labels(struct node_info *n, const CoreV1__Node *node)
{
	const MetaV1__ObjectMeta *meta = node->metadata;
	bool same = n->n_labels == meta->n_labels;
	for (size_t i = 0; same && i < n->n_labels; i++)
		same = !strcmp(n->labels[i].key, meta->labels[i]->key) &&
		       !strcmp(n->labels[i].value, meta->labels[i]->value);
	if (same)
		return 0;
	free_labels(n);
	n->labels = calloc(meta->n_labels ? meta->n_labels : 1, sizeof(*n->labels));
	if (!n->labels)
		abort();
	for (; n->n_labels < meta->n_labels; n->n_labels++)
		n->labels[n->n_labels] = (struct label){dup_str(meta->labels[n->n_labels]->key),
		                                        dup_str(meta->labels[n->n_labels]->value)};
	return QUEUE_NODE_LABEL;
}

unsigned cluster_set_node(struct cluster *c, const CoreV1__Node *node)
{
	struct node_info *n = node_get(c, node->metadata->name);
	unsigned events = n->known ? 0 : QUEUE_NODE_ADD;
	if (!n->known) {
		n->known = true;
		n->slot = c->dense.n;
		*vec_push(&c->dense) = n;
	}
	events |= set_allocatable(n, node);
	events |= set_taints(n, node);
	events |= set_labels(n, node);
	return events;
}

static void drop_if_unused(struct cluster *c, struct node_info *n)
{
	if (n->known || n->n_pods)
		return;
	map_del_str(&c->nodes, n->name);
	node_free(n);
}

void cluster_remove_node(struct cluster *c, const char *name)
{
	struct node_info *n = map_get_str(&c->nodes, name);
	if (!n || !n->known)
		return;
	n->known = false;
	struct node_info *last = *vec_last(&c->dense);
	c->dense.at[n->slot] = last;
	last->slot = n->slot;
	c->dense.n--;
	drop_if_unused(c, n);
}

static void account(struct placed_pod *p, int sign)
{
	struct node_info *n = p->node;
	if (sign > 0) {
		resources_add(&n->requested, &p->requests);
		n->n_pods++;
	} else {
		resources_sub(&n->requested, &p->requests);
		n->n_pods--;
	}
	n->nonzero_milli_cpu += sign * p->nonzero_milli_cpu;
	n->nonzero_memory += sign * p->nonzero_memory;
}

static void place(struct cluster *c, const char *key, const CoreV1__Pod *pod, const char *node,
                  bool assumed)
{
	cluster_remove_pod(c, key);
	struct placed_pod *p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	p->key = dup_str(key);
	p->uid = dup_str(pod->metadata->uid);
	p->node = node_get(c, node);
	p->assumed = assumed;
	resources_of_pod(pod->spec, &p->requests);
	resources_nonzero(pod->spec, &p->nonzero_milli_cpu, &p->nonzero_memory);
	account(p, 1);
	map_put_str(&c->pods, key, p);
}

static bool is_final(const CoreV1__Pod *pod)
{
	const char *phase = pod->status ? pod->status->phase : NULL;
	return phase && (!strcmp(phase, "Succeeded") || !strcmp(phase, "Failed"));
}

void cluster_set_pod(struct cluster *c, const char *key, const CoreV1__Pod *pod)
{
	if (is_final(pod) || !pod->spec->node_name || !*pod->spec->node_name) {
		cluster_remove_pod(c, key);
		return;
	}
	place(c, key, pod, pod->spec->node_name, false);
}

bool cluster_remove_pod(struct cluster *c, const char *key)
{
	struct placed_pod *p = map_del_str(&c->pods, key);
	if (!p)
		return false;
	account(p, -1);
	drop_if_unused(c, p->node);
	placed_free(p);
	return true;
}

void cluster_assume(struct cluster *c, const char *key, const CoreV1__Pod *pod, const char *node)
{
	place(c, key, pod, node, true);
}

void cluster_forget(struct cluster *c, const char *key)
{
	const struct placed_pod *p = map_get_str(&c->pods, key);
	if (p && p->assumed)
		cluster_remove_pod(c, key);
}

size_t cluster_n_nodes(const struct cluster *c)
{
	return c->dense.n;
}

struct node_info *cluster_node(const struct cluster *c, size_t slot)
{
	return c->dense.at[slot];
}

struct node_info *cluster_find(const struct cluster *c, const char *name)
{
	struct node_info *n = map_get_str(&c->nodes, name);
	return n && n->known ? n : NULL;
}

const struct placed_pod *cluster_pod(const struct cluster *c, const char *key)
{
	return map_get_str(&c->pods, key);
}
