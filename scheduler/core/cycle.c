/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/core/cycle.h"

#include <string.h>

enum { MIN_FEASIBLE_NODES = 100, MIN_PERCENT = 5, NOT_IN_SUBSET = 255 };

size_t cycle_feasible_wanted(const struct framework *f, size_t n_nodes)
{
	int64_t percent = f->percentage_of_nodes;
	if (n_nodes < MIN_FEASIBLE_NODES || percent >= 100)
		return n_nodes;
	if (!percent)
		percent = MAX((int64_t)MIN_PERCENT, 50 - (int64_t)(n_nodes / 125));
	return MAX(n_nodes * (size_t)percent / 100, (size_t)MIN_FEASIBLE_NODES);
}

static void make_calls(struct cycle *c)
{
	const struct plugin_uses *u = &c->framework->uses;
	c->calls = arena_alloc(&c->arena, sizeof(*c->calls) * MAX(u->n, (size_t)1));
	for (size_t i = 0; i < u->n; i++)
		c->calls[i] = (struct plugin_call){
		    .cycle = c,
		    .pod = c->pod,
		    .cluster = c->cluster,
		    .symbols = cluster_symbols(c->cluster),
		    .args = u->at[i].args,
		    .state = &c->state[i],
		    .score_state = &c->score_state[i],
		    .arena = &c->arena,
		    .rng = c->rng,
		};
}

void cycle_begin(struct cycle *c, const struct framework *f, struct cluster *cluster,
                 const struct pod_info *pod, struct rng *rng, const struct cycle_tracer *tracer)
{
	pod_info_unref(c->pod);
	arena_reset(&c->arena);
	c->cluster = cluster;
	c->framework = f;
	c->pod = pod_info_ref(pod);
	c->rng = rng;
	c->tracer = tracer;
	memset(c->state, 0, f->uses.n * sizeof(*c->state));
	memset(c->score_state, 0, f->uses.n * sizeof(*c->score_state));
	c->skip_filter = c->skip_score = 0;
	c->nodes = NULL;
	c->n_nodes = c->n_reserved = c->n_filters = 0;
	c->statuses = NULL;
	c->subset_message = NULL;
	cluster_begin_cycle(cluster);
	make_calls(c);
}

void cycle_deinit(struct cycle *c)
{
	pod_info_unref(c->pod);
	arena_deinit(&c->arena);
	*c = (struct cycle){0};
}

static uint64_t bit(const struct plugin_use *u)
{
	return UINT64_C(1) << u->number;
}

/* Filters */

/* Nothing is filtered before pre_filter has said by whom. */
static void choose_filters(struct cycle *c)
{
	const struct plugin_uses *u = &c->framework->points[POINT_FILTER];
	c->filters = arena_alloc(&c->arena, sizeof(*c->filters) * MAX(u->n, (size_t)1));
	c->n_filters = 0;
	for (size_t i = 0; i < u->n; i++)
		if (!(c->skip_filter & bit(&u->at[i])))
			c->filters[c->n_filters++] = (struct active_filter){
			    u->at[i].plugin, cycle_call(c, &u->at[i]), u->at[i].number};
}

static enum status_code filter_once(struct cycle *c, const struct node_info *n,
                                    unsigned *ret_plugin, struct reasons *why)
{
	for (size_t i = 0; i < c->n_filters; i++) {
		const struct active_filter *f = &c->filters[i];
		enum status_code code = f->plugin->filter(f->call, n, why);
		if (code == STATUS_SUCCESS)
			continue;
		*ret_plugin = f->number;
		return code;
	}
	return STATUS_SUCCESS;
}

void cycle_add_pod(struct cycle *c, const struct node_info *n, const struct pod_info *p)
{
	const struct plugin_uses *u = &c->framework->points[POINT_PRE_FILTER];
	for (size_t i = 0; i < u->n; i++)
		if (u->at[i].plugin->add_pod && !(c->skip_filter & bit(&u->at[i]))) {
			u->at[i].plugin->add_pod(cycle_call(c, &u->at[i]), n, p);
		}
}

