/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One pod's way through the framework (kube-scheduler schedule_one.go): the scheduling cycle
 * (filter all nodes, score those that fit, take one of the best, or look for victims), then the
 * steps of binding. Pure: equal cluster, pod, start and seed give the same node.
 *
 * Of clusters with more than 100 nodes only a share is examined, as upstream does
 * (percentageOfNodesToScore 0: 50 % less 1 % per 125 nodes, at least 5 % and 100 nodes), going on
 * at each cycle where the last one ended. */
#include "scheduler/core/framework.h"

/* Told when an extension point of a cycle begins and ends: for metrics. */
struct cycle_tracer {
	void (*point)(void *arg, const struct framework *f, enum extension_point point,
	              bool begins);
	void *arg;
};

struct cycle {
	struct cluster *cluster;
	const struct framework *framework;
	const struct pod_info *pod; /* a reference */
	struct rng *rng;
	const struct cycle_tracer *tracer;
	struct arena arena;
	void *state[PLUGINS_MAX], *score_state[PLUGINS_MAX];
	uint64_t skip_filter, skip_score; /* plugins, by number */
	struct plugin_call *calls;        /* by number */
	struct active_filter {
		const struct plugin *plugin;
		const struct plugin_call *call;
		unsigned number;
	} * filters; /* those that pre_filter left */
	size_t n_filters;
	struct node_info *const *nodes;
	size_t n_nodes;
	struct node_status *statuses; /* by place in nodes */
	const char *subset_message;   /* of nodes that pre_filter left out */
	size_t n_reserved;
};

struct cycle_result {
	enum status_code code; /* SUCCESS: node is set; UNSCHEDULABLE; ERROR */
	struct node_info *node;
	const char *message; /* otherwise: upstream's FitError text, in the arena */
	uint64_t rejectors;  /* plugins that refused, by number */
	unsigned wake;       /* kinds of event that help whatever the plugins say */
	size_t evaluated, feasible;
	struct post_filter_result post;
};

/* Prepares a zeroed or used struct for a pod; forgets all of the last one. */
void cycle_begin(struct cycle *c, const struct framework *f, struct cluster *cluster,
                 const struct pod_info *pod, struct rng *rng, const struct cycle_tracer *tracer);
void cycle_deinit(struct cycle *c);
/* What the functions of one plugin are given. */
static inline const struct plugin_call *cycle_call(const struct cycle *c,
                                                   const struct plugin_use *u)
{
	return &c->calls[u->number];
}

/* `start` is the place to begin at; updated. */
void cycle_schedule(struct cycle *c, size_t *start, struct cycle_result *ret);

/* --- after the cycle; each names the plugin that refused --- */

enum status_code cycle_reserve(struct cycle *c, const struct node_info *n,
                               const struct plugin_use **ret_by);
/* Takes back what was reserved, in reverse. */
void cycle_unreserve(struct cycle *c, const struct node_info *n);
enum status_code cycle_permit(struct cycle *c, const struct node_info *n, uint32_t *timeout_ms,
                              const struct plugin_use **ret_by);
enum status_code cycle_pre_bind(struct cycle *c, const struct node_info *n,
                                const struct plugin_use **ret_by);
/* What to write; ERROR: no plugin binds it. */
enum status_code cycle_bind(struct cycle *c, const struct node_info *n, enum bind_action *ret);
void cycle_post_bind(struct cycle *c, const struct node_info *n);

/* --- for plugins that try things out (preemption) --- */

/* All filters on a node (also on a copy), with the pods that are nominated there. */
enum status_code cycle_filter(struct cycle *c, const struct node_info *n, unsigned *ret_plugin,
                              struct reasons *why);
/* Tells the plugins' states that a pod came to or left the node. */
void cycle_add_pod(struct cycle *c, const struct node_info *n, const struct pod_info *p);
void cycle_remove_pod(struct cycle *c, const struct node_info *n, const struct pod_info *p);

static inline void cycle_trace(const struct cycle *c, enum extension_point point, bool begins)
{
	if (c->tracer)
		c->tracer->point(c->tracer->arg, c->framework, point, begins);
}

/* How many nodes that fit are enough. */
size_t cycle_feasible_wanted(const struct framework *f, size_t n_nodes);

/* Counts of reasons over nodes (diagnosis.c). */
struct histogram {
	struct arena *arena;
	size_t n, cap;
	struct reason_count {
		const char *text;
		size_t n;
	} * at;
};

void histogram_add(struct histogram *h, const char *text, size_t n);
/* "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable." */
const char *histogram_fit_error(const struct histogram *h, size_t n_nodes);
