/* SPDX-License-Identifier: Apache-2.0 */
/* DefaultPreemption: when no node fits, looks for a node on which the pod would fit without some
 * pods of lower priority, and takes the node where that does the least harm.
 *
 * A node is tried on a copy of its sums; what plugins computed is changed and changed back by
 * add_pod and remove_pod, so that nothing is copied but the node. */
#include <string.h>

#include "scheduler/plugins/plugins.h"

struct args {
	int64_t min_percent, min_absolute;
};

/* A node that would do, and what it costs. */
struct candidate {
	struct node_info *node;
	size_t n;
	const struct pod_info **victims; /* most important first */
	size_t n_violations;             /* of disruption budgets */
};

static int parse_args(const struct jvalue *v, struct symbols *s, struct arena *a, const void **ret,
                      struct err *err)
{
	(void)s;
	struct args *args = arena_new(a, struct args);
	args->min_percent = jvalue_get_int(v, "minCandidateNodesPercentage", 10);
	args->min_absolute = jvalue_get_int(v, "minCandidateNodesAbsolute", 100);
	*ret = args;
	if (args->min_percent < 0 || args->min_percent > 100)
		return err_set(err, ERR_INVALID,
		               "minCandidateNodesPercentage: Invalid value: %lld: not in valid "
		               "range [0, 100]",
		               (long long)args->min_percent);
	if (args->min_absolute < 0 || (!args->min_absolute && !args->min_percent))
		return err_set(err, ERR_INVALID,
		               "minCandidateNodesAbsolute: Invalid value: %lld: not in valid "
		               "range [0, inf)",
		               (long long)args->min_absolute);
	return 0;
}

/* Victims on one node */

static int64_t started(const struct pod_info *p)
{
	return p->started_sec ? p->started_sec : INT64_MAX;
}

/* Higher priority, then longer running. */
static int importance_cmp(const void *a, const void *b)
{
	const struct pod_info *x = *(const struct pod_info *const *)a;
	const struct pod_info *y = *(const struct pod_info *const *)b;
	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	if (started(x) != started(y))
		return started(x) < started(y) ? -1 : 1;
	return strcmp(x->key, y->key);
}

static bool was_disrupted(const struct budget *b, const struct pod_info *p)
{
	for (size_t i = 0; i < b->n_disrupted; i++)
		if (!strcmp(b->disrupted[i], p->name))
			return true;
	return false;
}

/* Marks the victims whose end a budget does not allow, counting down what each budget allows. */
static void find_violations(const struct plugin_call *c, const struct pod_info *const *victims,
                            size_t n, bool *violates)
{
	size_t n_budgets;
	const struct budget *const *budgets = cluster_budgets(c->cluster, &n_budgets);
	int32_t *left = arena_array(c->arena, int32_t, n_budgets);
	for (size_t b = 0; b < n_budgets; b++)
		left[b] = budgets[b]->disruptions_allowed;
	for (size_t i = 0; i < n; i++) {
		violates[i] = false;
		for (size_t b = 0; victims[i]->labels.n && b < n_budgets; b++) {
			if (budgets[b]->ns != victims[i]->ns || !budgets[b]->selector.n ||
			    !selector_matches(&budgets[b]->selector, &victims[i]->labels,
			                      c->symbols) ||
			    was_disrupted(budgets[b], victims[i]))
				continue;
			if (--left[b] < 0)
				violates[i] = true;
		}
	}
}

static bool fits(const struct plugin_call *c, const struct node_info *n, struct reasons *why)
{
	unsigned plugin;
	return cycle_filter(c->cycle, n, &plugin, why) == STATUS_SUCCESS;
}

static void take(const struct plugin_call *c, struct node_info *n, const struct pod_info *p)
{
	node_info_remove(n, p);
	cycle_remove_pod(c->cycle, n, p);
}

static void give(const struct plugin_call *c, struct node_info *n, const struct pod_info *p)
{
	node_info_add(n, p);
	cycle_add_pod(c->cycle, n, p);
}

/* Puts back who can stay, the budgets' violations first, each from the most important on. The rest
 * are the victims. */
static void reprieve(const struct plugin_call *c, struct node_info *n, const struct pod_info **pods,
                     size_t n_pods, struct candidate *ret)
{
	bool *violates = arena_array(c->arena, bool, n_pods);
	bool *is_victim = arena_array(c->arena, bool, n_pods);
	find_violations(c, pods, n_pods, violates);
	for (int turn = 1; turn >= 0; turn--)
		for (size_t i = 0; i < n_pods; i++) {
			if (violates[i] != turn)
				continue;
			give(c, n, pods[i]);
			if (fits(c, n, NULL))
				continue;
			take(c, n, pods[i]);
			is_victim[i] = true;
			ret->n_violations += violates[i];
		}
	ret->victims = arena_alloc(c->arena, sizeof(*ret->victims) * n_pods);
	for (size_t i = 0; i < n_pods; i++)
		if (is_victim[i])
			ret->victims[ret->n++] = pods[i];
}