void cycle_remove_pod(struct cycle *c, const struct node_info *n, const struct pod_info *p)
{
	const struct plugin_uses *u = &c->framework->points[POINT_PRE_FILTER];
	for (size_t i = 0; i < u->n; i++)
		if (u->at[i].plugin->remove_pod && !(c->skip_filter & bit(&u->at[i]))) {
			u->at[i].plugin->remove_pod(cycle_call(c, &u->at[i]), n, p);
		}
}

/* Pods that are nominated to the node and not less important. */
static bool counts_as_there(const struct cycle *c, const struct pod_info *p)
{
	return p->priority >= c->pod->priority && strcmp(p->key, c->pod->key) != 0;
}

/* The pod must fit both with the nominated pods (resources, anti-affinity) and without them
 * (affinity to pods that may never come). */
enum status_code cycle_filter(struct cycle *c, const struct node_info *n, unsigned *ret_plugin,
                              struct reasons *why)
{
	size_t there = 0;
	for (size_t i = 0; i < n->nominated.n; i++)
		there += counts_as_there(c, n->nominated.at[i]);
	if (there > 0) {
		struct node_info with;
		node_info_copy(&with, n);
		for (size_t i = 0; i < n->nominated.n; i++)
			if (counts_as_there(c, n->nominated.at[i])) {
				node_info_add(&with, n->nominated.at[i]);
				cycle_add_pod(c, &with, n->nominated.at[i]);
			}
		enum status_code code = filter_once(c, &with, ret_plugin, why);
		for (size_t i = 0; i < n->nominated.n; i++)
			if (counts_as_there(c, n->nominated.at[i]))
				cycle_remove_pod(c, &with, n->nominated.at[i]);
		node_info_copy_deinit(&with);
		if (code != STATUS_SUCCESS)
			return code;
	}
	return filter_once(c, n, ret_plugin, why);
}

static void keep_common(struct node_subset *all, const struct node_subset *one)
{
	if (!all->limited) {
		*all = *one;
		return;
	}
	size_t n = 0;
	for (size_t i = 0; i < all->n; i++)
		for (size_t k = 0; k < one->n; k++)
			if (!strcmp(all->names[i], one->names[k])) {
				all->names[n++] = all->names[i];
				break;
			}
	all->n = n;
}

/* The nodes that pre_filter left, and how the others are counted. */
static struct node_info *const *limit_nodes(struct cycle *c, const struct node_subset *subset,
                                            size_t *ret_n)
{
	struct node_info **left = arena_array(&c->arena, struct node_info *, subset->n);
	size_t n = 0;
	for (size_t i = 0; i < c->n_nodes; i++)
		c->statuses[i] = (struct node_status){STATUS_UNRESOLVABLE, NOT_IN_SUBSET};
	for (size_t i = 0; i < subset->n; i++) {
		struct node_info *node = cluster_find(c->cluster, subset->names[i]);
		if (!node)
			continue;
		c->statuses[node->order] = (struct node_status){0};
		left[n++] = node;
	}
	*ret_n = n;
	return left;
}

static const char *joined(struct cycle *c, const struct reasons *why)
{
	const char *text = "";
	for (size_t i = 0; i < why->n; i++)
		text = arena_printf(&c->arena, "%s%s%s", text, i ? ", " : "", why->at[i]);
	return text;
}

/* SUCCESS, or a refusal of all nodes (message set) or an error. */
static enum status_code pre_filter(struct cycle *c, struct node_subset *subset,
                                   struct cycle_result *ret)
{
	const struct plugin_uses *u = &c->framework->points[POINT_PRE_FILTER];
	const char *limiting = "";
	for (size_t i = 0; i < u->n; i++) {
		const struct plugin_call *call = cycle_call(c, &u->at[i]);
		struct reasons why = {.arena = &c->arena};
		struct node_subset one = {0};
		enum status_code code = u->at[i].plugin->pre_filter(call, &one, &why);
		if (code == STATUS_SKIP)
			c->skip_filter |= bit(&u->at[i]);
		else if (code != STATUS_SUCCESS) {
			ret->rejectors |= bit(&u->at[i]);
			ret->message = joined(c, &why);
			return code;
		}
		if (!one.limited)
			continue;
		limiting = arena_printf(&c->arena, "%s%s%s", limiting, *limiting ? " " : "",
		                        u->at[i].plugin->name);
		ret->rejectors |= bit(&u->at[i]);
		keep_common(subset, &one);
		if (!subset->n) {
			ret->message =
			    arena_printf(&c->arena, "node(s) didn't satisfy plugin(s) [%s]%s",
			                 limiting, strchr(limiting, ' ') ? " simultaneously" : "");
			return STATUS_UNRESOLVABLE;
		}
	}
	choose_filters(c);
	c->subset_message =
	    arena_printf(&c->arena, "node(s) didn't satisfy plugin(s) [%s]", limiting);
	return STATUS_SUCCESS;
}

