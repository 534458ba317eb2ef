/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One topology key (a label key such as topology.kubernetes.io/zone): its values as small numbers,
 * and the number that each node has, so that counts a domain are arrays. Kept up as nodes change.
 */
#include "common/base/map.h"
#include "scheduler/core/node.h"

struct topology_value {
	uint32_t symbol, n_nodes; /* n_nodes 0: the number is free */
};

struct topology {
	uint32_t key;
	VEC(int32_t) value_of; /* by node id; -1: the node has no such label */
	VEC(struct topology_value) values;
	VEC(uint32_t) unused;
	struct map by_symbol; /* symbol -> number + 1 */
	uint64_t last_use;
};

struct topology *topology_new(struct symbols *s, uint32_t key);
void topology_free(struct topology *t, struct symbols *s);
/* The labels of a node from here on; labels NULL: the node has gone. */
void topology_set(struct topology *t, struct symbols *s, uint32_t id,
                  const struct label_list *labels);
/* The number of a node's value, or -1. */
static inline int32_t topology_of(const struct topology *t, uint32_t id)
{
	return id < t->value_of.n ? t->value_of.at[id] : -1;
}
/* An upper bound of the numbers. */
static inline size_t topology_size(const struct topology *t)
{
	return t->values.n;
}
