/* SPDX-License-Identifier: Apache-2.0 */
/* InterPodAffinity: which pods a pod must be near to or away from, and prefers to be; rules of the
 * pods that are there already count for the new one, too.
 *
 * A term's pods a domain are sums over nodes of a tally (core/tally.h): of the pods that match a
 * term of the new pod, and of the pods that have a term which the new pod matches. */
#include <string.h>

#include "scheduler/plugins/plugins.h"

struct args {
	int64_t hard_weight;
	bool ignore_existing_preferred;
};

/* Counts of one topology key's domains. */
struct domains {
	const struct topology *topology;
	int32_t *sum; /* by value */
};

struct filter_state {
	/* of the new pod's required terms, term by term */
	struct domains *affinity, *anti_affinity;
	int64_t n_affinity_pods; /* sum of all affinity counts */
	bool matches_itself;
	/* of the terms of pods that are there, key by key */
	uint32_t n_existing, cap_existing;
	struct domains *existing;
};

struct score_domains {
	const struct topology *topology;
	int64_t *score;
};

struct score_state {
	uint32_t n, cap;
	struct score_domains *at;
};

static int parse_args(const struct jvalue *v, struct symbols *s, struct arena *a, const void **ret,
                      struct err *err)
{
	(void)s;
	struct args *args = arena_new(a, struct args);
	args->hard_weight = jvalue_get_int(v, "hardPodAffinityWeight", 1);
	args->ignore_existing_preferred =
	    jvalue_get_bool(v, "ignorePreferredTermsOfExistingPods", false);
	*ret = args;
	if (args->hard_weight < 0 || args->hard_weight > 100)
		return err_set(err, ERR_INVALID,
		               "hardPodAffinityWeight: Invalid value: %lld: not in valid range "
		               "[0, 100]",
		               (long long)args->hard_weight);
	return 0;
}

/* Filter */

static struct domains new_domains(const struct plugin_call *c, uint32_t key)
{
	const struct topology *t = cluster_topology(c->cluster, key);
	return (struct domains){t, arena_array(c->arena, int32_t, topology_size(t))};
}

/* Only nodes that are known have a value. */
static int64_t sum_up(const struct domains *d, const struct tally *t)
{
	int64_t all = 0;
	size_t n = t->total ? MIN(t->count.n, d->topology->value_of.n) : 0;
	const int32_t *count = t->count.at, *value = d->topology->value_of.at;
	for (size_t id = 0; id < n; id++) {
		if (!count[id] || value[id] < 0)
			continue;
		d->sum[value[id]] += count[id];
		all += count[id];
	}
	return all;
}

static struct domains *existing_of(const struct plugin_call *c, struct filter_state *s,
                                   uint32_t key)
{
	for (uint32_t i = 0; i < s->n_existing; i++)
		if (s->existing[i].topology->key == key)
			return &s->existing[i];
	if (s->n_existing == s->cap_existing) {
		uint32_t cap = s->cap_existing ? s->cap_existing * 2 : 4;
		s->existing =
		    arena_grow(c->arena, s->existing, s->n_existing * sizeof(*s->existing),
		               cap * sizeof(*s->existing));
		s->cap_existing = cap;
	}
	s->existing[s->n_existing] = new_domains(c, key);
	return &s->existing[s->n_existing++];
}

static bool matches_all(const struct plugin_call *c, const struct pod_terms *t,
                        const struct pod_info *p)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (!cluster_term_matches(c->cluster, &t->at[i], p))
			return false;
	return t->n > 0;
}

