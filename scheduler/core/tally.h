/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Numbers of pods a node, kept up as pods come and go, in place of going over all pods in each
 * cycle. A tally counts either the pods that match a term (or all of several terms), or the pods
 * that have a term of their own: pods of one workload share their terms, so that there are few
 * tallies and many pods. Tallies of matching pods are a cache: made when first asked for, dropped
 * when long unused. Counts are by node id; domains are summed up with a topology. */
#include "common/base/list.h"
#include "scheduler/core/topology.h"

struct cluster;

enum tally_kind {
	TALLY_MATCHING, /* pods that match */
	/* pods that have the term as their own */
	TALLY_HAVING_AFFINITY,
	TALLY_HAVING_ANTI_AFFINITY,
	TALLY_HAVING_PREFERRED, /* weight > 0: wants to be near; < 0: wants to be away */
};

struct tally {
	enum tally_kind kind;
	bool skip_terminating; /* TALLY_MATCHING: pods that are being deleted do not count */
	bool by_namespace_labels;
	uint32_t n_terms;
	struct pod_term *terms;
	int32_t weight;
	VEC(int32_t) count; /* by node id */
	int64_t total;
	uint64_t last_use;
	/* inside */
	size_t place;
	struct symbol_refs symbols;
	struct arena arena;
	struct slice canonical;
};

struct tallies {
	struct symbols *symbols;
	struct map by_canonical;
	VEC(struct tally *) matching, having;
	struct buf *scratch;
};

void tallies_init(struct tallies *t, struct symbols *s);
void tallies_deinit(struct tallies *t);
/* Finds a tally or makes an empty one (*ret_new). Terms are copied; for TALLY_MATCHING their
 * topology keys and weights do not matter. */
struct tally *tallies_get(struct tallies *t, enum tally_kind kind, const struct pod_term *terms,
                          uint32_t n_terms, bool skip_terminating, bool *ret_new);
void tallies_drop(struct tallies *t, struct tally *one);
void tally_count(struct tally *t, uint32_t node_id, int delta);
static inline int32_t tally_at(const struct tally *t, uint32_t node_id)
{
	return node_id < t->count.n ? t->count.at[node_id] : 0;
}
