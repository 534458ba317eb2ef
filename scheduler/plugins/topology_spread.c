/* SPDX-License-Identifier: Apache-2.0 */
/* PodTopologySpread: the pods that a constraint selects are spread over the domains of its topology
 * key (KEP-895). DoNotSchedule constraints filter, ScheduleAnyway ones score. A pod without
 * constraints of its own gets the profile's defaults, over the pods of its service or workload.
 *
 * Counts a domain are sums over nodes of a tally of matching pods (core/tally.h). */
#include <string.h>

#include "scheduler/plugins/plugins.h"

struct args {
	bool system_defaults;
	uint32_t n;
	struct spread *defaults; /* selectors are the pod's */
};

/* One constraint in a cycle. */
struct counted {
	const struct spread *spread;
	const struct topology *topology;
	const struct tally *tally;
	int32_t *sum;  /* by value; -1: no eligible node has it */
	int32_t least; /* smallest of the sums */
	int32_t n_domains;
	bool stale;      /* least is to be found anew */
	bool self;       /* the pod itself is selected */
	bool hostname;   /* scored by the node's own count */
	bool needs_node; /* whether a node counts depends on more than its labels' keys */
	double weight;   /* of a score */
};

struct state {
	uint32_t n;
	struct counted *at;
	bool need_all_keys;
};

/* Arguments */

static const struct {
	const char *key;
	int32_t max_skew;
} system_defaults[] = {{"kubernetes.io/hostname", 3}, {"topology.kubernetes.io/zone", 5}};

static void set_default(struct spread *to, struct symbols *s, const char *key, int64_t max_skew,
                        bool hard)
{
	*to = (struct spread){
	    .topology_key = symbols_get(s, key),
	    .max_skew = (int32_t)max_skew,
	    .min_domains = 1,
	    .hard = hard,
	    .honor_affinity = true,
	};
}

static int parse_args(const struct jvalue *v, struct symbols *s, struct arena *a, const void **ret,
                      struct err *err)
{
	struct args *args = arena_new(a, struct args);
	const struct jvalue *list = jvalue_get(v, "defaultConstraints");
	const char *type = jvalue_get_str(v, "defaultingType", "System");
	*ret = args;
	if (list && list->kind != JVALUE_ARRAY)
		return err_set(err, ERR_INVALID, "defaultConstraints: must be a list");
	args->system_defaults = !strcmp(type, "System");
	if (!args->system_defaults && strcmp(type, "List") != 0)
		return err_set(err, ERR_INVALID, "defaultingType: Unsupported value: \"%s\"", type);
	if (args->system_defaults) {
		if (list && list->n)
			return err_set(err, ERR_INVALID,
			               "defaultingType: Invalid value: \"System\": when "
			               ".defaultConstraints are not empty");
		args->n = ARRAY_LEN(system_defaults);
		args->defaults = arena_array(a, struct spread, args->n);
		for (uint32_t i = 0; i < args->n; i++)
			set_default(&args->defaults[i], s, system_defaults[i].key,
			            system_defaults[i].max_skew, false);
		return 0;
	}
	args->n = list ? list->n : 0;
	args->defaults = arena_array(a, struct spread, args->n);
	for (uint32_t i = 0; i < args->n; i++) {
		const struct jvalue *one = jvalue_at(list, i);
		int64_t skew = jvalue_get_int(one, "maxSkew", 0);
		const char *when = jvalue_get_str(one, "whenUnsatisfiable", "");
		if (skew < 1 || !*jvalue_get_str(one, "topologyKey", ""))
			return err_set(err, ERR_INVALID,
			               "defaultConstraints[%u]: maxSkew must be greater than zero "
			               "and topologyKey not empty",
			               i);
		set_default(&args->defaults[i], s, jvalue_get_str(one, "topologyKey", ""), skew,
		            !strcmp(when, "DoNotSchedule"));
	}
	return 0;
}

/* What filter and score share */