static enum status_code pre_filter(const struct plugin_call *c, struct node_subset *subset,
                                   struct reasons *why)
{
	(void)subset;
	(void)why;
	const struct pod_info *p = c->pod;
	struct filter_state *s = arena_new(c->arena, struct filter_state);
	*c->state = s;
	size_t n_having;
	struct tally *const *having = cluster_having(c->cluster, &n_having);
	for (size_t i = 0; i < n_having; i++)
		if (having[i]->kind == TALLY_HAVING_ANTI_AFFINITY &&
		    cluster_term_matches(c->cluster, having[i]->terms, p))
			sum_up(existing_of(c, s, having[i]->terms->topology_key), having[i]);
	if (p->affinity.n) {
		/* A pod counts for each term when it matches all of them. */
		const struct tally *t =
		    cluster_tally(c->cluster, p->affinity.at, p->affinity.n, false);
		s->affinity = arena_array(c->arena, struct domains, p->affinity.n);
		for (uint32_t i = 0; i < p->affinity.n; i++) {
			s->affinity[i] = new_domains(c, p->affinity.at[i].topology_key);
			s->n_affinity_pods += sum_up(&s->affinity[i], t);
		}
		s->matches_itself = matches_all(c, &p->affinity, p);
	}
	s->anti_affinity = arena_array(c->arena, struct domains, p->anti_affinity.n);
	for (uint32_t i = 0; i < p->anti_affinity.n; i++) {
		s->anti_affinity[i] = new_domains(c, p->anti_affinity.at[i].topology_key);
		sum_up(&s->anti_affinity[i],
		       cluster_tally(c->cluster, &p->anti_affinity.at[i], 1, false));
	}
	return s->n_existing || p->affinity.n || p->anti_affinity.n ? STATUS_SUCCESS : STATUS_SKIP;
}

/* Each term has a matching pod in the node's domain; or the pod is the first of its kind, matches
 * its own terms, and the node has all topology keys. */
static bool satisfies_affinity(const struct filter_state *s, const struct pod_info *p, uint32_t id)
{
	bool all = true;
	for (uint32_t i = 0; i < p->affinity.n; i++) {
		int32_t value = topology_of(s->affinity[i].topology, id);
		if (value < 0)
			return false;
		all &= s->affinity[i].sum[value] > 0;
	}
	return all || (!s->n_affinity_pods && s->matches_itself);
}

static bool is_taken(const struct domains *d, uint32_t n, uint32_t id)
{
	for (uint32_t i = 0; i < n; i++) {
		int32_t value = topology_of(d[i].topology, id);
		if (value >= 0 && d[i].sum[value] > 0)
			return true;
	}
	return false;
}

static enum status_code filter(const struct plugin_call *c, const struct node_info *n,
                               struct reasons *why)
{
	const struct filter_state *s = *c->state;
	if (!s) /* without pre_filter nothing is asked for */
		return STATUS_SUCCESS;
	if (c->pod->affinity.n && !satisfies_affinity(s, c->pod, n->id)) {
		reasons_add(why, "node(s) didn't match pod affinity rules");
		return STATUS_UNRESOLVABLE;
	}
	if (is_taken(s->anti_affinity, c->pod->anti_affinity.n, n->id)) {
		reasons_add(why, "node(s) didn't match pod anti-affinity rules");
		return STATUS_UNSCHEDULABLE;
	}
	if (is_taken(s->existing, s->n_existing, n->id)) {
		reasons_add(why, "node(s) didn't satisfy existing pods anti-affinity rules");
		return STATUS_UNSCHEDULABLE;
	}
	return STATUS_SUCCESS;
}

static int32_t shift_one(const struct domains *d, uint32_t id, int32_t delta)
{
	int32_t value = topology_of(d->topology, id);
	if (value < 0)
		return 0;
	d->sum[value] += delta;
	return delta;
}

