/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Who owns whom, over all objects of the cluster (kubernetes pkg/controller/garbagecollector):
 * of each object its key, owners and the finalizers that deletion is about, nothing else. Pure. */
#include <stdbool.h>
#include "common/base/map.h"
#include "common/base/vec.h"

struct gc_owner {
	const char *uid, *api_version, *kind, *name;
	bool block; /* blockOwnerDeletion */
};

struct gc_node {
	const char *uid, *ns, *name;
	int64_t revision;
	uint32_t resource; /* the caller's number of its kind */
	uint32_t generation;
	bool cluster_scoped;
	bool deleting;
	bool foreground, orphan; /* has that finalizer */
	uint32_t n_owners;
	struct gc_owner owners[];
};

typedef VEC(struct gc_node *) gc_nodes;

struct gc_graph {
	struct map nodes;      /* uid -> struct gc_node */
	struct map dependents; /* uid of an owner, there or not -> gc_nodes */
	/* An object for which something may have to be done. */
	void (*wake)(const char *uid, void *arg);
	void *arg;
};

void gc_graph_deinit(struct gc_graph *g);
/* Puts a copy of the node, in the place of the one with its uid. */
void gc_graph_put(struct gc_graph *g, const struct gc_node *node);
void gc_graph_del(struct gc_graph *g, const char *uid);
/* Removes the nodes of a resource whose generation is another one. */
void gc_graph_sweep(struct gc_graph *g, uint32_t resource, uint32_t generation);
const struct gc_node *gc_graph_get(const struct gc_graph *g, const char *uid);
/* NULL: none. */
const gc_nodes *gc_graph_dependents(const struct gc_graph *g, const char *uid);