/* True when there are victims; else `why` says what stays in the way. */
static bool try_node(const struct plugin_call *c, struct node_info *node, struct reasons *why,
                     struct candidate *ret)
{
	const struct pod_info **pods =
	    arena_alloc(c->arena, sizeof(*pods) * MAX(node->pods.n, (size_t)1));
	size_t n_pods = 0;
	for (size_t i = 0; i < node->pods.n; i++)
		if (node->pods.at[i]->priority < c->pod->priority)
			pods[n_pods++] = node->pods.at[i];
	if (!n_pods) {
		reasons_add(why, "No preemption victims found for incoming pod");
		return false;
	}
	qsort(pods, n_pods, sizeof(*pods), importance_cmp);
	struct node_info n;
	node_info_copy(&n, node);
	for (size_t i = 0; i < n_pods; i++)
		take(c, &n, pods[i]);
	*ret = (struct candidate){.node = node};
	bool found = fits(c, &n, why);
	if (found)
		reprieve(c, &n, pods, n_pods, ret);
	/* Back to how it is: all that are not on the copy. */
	for (size_t i = 0; i < n_pods; i++) {
		bool there = false;
		for (size_t k = 0; k < n.pods.n && !there; k++)
			there = n.pods.at[k] == pods[i];
		if (!there)
			give(c, &n, pods[i]);
	}
	node_info_copy_deinit(&n);
	return found && ret->n;
}

/* The best candidate */

static int64_t sum_of_priorities(const struct candidate *k)
{
	int64_t sum = 0;
	for (size_t i = 0; i < k->n; i++)
		sum += (int64_t)k->victims[i]->priority + INT32_MAX + 1;
	return sum;
}

/* When the first of the most important victims started. */
static int64_t earliest_start(const struct candidate *k)
{
	int64_t at = INT64_MAX;
	for (size_t i = 0; i < k->n && k->victims[i]->priority == k->victims[0]->priority; i++)
		at = MIN(at, started(k->victims[i]));
	return at;
}

/* Less than 0: a does less harm. */
static int harm_cmp(const struct candidate *a, const struct candidate *b)
{
	if (a->n_violations != b->n_violations)
		return a->n_violations < b->n_violations ? -1 : 1;
	int32_t x = a->victims[0]->priority, y = b->victims[0]->priority;
	if (x != y)
		return x < y ? -1 : 1;
	int64_t s = sum_of_priorities(a), t = sum_of_priorities(b);
	if (s != t)
		return s < t ? -1 : 1;
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	s = earliest_start(a), t = earliest_start(b);
	return s == t ? 0 : s > t ? -1 : 1;
}

/* May the pod preempt at all? NULL, or why not. */
static const char *not_eligible(const struct plugin_call *c, const struct node_status *statuses)
{
	if (c->pod->never_preempts)
		return "not eligible due to preemptionPolicy=Never.";
	const char *name = cluster_nomination(c->cluster, c->pod->key);
	const struct node_info *n = name ? cluster_find(c->cluster, name) : NULL;
	if (!n || statuses[n->order].code == STATUS_UNRESOLVABLE)
		return NULL;
	for (size_t i = 0; i < n->pods.n; i++)
		if (n->pods.at[i]->terminating && n->pods.at[i]->priority < c->pod->priority)
			return "not eligible due to a terminating pod on the nominated node.";
	return NULL;
}

static const char *preemption_message(const struct plugin_call *c, const struct histogram *h,
                                      size_t n_nodes)
{
	return arena_printf(c->arena, "preemption: %s", histogram_fit_error(h, n_nodes));
}

static size_t candidates_wanted(const struct args *args, size_t n)
{
	size_t wanted = MAX(n * (size_t)args->min_percent / 100, (size_t)args->min_absolute);
	return MIN(wanted, n);
}

/* Tries nodes from a random one on until there are enough candidates; keeps the best. */
static bool find_best(const struct plugin_call *c, struct node_info *const *nodes, size_t n,
                      struct histogram *why, struct candidate *best)
{
	size_t wanted = candidates_wanted(c->args, n), found = 0, plain = 0;
	size_t offset = (size_t)rng_below(c->rng, n);
	/* Enough are those that violate no budget. */
	for (size_t i = 0; i < n && plain < wanted; i++) {
		struct candidate one;
		struct reasons reasons = {.arena = c->arena};
		if (!try_node(c, nodes[(offset + i) % n], &reasons, &one)) {
			for (size_t r = 0; r < reasons.n; r++)
				histogram_add(why, reasons.at[r], 1);
			continue;
		}
		plain += !one.n_violations;
		if (!found++ || harm_cmp(&one, best) < 0)
			*best = one;
	}
	return found > 0;
}

static enum status_code post_filter(const struct plugin_call *c, const struct node_status *statuses,
                                    struct post_filter_result *ret)
{
	const char *refusal = not_eligible(c, statuses);
	if (refusal) {
		ret->message = arena_printf(c->arena, "preemption: %s", refusal);
		return STATUS_UNSCHEDULABLE;
	}
	size_t n_nodes, n = 0;
	struct node_info *const *nodes = cluster_nodes(c->cluster, &n_nodes);
	struct node_info **helpful = arena_array(c->arena, struct node_info *, n_nodes);
	for (size_t i = 0; i < n_nodes; i++)
		if (statuses[i].code == STATUS_UNSCHEDULABLE)
			helpful[n++] = nodes[i];
	struct histogram why = {.arena = c->arena};
	struct candidate best = {0};
	ret->set_nominated = true;
	ret->nominated_node = "";
	if (!n || !find_best(c, helpful, n, &why, &best)) {
		if (n < n_nodes)
			histogram_add(&why, "Preemption is not helpful for scheduling",
			              n_nodes - n);
		ret->message = preemption_message(c, &why, n_nodes);
		return STATUS_UNSCHEDULABLE;
	}
	ret->nominated_node = best.node->name;
	ret->preemption = (struct preemption){best.node->name, best.n, best.victims};
	return STATUS_SUCCESS;
}

const struct plugin plugin_default_preemption = {
    .name = "DefaultPreemption", .parse_args = parse_args, .post_filter = post_filter};