/* The pod's constraints of one kind, or the profile's. */
static uint32_t constraints_of(const struct plugin_call *c, bool hard, const struct spread **ret)
{
	const struct pod_info *p = c->pod;
	const struct args *args = c->args;
	uint32_t n = p->n_spreads ? p->n_spreads : args->n, kept = 0;
	const struct spread *from = p->n_spreads ? p->spreads : args->defaults;
	bool any = false;
	for (uint32_t i = 0; i < n; i++)
		any |= from[i].hard == hard;
	*ret = NULL;
	if (!any)
		return 0;
	struct selector selector;
	if (!p->n_spreads && !cluster_default_selector(c->cluster, p, c->arena, &selector))
		return 0;
	struct spread *at = arena_array(c->arena, struct spread, n);
	for (uint32_t i = 0; i < n; i++) {
		if (from[i].hard != hard)
			continue;
		at[kept] = from[i];
		if (!p->n_spreads)
			at[kept].selector = selector;
		kept++;
	}
	*ret = at;
	return kept;
}

static struct state *new_state(const struct plugin_call *c, const struct spread *at, uint32_t n)
{
	struct state *s = arena_new(c->arena, struct state);
	s->n = n;
	s->at = arena_array(c->arena, struct counted, n);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t ns = c->pod->ns;
		struct pod_term t = {
		    .n_namespaces = 1, .namespaces = &ns, .selector = at[i].selector};
		struct counted *k = &s->at[i];
		k->spread = &at[i];
		k->topology = cluster_topology(c->cluster, at[i].topology_key);
		k->tally = cluster_tally(c->cluster, &t, 1, true);
		k->needs_node = at[i].honor_taints ||
		                (at[i].honor_affinity &&
		                 (c->pod->node_selector.n || c->pod->has_required_node_terms));
		k->self = selector_matches(&at[i].selector, &c->pod->labels, c->symbols);
		size_t size = topology_size(k->topology);
		k->sum = arena_alloc(c->arena, sizeof(*k->sum) * size);
		memset(k->sum, 0xff, sizeof(*k->sum) * size);
	}
	return s;
}

static bool has_all_keys(const struct state *s, uint32_t node_id)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (topology_of(s->at[i].topology, node_id) < 0)
			return false;
	return true;
}

/* Do the constraint's policies count the node? */
static bool is_eligible(const struct plugin_call *c, const struct counted *k,
                        const struct node_spec *n)
{
	const struct spread *s = k->spread;
	if (!k->needs_node)
		return true;
	if (s->honor_affinity && !node_matches_pod(n, c->pod))
		return false;
	return !s->honor_taints ||
	       !node_untolerated(n, c->pod, EFFECT_NO_SCHEDULE | EFFECT_NO_EXECUTE);
}

static void find_least(struct counted *k)
{
	size_t size = topology_size(k->topology);
	k->least = INT32_MAX;
	k->n_domains = 0;
	for (size_t v = 0; v < size; v++) {
		if (k->sum[v] < 0)
			continue;
		k->n_domains++;
		k->least = MIN(k->least, k->sum[v]);
	}
	k->stale = false;
}

/* Filter */

static enum status_code pre_filter(const struct plugin_call *c, struct node_subset *subset,
                                   struct reasons *why)
{
	(void)subset;
	(void)why;
	const struct spread *hard;
	uint32_t n = constraints_of(c, true, &hard);
	if (!n)
		return STATUS_SKIP;
	struct state *s = new_state(c, hard, n);
	*c->state = s;
	/* Only nodes that are known have values. */
	uint32_t n_ids = cluster_n_ids(c->cluster);
	for (uint32_t id = 0; id < n_ids; id++) {
		if (!has_all_keys(s, id))
			continue;
		for (uint32_t i = 0; i < n; i++) {
			struct counted *k = &s->at[i];
			if (k->needs_node &&
			    !is_eligible(c, k, cluster_by_id(c->cluster, id)->spec))
				continue;
			int32_t *sum = &k->sum[topology_of(k->topology, id)];
			*sum = MAX(*sum, 0) + tally_at(k->tally, id);
		}
	}
	for (uint32_t k = 0; k < n; k++)
		find_least(&s->at[k]);
	return STATUS_SUCCESS;
}

