/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a scheduling plugin is: const functions over a pod and a node (kube-scheduler framework;
 * KEP-624). Plugins are pure, keep no state and are listed in one table in upstream's order. */
#include "common/base/arena.h"
#include "scheduler/core/cluster.h"

enum filter_code {
	FILTER_FITS,
	FILTER_UNSCHEDULABLE, /* removing pods from the node could help */
	FILTER_UNRESOLVABLE,  /* nothing that happens to other pods helps */
};

/* The pod in hand, with what is computed once for all nodes. */
struct cycle_pod {
	const CoreV1__Pod *pod;
	const char *key;
	struct resources requests;
	int64_t nonzero_milli_cpu, nonzero_memory;
};

enum { FILTER_REASONS_MAX = 8 };

/* Why a node was refused; texts are const or in the arena. */
struct filter_reasons {
	struct arena *arena;
	const char *at[FILTER_REASONS_MAX];
	size_t n;
};

static inline void filter_reason(struct filter_reasons *r, const char *text)
{
	if (r->n < FILTER_REASONS_MAX)
		r->at[r->n++] = text;
}

enum { SCORE_MAX = 100 };

struct plugin {
	const char *name;
	/* NULL: every node fits. */
	enum filter_code (*filter)(const struct cycle_pod *pod, const struct node_info *node,
	                           struct filter_reasons *why);
	/* Larger is better; raw when `normalize` is set. NULL: no opinion. */
	int64_t (*score)(const struct cycle_pod *pod, const struct node_info *node);
	/* How raw scores of all nodes become 0..SCORE_MAX. */
	enum { SCORE_AS_IS, SCORE_NORMALIZE, SCORE_NORMALIZE_REVERSE } normalize;
	int64_t weight;
	/* Events that can make a pod fit that this plugin refused (enum queue_event). */
	unsigned help;
};

/* All plugins; ends with a NULL. scheduler/plugins/plugins.c */
extern const struct plugin *const plugins_default[];