static bool try_node(struct cycle *c, struct node_info *n, struct cycle_result *ret)
{
	unsigned plugin = 0;
	enum status_code code = cycle_filter(c, n, &plugin, NULL);
	if (code == STATUS_SUCCESS)
		return true;
	c->statuses[n->order] = (struct node_status){(uint8_t)code, (uint8_t)plugin};
	ret->rejectors |= UINT64_C(1) << plugin;
	return false;
}

/* What filters read of a node is three lines of cache. */
static void prefetch(const struct node_info *n)
{
	enum { LINE = 64 };
	for (size_t at = 0; at < 3 * LINE; at += LINE)
		__builtin_prefetch((const char *)n + at);
}

static size_t find_feasible(struct cycle *c, struct node_info *const *nodes, size_t n,
                            size_t *start, struct node_info **feasible, struct cycle_result *ret)
{
	const char *nominated = cluster_nomination(c->cluster, c->pod->key);
	struct node_info *first = nominated ? cluster_find(c->cluster, nominated) : NULL;
	size_t found = 0, wanted = cycle_feasible_wanted(c->framework, n);
	if (first && c->statuses[first->order].code == STATUS_SUCCESS && try_node(c, first, ret)) {
		feasible[0] = first;
		ret->evaluated = 1;
		return 1;
	}
	size_t at = n ? *start % n : 0;
	for (; ret->evaluated < n && found < wanted; ret->evaluated++) {
		struct node_info *node = nodes[at];
		prefetch(nodes[at + 2 < n ? at + 2 : 0]);
		if (node != first && try_node(c, node, ret))
			feasible[found++] = node;
		at = at + 1 < n ? at + 1 : 0;
	}
	*start = at;
	return found;
}

/* Scores */

/* Of the nodes with the highest sum, one at random. */
static struct node_info *best(struct cycle *c, struct node_info *const *nodes, size_t n)
{
	if (n == 1)
		return nodes[0];
	const struct plugin_uses *pre = &c->framework->points[POINT_PRE_SCORE],
	                         *u = &c->framework->points[POINT_SCORE];
	cycle_trace(c, POINT_PRE_SCORE, true);
	for (size_t i = 0; i < pre->n; i++) {
		const struct plugin_call *call = cycle_call(c, &pre->at[i]);
		if (pre->at[i].plugin->pre_score(call, nodes, n) == STATUS_SKIP)
			c->skip_score |= bit(&pre->at[i]);
	}
	cycle_trace(c, POINT_PRE_SCORE, false);
	cycle_trace(c, POINT_SCORE, true);
	int64_t *total = arena_array(&c->arena, int64_t, n);
	int64_t *scores = arena_array(&c->arena, int64_t, n);
	for (size_t p = 0; p < u->n; p++) {
		if (c->skip_score & bit(&u->at[p]))
			continue;
		const struct plugin_call *call = cycle_call(c, &u->at[p]);
		for (size_t i = 0; i < n; i++)
			scores[i] = u->at[p].plugin->score(call, nodes[i]);
		if (u->at[p].plugin->normalize)
			u->at[p].plugin->normalize(call, nodes, scores, n);
		for (size_t i = 0; i < n; i++)
			total[i] += scores[i] * u->at[p].weight;
	}
	cycle_trace(c, POINT_SCORE, false);
	size_t at = 0, ties = 1;
	for (size_t i = 1; i < n; i++) {
		if (total[i] > total[at]) {
			at = i;
			ties = 1;
		} else if (total[i] == total[at] && rng_below(c->rng, ++ties) == 0) {
			at = i;
		}
	}
	return nodes[at];
}