static void shift(const struct plugin_call *c, const struct node_info *n, const struct pod_info *p,
                  int32_t delta)
{
	struct filter_state *s = *c->state;
	if (!s)
		return;
	for (uint32_t i = 0; i < p->anti_affinity.n; i++)
		if (cluster_term_matches(c->cluster, &p->anti_affinity.at[i], c->pod))
			shift_one(existing_of(c, s, p->anti_affinity.at[i].topology_key), n->id,
			          delta);
	if (matches_all(c, &c->pod->affinity, p))
		for (uint32_t i = 0; i < c->pod->affinity.n; i++)
			s->n_affinity_pods += shift_one(&s->affinity[i], n->id, delta);
	for (uint32_t i = 0; i < c->pod->anti_affinity.n; i++)
		if (cluster_term_matches(c->cluster, &c->pod->anti_affinity.at[i], p))
			shift_one(&s->anti_affinity[i], n->id, delta);
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

static void add_score(const struct plugin_call *c, struct score_state *s, uint32_t key,
                      const struct tally *t, int64_t weight)
{
	if (!t->total || !weight)
		return;
	uint32_t at = 0;
	while (at < s->n && s->at[at].topology->key != key)
		at++;
	if (at == s->n) {
		if (s->n == s->cap) {
			uint32_t cap = s->cap ? s->cap * 2 : 4;
			s->at = arena_grow(c->arena, s->at, s->n * sizeof(*s->at),
			                   cap * sizeof(*s->at));
			s->cap = cap;
		}
		const struct topology *fresh = cluster_topology(c->cluster, key);
		s->at[s->n++] = (struct score_domains){
		    fresh, arena_array(c->arena, int64_t, topology_size(fresh))};
	}
	const struct topology *topology = s->at[at].topology;
	const int32_t *count = t->count.at, *value = topology->value_of.at;
	size_t n = MIN(t->count.n, topology->value_of.n);
	for (size_t id = 0; id < n; id++)
		if (count[id] && value[id] >= 0)
			s->at[at].score[value[id]] += weight * count[id];
}

static int64_t existing_weight(const struct args *args, const struct tally *t, bool has_preferences)
{
	if (t->kind == TALLY_HAVING_AFFINITY)
		return args->hard_weight;
	if (t->kind != TALLY_HAVING_PREFERRED ||
	    (args->ignore_existing_preferred && !has_preferences))
		return 0;
	return t->weight;
}

static enum status_code pre_score(const struct plugin_call *c, struct node_info *const *nodes,
                                  size_t n)
{
	(void)nodes;
	(void)n;
	const struct pod_info *p = c->pod;
	const struct args *args = c->args;
	struct score_state *s = arena_new(c->arena, struct score_state);
	*c->score_state = s;
	bool has_preferences = p->prefers.n || p->avoids.n;
	if (args->ignore_existing_preferred && !has_preferences)
		return STATUS_SKIP;
	for (uint32_t i = 0; i < p->prefers.n; i++)
		add_score(c, s, p->prefers.at[i].topology_key,
		          cluster_tally(c->cluster, &p->prefers.at[i], 1, false),
		          p->prefers.at[i].weight);
	for (uint32_t i = 0; i < p->avoids.n; i++)
		add_score(c, s, p->avoids.at[i].topology_key,
		          cluster_tally(c->cluster, &p->avoids.at[i], 1, false),
		          -(int64_t)p->avoids.at[i].weight);
	size_t n_having;
	struct tally *const *having = cluster_having(c->cluster, &n_having);
	for (size_t i = 0; i < n_having; i++) {
		int64_t weight = existing_weight(args, having[i], has_preferences);
		if (weight && cluster_term_matches(c->cluster, having[i]->terms, p))
			add_score(c, s, having[i]->terms->topology_key, having[i], weight);
	}
	return s->n ? STATUS_SUCCESS : STATUS_SKIP;
}

static int64_t score(const struct plugin_call *c, const struct node_info *n)
{
	const struct score_state *s = *c->score_state;
	int64_t sum = 0;
	for (uint32_t i = 0; s && i < s->n; i++) {
		int32_t value = topology_of(s->at[i].topology, n->id);
		sum += value < 0 ? 0 : s->at[i].score[value];
	}
	return sum;
}

static void normalize(const struct plugin_call *c, struct node_info *const *nodes, int64_t *scores,
                      size_t n)
{
	(void)c;
	(void)nodes;
	int64_t least = INT64_MAX, largest = INT64_MIN;
	for (size_t i = 0; i < n; i++) {
		least = MIN(least, scores[i]);
		largest = MAX(largest, scores[i]);
	}
	for (size_t i = 0; i < n; i++)
		scores[i] = largest > least
		                ? (int64_t)((double)SCORE_MAX * ((double)(scores[i] - least) /
		                                                 (double)(largest - least)))
		                : 0;
}

/* Hints */

static bool any_matches(const struct hint_call *c, const struct pod_terms *t,
                        const struct pod_info *p)
{
	for (uint32_t i = 0; p && i < t->n; i++)
		if (cluster_term_matches(c->cluster, &t->at[i], p))
			return true;
	return false;
}

static bool all_match(const struct hint_call *c, const struct pod_terms *t,
                      const struct pod_info *p)
{
	for (uint32_t i = 0; p && i < t->n; i++)
		if (!cluster_term_matches(c->cluster, &t->at[i], p))
			return false;
	return p && t->n;
}

/* Did the pod keep the waiting one away? */
static bool keeps_away(const struct hint_call *c, const struct pod_info *p)
{
	return any_matches(c, &c->pod->anti_affinity, p) ||
	       (p && any_matches(c, &p->anti_affinity, c->pod));
}

static enum hint on_pod(const struct hint_call *c, const struct event *e)
{
	if (e->pod && !strcmp(e->pod->key, c->pod->key))
		return HINT_QUEUE;
	bool came =
	    all_match(c, &c->pod->affinity, e->pod) && !all_match(c, &c->pod->affinity, e->old_pod);
	/* That the last pod to be near to goes may make the waiting one the first of its kind. */
	bool went = !e->pod && all_match(c, &c->pod->affinity, e->old_pod);
	bool freed = keeps_away(c, e->old_pod) && !keeps_away(c, e->pod);
	return came || went || freed ? HINT_QUEUE : HINT_SKIP;
}

static bool has_keys(const struct hint_call *c, const struct node_spec *n)
{
	for (uint32_t i = 0; n && i < c->pod->affinity.n; i++)
		if (!label_value(&n->labels, c->pod->affinity.at[i].topology_key))
			return false;
	return n != NULL;
}

static bool values_differ(const struct pod_terms *t, const struct node_spec *old,
                          const struct node_spec *n)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (label_value(&old->labels, t->at[i].topology_key) !=
		    label_value(&n->labels, t->at[i].topology_key))
			return true;
	return false;
}

