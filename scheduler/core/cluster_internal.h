/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What cluster.c (nodes, pods), cluster_order.c (the order of nodes, images, topologies, tallies)
 * and cluster_owners.c (namespaces, selectors of owners, budgets) share. */
#include "scheduler/core/cluster.h"

/* Unused for so many cycles, a topology or tally is dropped when there are more than KEEP. */
enum {
	KEEP_TOPOLOGIES = 16,
	KEEP_TALLIES = 64,
	KEEP_CYCLES = 20000,
	TOPOLOGIES_MAX = 256,
	TALLIES_MAX = 512
};

struct cluster {
	struct symbols *symbols;
	struct map nodes;              /* name -> node_info */
	struct map pods;               /* key -> placed_pod */
	VEC(struct node_info *) by_id; /* NULL: the id is free */
	VEC(uint32_t) unused_ids;
	struct list waiting;    /* assumed pods that were bound, soonest to expire first */
	struct map nominations; /* pod key -> nomination */

	/* cluster_order.c */
	VEC(struct node_info *) arrived; /* known nodes as they came */
	VEC(struct node_info *) order;
	bool order_stale;
	struct map images; /* image symbol -> number of nodes */
	VEC(struct topology *) topologies;
	struct tallies tallies;
	uint64_t cycle;

	/* cluster_owners.c */
	struct map namespaces; /* name's symbol -> namespace */
	struct map owners;     /* kind/ns/name -> owner */
	struct map services;   /* ns symbol -> services */
	VEC(struct budget *) budgets;
	struct map budgets_by_key;
};

struct nomination {
	struct pod_info *pod;
	struct node_info *node;
};

/* The node of that name, also an unknown one. */
struct node_info *cluster_node_get(struct cluster *c, const char *name);
/* Frees a node that is neither known nor used. */
void cluster_node_drop(struct cluster *c, struct node_info *n);

/* cluster_order.c */
void cluster_order_deinit(struct cluster *c);
void cluster_order_node(struct cluster *c, struct node_info *n, const struct node_spec *old);
void cluster_tallies_placed(struct cluster *c, struct placed_pod *p);
void cluster_tallies_removed(struct cluster *c, struct placed_pod *p);
/* Tallies that ask for namespaces by labels are wrong from now on. */
void cluster_tallies_namespaces_changed(struct cluster *c);

/* cluster_owners.c */
void cluster_owners_deinit(struct cluster *c);
/* NULL: unknown, without labels. */
const struct label_list *cluster_namespace_labels(const struct cluster *c, uint32_t ns);

static inline struct slice symbol_key(const uint32_t *symbol)
{
	return slice_of(symbol, sizeof(*symbol));
}