/* No node fits */

static const char *fit_error(struct cycle *c)
{
	struct histogram h = {.arena = &c->arena};
	for (size_t i = 0; i < c->n_nodes; i++) {
		if (c->statuses[i].code == STATUS_SUCCESS)
			continue;
		if (c->statuses[i].plugin == NOT_IN_SUBSET) {
			histogram_add(&h, c->subset_message, 1);
			continue;
		}
		struct reasons why = {.arena = &c->arena};
		unsigned plugin;
		(void)cycle_filter(c, c->nodes[i], &plugin, &why);
		for (size_t r = 0; r < why.n; r++)
			histogram_add(&h, why.at[r], 1);
	}
	return histogram_fit_error(&h, c->n_nodes);
}

static void post_filter(struct cycle *c, struct cycle_result *ret)
{
	const struct plugin_uses *u = &c->framework->points[POINT_POST_FILTER];
	cycle_trace(c, POINT_POST_FILTER, true);
	const char *said = "";
	for (size_t i = 0; i < u->n; i++) {
		const struct plugin_call *call = cycle_call(c, &u->at[i]);
		struct post_filter_result one = {.message = ""};
		enum status_code code = u->at[i].plugin->post_filter(call, c->statuses, &one);
		if (*one.message)
			said =
			    arena_printf(&c->arena, "%s%s%s", said, *said ? ", " : "", one.message);
		if (one.set_nominated)
			ret->post = one;
		if (code == STATUS_SUCCESS)
			break;
	}
	if (*said)
		ret->message = arena_printf(&c->arena, "%s %s", ret->message, said);
	cycle_trace(c, POINT_POST_FILTER, false);
}

/* Filters cannot be tried after a pre_filter that failed: victims would not help. */
static void refuse_all(struct cycle *c, struct cycle_result *ret)
{
	for (size_t i = 0; i < c->n_nodes; i++)
		c->statuses[i] = (struct node_status){STATUS_UNRESOLVABLE, NOT_IN_SUBSET};
	ret->message =
	    arena_printf(&c->arena, "0/%zu nodes are available: %s.", c->n_nodes, ret->message);
}

void cycle_schedule(struct cycle *c, size_t *start, struct cycle_result *ret)
{
	*ret = (struct cycle_result){.code = STATUS_UNSCHEDULABLE, .message = ""};
	c->nodes = cluster_nodes(c->cluster, &c->n_nodes);
	if (!c->n_nodes) {
		ret->message = "no nodes available to schedule pods";
		ret->wake = EVENT_NODE_ADD;
		return;
	}
	c->statuses = arena_array(&c->arena, struct node_status, c->n_nodes);
	struct node_subset subset = {0};
	cycle_trace(c, POINT_PRE_FILTER, true);
	enum status_code code = pre_filter(c, &subset, ret);
	cycle_trace(c, POINT_PRE_FILTER, false);
	if (code == STATUS_ERROR) {
		ret->code = STATUS_ERROR;
		return;
	}
	if (code != STATUS_SUCCESS) {
		refuse_all(c, ret);
		post_filter(c, ret);
		return;
	}
	struct node_info *const *nodes = c->nodes;
	size_t n = c->n_nodes;
	if (subset.limited)
		nodes = limit_nodes(c, &subset, &n);
	struct node_info **feasible =
	    arena_alloc(&c->arena, sizeof(*feasible) * cycle_feasible_wanted(c->framework, n));
	cycle_trace(c, POINT_FILTER, true);
	ret->feasible = find_feasible(c, nodes, n, start, feasible, ret);
	cycle_trace(c, POINT_FILTER, false);
	if (!ret->feasible) {
		ret->message = fit_error(c);
		post_filter(c, ret);
		return;
	}
	ret->node = best(c, feasible, ret->feasible);
	ret->code = STATUS_SUCCESS;
}
