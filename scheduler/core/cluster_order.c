/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which nodes are visited, and what is kept up beside them: images, topologies,
 * tallies. */
#include <string.h>

#include "scheduler/core/cluster_internal.h"

void cluster_order_deinit(struct cluster *c)
{
	vec_deinit(&c->arrived);
	vec_deinit(&c->order);
	map_deinit(&c->images);
	VEC_FOREACH (&c->topologies, t)
		topology_free(*t, c->symbols);
	vec_deinit(&c->topologies);
}

size_t cluster_n_nodes(const struct cluster *c)
{
	return c->arrived.n;
}

/* A zone and the nodes of it that were not taken yet. */
struct zone {
	uint32_t region, zone;
	size_t at;
	VEC(struct node_info *) nodes;
};

typedef VEC(struct zone) zones;

static struct zone *zone_of(zones *all, const struct node_spec *n)
{
	VEC_FOREACH (all, z)
		if (z->region == n->region && z->zone == n->zone)
			return z;
	*vec_push(all) = (struct zone){.region = n->region, .zone = n->zone};
	return vec_last(all);
}

/* One node of each zone in turn, so that a partial search sees all zones. */
static void order_rebuild(struct cluster *c)
{
	zones all = {0};
	VEC_FOREACH (&c->arrived, n)
		*vec_push(&zone_of(&all, (*n)->spec)->nodes) = *n;
	vec_clear(&c->order);
	while (c->order.n < c->arrived.n)
		VEC_FOREACH (&all, z)
			if (z->at < z->nodes.n) {
				struct node_info *n = z->nodes.at[z->at++];
				n->order = (uint32_t)c->order.n;
				*vec_push(&c->order) = n;
			}
	VEC_FOREACH (&all, z)
		vec_deinit(&z->nodes);
	vec_deinit(&all);
	c->order_stale = false;
}

struct node_info *const *cluster_nodes(struct cluster *c, size_t *ret_n)
{
	if (c->order_stale)
		order_rebuild(c);
	*ret_n = c->order.n;
	return c->order.at;
}

static void count_images(struct cluster *c, const struct node_spec *n, intptr_t delta)
{
	for (uint32_t i = 0; n && i < n->n_images; i++) {
		struct slice key = symbol_key(&n->images[i].name);
		intptr_t count = (intptr_t)map_get(&c->images, key) + delta;
		if (count)
			map_put(&c->images, key, (void *)count);
		else
			map_del(&c->images, key);
	}
}

uint32_t cluster_image_nodes(const struct cluster *c, uint32_t image)
{
	return (uint32_t)(uintptr_t)map_get(&c->images, symbol_key(&image));
}

/* The node came (old NULL), changed, or went (its spec is NULL). */
void cluster_order_node(struct cluster *c, struct node_info *n, const struct node_spec *old)
{
	count_images(c, n->spec, 1);
	count_images(c, old, -1);
	VEC_FOREACH (&c->topologies, t)
		topology_set(*t, c->symbols, n->id, n->spec ? &n->spec->labels : NULL);
	if (!old) {
		*vec_push(&c->arrived) = n;
		c->order_stale = true;
	} else if (!n->spec) {
		for (size_t i = 0; i < c->arrived.n; i++)
			if (c->arrived.at[i] == n) {
				vec_remove(&c->arrived, i);
				break;
			}
		c->order_stale = true;
	} else if (old->region != n->spec->region || old->zone != n->spec->zone) {
		c->order_stale = true;
	}
}

/* Topologies */

struct topology *cluster_topology(struct cluster *c, uint32_t key)
{
	VEC_FOREACH (&c->topologies, t)
		if ((*t)->key == key) {
			(*t)->last_use = c->cycle;
			return *t;
		}
	struct topology *t = topology_new(c->symbols, key);
	VEC_FOREACH (&c->arrived, n)
		topology_set(t, c->symbols, (*n)->id, &(*n)->spec->labels);
	t->last_use = c->cycle;
	*vec_push(&c->topologies) = t;
	return t;
}

/* Tallies */

bool cluster_term_matches(const struct cluster *c, const struct pod_term *t,
                          const struct pod_info *p)
{
	bool here = false;
	for (uint32_t i = 0; i < t->n_namespaces && !here; i++)
		here = t->namespaces[i] == p->ns;
	if (!here && t->namespaced) {
		static const struct label_list none;
		const struct label_list *labels = cluster_namespace_labels(c, p->ns);
		here = selector_matches(t->namespaced, labels ? labels : &none, c->symbols);
	}
	return here && selector_matches(&t->selector, &p->labels, c->symbols);
}