/* Did the value change of a key by which pods that are there keep the waiting one away? */
static bool existing_differ(const struct hint_call *c, const struct node_spec *old,
                            const struct node_spec *n)
{
	size_t n_having;
	struct tally *const *having = cluster_having(c->cluster, &n_having);
	for (size_t i = 0; i < n_having; i++) {
		const struct pod_term *t = having[i]->terms;
		if (having[i]->kind == TALLY_HAVING_ANTI_AFFINITY &&
		    label_value(&old->labels, t->topology_key) !=
		        label_value(&n->labels, t->topology_key) &&
		    cluster_term_matches(c->cluster, t, c->pod))
			return true;
	}
	return false;
}

static enum hint on_node(const struct hint_call *c, const struct event *e)
{
	if (!e->node) /* pods that were there do not count any more */
		return HINT_QUEUE;
	if (!e->old_node)
		return has_keys(c, e->node) ? HINT_QUEUE : HINT_SKIP;
	return values_differ(&c->pod->affinity, e->old_node, e->node) ||
	               values_differ(&c->pod->anti_affinity, e->old_node, e->node) ||
	               existing_differ(c, e->old_node, e->node)
	           ? HINT_QUEUE
	           : HINT_SKIP;
}

static const struct plugin_event events[] = {
    {EVENT_POD_ADD | EVENT_POD_LABEL | EVENT_POD_DELETE, on_pod},
    {EVENT_NODE_ADD | EVENT_NODE_DELETE | EVENT_NODE_LABEL, on_node},
    {EVENT_NAMESPACE, NULL},
    {0}};

const struct plugin plugin_pod_affinity = {
    .name = "InterPodAffinity",
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
