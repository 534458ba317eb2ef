/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/core/cycle.h"

#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/map.h"
#include "scheduler/core/queue.h"

enum { MIN_FEASIBLE_NODES = 100, MIN_PERCENT = 5 };

static size_t feasible_wanted(size_t n_nodes)
{
	if (n_nodes < MIN_FEASIBLE_NODES)
		return n_nodes;
	size_t percent = n_nodes / 125 > 50 - MIN_PERCENT ? MIN_PERCENT : 50 - n_nodes / 125;
	return MAX(n_nodes * percent / 100, (size_t)MIN_FEASIBLE_NODES);
}

/* Counts of refusal reasons over all nodes. */
struct histogram {
	struct reason {
		const char *text;
		size_t n;
	} * at;
	size_t n, cap;
	struct arena *arena;
};

static void histogram_add(struct histogram *h, const char *text)
{
	for (size_t i = 0; i < h->n; i++)
		if (!strcmp(h->at[i].text, text)) {
			h->at[i].n++;
			return;
		}
	if (h->n == h->cap) {
		size_t cap = h->cap ? h->cap * 2 : 8;
		h->at = arena_grow(h->arena, h->at, h->cap * sizeof(*h->at), cap * sizeof(*h->at));
		h->cap = cap;
	}
	h->at[h->n++] = (struct reason){arena_strdup(h->arena, text), 1};
}

static int text_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable." */
static const char *fit_error(const struct histogram *h, size_t n_nodes, struct arena *arena)
{
	if (!n_nodes)
		return "no nodes available to schedule pods";
	const char **lines = arena_array(arena, const char *, h->n);
	for (size_t i = 0; i < h->n; i++)
		lines[i] = arena_printf(arena, "%zu %s", h->at[i].n, h->at[i].text);
	qsort(lines, h->n, sizeof(*lines), text_cmp);
	const char *text = arena_printf(arena, "0/%zu nodes are available:", n_nodes);
	for (size_t i = 0; i < h->n; i++)
		text = arena_printf(arena, "%s %s%s", text, lines[i], i + 1 < h->n ? "," : ".");
	return text;
}

/* Runs the filters of one node, the first refusal ends it. */
static bool fits(const struct plugin *const *plugins, const struct cycle_pod *pod,
                 const struct node_info *node, struct histogram *why, unsigned *help)
{
	for (size_t i = 0; plugins[i]; i++) {
		if (!plugins[i]->filter)
			continue;
		struct filter_reasons reasons = {.arena = why->arena};
		if (plugins[i]->filter(pod, node, &reasons) == FILTER_FITS)
			continue;
		*help |= plugins[i]->help;
		for (size_t r = 0; r < reasons.n; r++)
			histogram_add(why, reasons.at[r]);
		return false;
	}
	return true;
}

static void normalize(const struct plugin *plugin, int64_t *scores, size_t n)
{
	if (plugin->normalize == SCORE_AS_IS)
		return;
	int64_t max = 0;
	for (size_t i = 0; i < n; i++)
		max = MAX(max, scores[i]);
	for (size_t i = 0; i < n; i++) {
		int64_t score = max ? scores[i] * SCORE_MAX / max : 0;
		bool reverse = plugin->normalize == SCORE_NORMALIZE_REVERSE;
		scores[i] = reverse ? SCORE_MAX - score : score;
	}
}

/* Of the nodes with the highest sum, one at random. */
static struct node_info *best(const struct plugin *const *plugins, const struct cycle_pod *pod,
                              struct node_info *const *nodes, size_t n, struct rng *rng,
                              struct arena *arena)
{
	if (n == 1)
		return nodes[0];
	int64_t *total = arena_array(arena, int64_t, n), *scores = arena_array(arena, int64_t, n);
	for (size_t p = 0; plugins[p]; p++) {
		if (!plugins[p]->score)
			continue;
		for (size_t i = 0; i < n; i++)
			scores[i] = plugins[p]->score(pod, nodes[i]);
		normalize(plugins[p], scores, n);
		for (size_t i = 0; i < n; i++)
			total[i] += scores[i] * plugins[p]->weight;
	}
	size_t at = 0, ties = 1;
	for (size_t i = 1; i < n; i++) {
		if (total[i] > total[at]) {
			at = i;
			ties = 1;
		} else if (total[i] == total[at] && rng_below(rng, ++ties) == 0) {
			at = i;
		}
	}
	return nodes[at];
}

void cycle_schedule(const struct cluster *cluster, const struct plugin *const *plugins,
                    const CoreV1__Pod *pod, const char *key, size_t *start, struct rng *rng,
                    struct arena *arena, struct cycle_result *ret)
{
	struct cycle_pod cp = {.pod = pod, .key = key};
	resources_of_pod(pod->spec, &cp.requests);
	resources_nonzero(pod->spec, &cp.nonzero_milli_cpu, &cp.nonzero_memory);
	struct histogram why = {.arena = arena};
	*ret = (struct cycle_result){.help = QUEUE_NODE_ADD};
	size_t n = cluster_n_nodes(cluster), wanted = feasible_wanted(n), n_feasible = 0;
	struct node_info **feasible = arena_array(arena, struct node_info *, wanted);
	size_t at = n ? *start % n : 0, seen = 0;
	for (; seen < n && n_feasible < wanted; seen++) {
		struct node_info *node = cluster_node(cluster, at);
		if (fits(plugins, &cp, node, &why, &ret->help))
			feasible[n_feasible++] = node;
		at = at + 1 < n ? at + 1 : 0;
	}
	*start = at;
	ret->evaluated = seen;
	ret->feasible = n_feasible;
	if (n_feasible)
		ret->node = best(plugins, &cp, feasible, n_feasible, rng, arena);
	else
		ret->message = fit_error(&why, n, arena);
	resources_deinit(&cp.requests);
}