static bool counts(const struct cluster *c, const struct tally *t, const struct pod_info *p)
{
	if (t->skip_terminating && p->terminating)
		return false;
	for (uint32_t i = 0; i < t->n_terms; i++)
		if (!cluster_term_matches(c, &t->terms[i], p))
			return false;
	return t->n_terms > 0;
}

struct tally *cluster_tally(struct cluster *c, const struct pod_term *terms, uint32_t n,
                            bool skip_terminating)
{
	bool fresh;
	struct tally *t =
	    tallies_get(&c->tallies, TALLY_MATCHING, terms, n, skip_terminating, &fresh);
	t->last_use = c->cycle;
	if (!fresh)
		return t;
	VEC_FOREACH (&c->by_id, node)
		for (size_t i = 0; *node && i < (*node)->pods.n; i++)
			if (counts(c, t, (*node)->pods.at[i]))
				tally_count(t, (*node)->id, 1);
	return t;
}

struct tally *const *cluster_having(const struct cluster *c, size_t *ret_n)
{
	*ret_n = c->tallies.having.n;
	return c->tallies.having.at;
}

static void have(struct cluster *c, struct placed_pod *p, enum tally_kind kind,
                 const struct pod_terms *terms, int sign)
{
	bool fresh;
	for (uint32_t i = 0; i < terms->n; i++) {
		struct pod_term t = terms->at[i];
		t.weight *= sign;
		struct tally *one = tallies_get(&c->tallies, kind, &t, 1, false, &fresh);
		tally_count(one, p->node->id, 1);
		p->having[p->n_having++] = one;
	}
}

void cluster_tallies_placed(struct cluster *c, struct placed_pod *p)
{
	VEC_FOREACH (&c->tallies.matching, t)
		if (counts(c, *t, p->pod))
			tally_count(*t, p->node->id, 1);
	const struct pod_info *pod = p->pod;
	size_t n = pod->affinity.n + pod->anti_affinity.n + pod->prefers.n + pod->avoids.n;
	if (!n)
		return;
	p->having = calloc(n, sizeof(struct tally *));
	if (!p->having)
		abort();
	have(c, p, TALLY_HAVING_AFFINITY, &pod->affinity, 1);
	have(c, p, TALLY_HAVING_ANTI_AFFINITY, &pod->anti_affinity, 1);
	have(c, p, TALLY_HAVING_PREFERRED, &pod->prefers, 1);
	have(c, p, TALLY_HAVING_PREFERRED, &pod->avoids, -1);
}

void cluster_tallies_removed(struct cluster *c, struct placed_pod *p)
{
	VEC_FOREACH (&c->tallies.matching, t)
		if (counts(c, *t, p->pod))
			tally_count(*t, p->node->id, -1);
	for (size_t i = 0; i < p->n_having; i++) {
		tally_count(p->having[i], p->node->id, -1);
		if (!p->having[i]->total)
			tallies_drop(&c->tallies, p->having[i]);
	}
}

void cluster_tallies_namespaces_changed(struct cluster *c)
{
	for (size_t i = c->tallies.matching.n; i-- > 0;)
		if (c->tallies.matching.at[i]->by_namespace_labels)
			tallies_drop(&c->tallies, c->tallies.matching.at[i]);
}

/* Dropping what is unused bounds memory and the work of each change of a pod. */
void cluster_begin_cycle(struct cluster *c)
{
	c->cycle++;
	if (c->topologies.n > KEEP_TOPOLOGIES) {
		bool full = c->topologies.n > TOPOLOGIES_MAX;
		for (size_t i = c->topologies.n; i-- > 0;) {
			struct topology *t = c->topologies.at[i];
			if (!full && c->cycle - t->last_use < KEEP_CYCLES)
				continue;
			topology_free(t, c->symbols);
			vec_swap_remove(&c->topologies, i);
		}
	}
	if (c->tallies.matching.n > KEEP_TALLIES) {
		bool full = c->tallies.matching.n > TALLIES_MAX;
		for (size_t i = c->tallies.matching.n; i-- > 0;) {
			struct tally *t = c->tallies.matching.at[i];
			if (full || c->cycle - t->last_use >= KEEP_CYCLES)
				tallies_drop(&c->tallies, t);
		}
	}
}