static enum status_code filter(const struct plugin_call *c, const struct node_info *n,
                               struct reasons *why)
{
	struct state *s = *c->state;
	for (uint32_t i = 0; s && i < s->n; i++) { /* without pre_filter nothing is asked for */
		struct counted *k = &s->at[i];
		int32_t value = topology_of(k->topology, n->id);
		if (value < 0) {
			reasons_add(why, "node(s) didn't match pod topology spread constraints "
			                 "(missing required label)");
			return STATUS_UNRESOLVABLE;
		}
		if (k->stale)
			find_least(k);
		int64_t least = k->n_domains < k->spread->min_domains ? 0 : k->least;
		int64_t there = MAX(k->sum[value], 0);
		if (there + k->self - least > k->spread->max_skew) {
			reasons_add(why, "node(s) didn't match pod topology spread constraints");
			return STATUS_UNSCHEDULABLE;
		}
	}
	return STATUS_SUCCESS;
}

static void shift(const struct plugin_call *c, const struct node_info *n, const struct pod_info *p,
                  int32_t delta)
{
	struct state *s = *c->state;
	if (!s || p->ns != c->pod->ns || p->terminating || !has_all_keys(s, n->id))
		return;
	for (uint32_t i = 0; i < s->n; i++) {
		struct counted *k = &s->at[i];
		if (!selector_matches(&k->spread->selector, &p->labels, c->symbols) ||
		    !is_eligible(c, k, n->spec))
			continue;
		int32_t *sum = &k->sum[topology_of(k->topology, n->id)];
		if (*sum < 0)
			continue;
		if (*sum == k->least && delta > 0)
			k->stale = true;
		*sum += delta;
		k->least = MIN(k->least, *sum);
	}
}

static void add_pod(const struct plugin_call *c, const struct node_info *n,
                    const struct pod_info *p)
{
	shift(c, n, p, 1);
}

static void remove_pod(const struct plugin_call *c, const struct node_info *n,
                       const struct pod_info *p)
{
	shift(c, n, p, -1);
}

/* Score */

/* Natural logarithm, for x >= 1 (ln x = 2 artanh((m - 1) / (m + 1)) + e ln 2). */
static double natural_log(double x)
{
	int e = 0;
	for (; x > 1.5; e++)
		x /= 2;
	double y = (x - 1) / (x + 1), square = y * y, power = y, sum = 0;
	for (int i = 1; i < 60; i += 2, power *= square)
		sum += power / i;
	return 2 * sum + e * 0.693147180559945309417;
}

/* Domains with a candidate node get a count; the weight evens out large and small topologies. */
static void find_domains(const struct plugin_call *c, struct state *s,
                         struct node_info *const *nodes, size_t n)
{
	uint32_t hostname = symbols_find(c->symbols, "kubernetes.io/hostname");
	size_t ignored = 0;
	for (size_t i = 0; i < n; i++) {
		if (s->need_all_keys && !has_all_keys(s, nodes[i]->id)) {
			ignored++;
			continue;
		}
		for (uint32_t k = 0; k < s->n; k++) {
			int32_t value = topology_of(s->at[k].topology, nodes[i]->id);
			if (value >= 0)
				s->at[k].sum[value] = 0;
		}
	}
	for (uint32_t k = 0; k < s->n; k++) {
		struct counted *one = &s->at[k];
		one->hostname = hostname && one->spread->topology_key == hostname;
		size_t size = 0;
		for (size_t v = 0; !one->hostname && v < topology_size(one->topology); v++)
			size += one->sum[v] == 0;
		if (one->hostname)
			size = n - ignored;
		one->weight = natural_log((double)(size + 2));
	}
}

/* Adds up the pods of the domains that have a candidate. */
static void sum_domains(const struct plugin_call *c, const struct state *s, struct counted *k)
{
	size_t n = MIN(k->tally->count.n, k->topology->value_of.n);
	for (uint32_t id = 0; id < n; id++) {
		int32_t here = k->tally->count.at[id], value = k->topology->value_of.at[id];
		if (value < 0 || !here || k->sum[value] < 0 ||
		    (s->need_all_keys && !has_all_keys(s, id)))
			continue;
		if (!k->needs_node || is_eligible(c, k, cluster_by_id(c->cluster, id)->spec))
			k->sum[value] += here;
	}
}

