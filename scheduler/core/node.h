/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the scheduler needs of a Node object, extracted once: immutable, counted by reference. Which
 * pods are there stands in the cluster (cluster.h), not here. */
#include "scheduler/core/pod.h"

struct node_image {
	uint32_t name;
	int64_t bytes;
};

struct node_spec {
	size_t refs;
	struct symbol_refs symbols;
	struct arena arena;
	const char *name_text;
	uint32_t name;
	uint32_t region, zone; /* of the well-known labels; 0: none */
	bool unschedulable;
	uint32_t n_taints, n_images;
	struct taint *taints;
	struct node_image *images; /* sorted by name */
	struct label_list labels;
	struct resources allocatable;
};

struct node_spec *node_spec_new(struct symbols *s, const CoreV1__Node *node);
struct node_spec *node_spec_ref(const struct node_spec *n);
void node_spec_unref(const struct node_spec *n); /* NULL is fine */

/* What differs, as bits of enum event_kind (event.h); 0: nothing that matters. */
unsigned node_spec_changes(const struct node_spec *old, const struct node_spec *n);

/* The first taint with one of these effects that the pod does not tolerate, or NULL. */
const struct taint *node_untolerated(const struct node_spec *n, const struct pod_info *p,
                                     unsigned effects);
/* spec.nodeSelector and the required terms of node affinity. */
bool node_matches_pod(const struct node_spec *n, const struct pod_info *p);