static enum status_code pre_score(const struct plugin_call *c, struct node_info *const *nodes,
                                  size_t n)
{
	const struct args *args = c->args;
	const struct spread *soft;
	uint32_t n_soft = constraints_of(c, false, &soft);
	if (!n_soft)
		return STATUS_SKIP;
	struct state *s = new_state(c, soft, n_soft);
	*c->score_state = s;
	s->need_all_keys = c->pod->n_spreads || !args->system_defaults;
	find_domains(c, s, nodes, n);
	for (uint32_t i = 0; i < n_soft; i++)
		if (!s->at[i].hostname)
			sum_domains(c, s, &s->at[i]);
	return STATUS_SUCCESS;
}

static int64_t score(const struct plugin_call *c, const struct node_info *n)
{
	const struct state *s = *c->score_state;
	if (!s || (s->need_all_keys && !has_all_keys(s, n->id)))
		return 0;
	double sum = 0;
	for (uint32_t k = 0; k < s->n; k++) {
		const struct counted *one = &s->at[k];
		int32_t value = topology_of(one->topology, n->id);
		if (value < 0)
			continue;
		int32_t count = one->hostname ? tally_at(one->tally, n->id) : one->sum[value];
		sum += (double)count * one->weight + (double)(one->spread->max_skew - 1);
	}
	return (int64_t)(sum + 0.5);
}

static void normalize(const struct plugin_call *c, struct node_info *const *nodes, int64_t *scores,
                      size_t n)
{
	const struct state *s = *c->score_state;
	int64_t least = INT64_MAX, largest = 0;
	for (size_t i = 0; i < n; i++) {
		if (!s || (s->need_all_keys && !has_all_keys(s, nodes[i]->id))) {
			scores[i] = -1;
			continue;
		}
		least = MIN(least, scores[i]);
		largest = MAX(largest, scores[i]);
	}
	for (size_t i = 0; i < n; i++)
		scores[i] = scores[i] < 0 ? 0
		            : !largest    ? SCORE_MAX
		                          : SCORE_MAX * (largest + least - scores[i]) / largest;
}

/* Hints */

static bool selects(const struct hint_call *c, const struct pod_info *p)
{
	if (p->ns != c->pod->ns)
		return false;
	if (!c->pod->n_spreads) /* the profile's constraints: any pod may count */
		return true;
	for (uint32_t i = 0; i < c->pod->n_spreads; i++)
		if (c->pod->spreads[i].hard &&
		    selector_matches(&c->pod->spreads[i].selector, &p->labels, c->symbols))
			return true;
	return false;
}

static enum hint on_pod(const struct hint_call *c, const struct event *e)
{
	if (e->pod && !strcmp(e->pod->key, c->pod->key))
		return HINT_QUEUE;
	bool was = e->old_pod && selects(c, e->old_pod), is = e->pod && selects(c, e->pod);
	/* An update counts when the pod became selected or stopped to be. */
	return (e->old_pod && e->pod ? was != is : was || is) ? HINT_QUEUE : HINT_SKIP;
}

static bool has_keys(const struct hint_call *c, const struct node_spec *n)
{
	for (uint32_t i = 0; n && i < c->pod->n_spreads; i++)
		if (c->pod->spreads[i].hard &&
		    !label_value(&n->labels, c->pod->spreads[i].topology_key))
			return false;
	return n != NULL;
}

static enum hint on_node(const struct hint_call *c, const struct event *e)
{
	return has_keys(c, e->node) || has_keys(c, e->old_node) ? HINT_QUEUE : HINT_SKIP;
}

static const struct plugin_event events[] = {
    {EVENT_POD_ADD | EVENT_POD_LABEL | EVENT_POD_DELETE, on_pod},
    {EVENT_NODE_ADD | EVENT_NODE_DELETE | EVENT_NODE_LABEL | EVENT_NODE_TAINT, on_node},
    {EVENT_POD_TOLERATION, NULL},
    {0}};

const struct plugin plugin_topology_spread = {
    .name = "PodTopologySpread",
    .weight = 2,
    .parse_args = parse_args,
    .pre_filter = pre_filter,
    .add_pod = add_pod,
    .remove_pod = remove_pod,
    .filter = filter,
    .pre_score = pre_score,
    .score = score,
    .normalize = normalize,
    .events = events,
};
