/* SPDX-License-Identifier: Apache-2.0 */
/* NodeResourcesFit: what the pod asks for is free on the node; scored by a strategy: LeastAllocated
 * spreads load, MostAllocated packs it, RequestedToCapacityRatio follows a given shape. */
#include <string.h>

#include "scheduler/plugins/allocation.h"

enum strategy { LEAST_ALLOCATED, MOST_ALLOCATED, CAPACITY_RATIO };

struct shape_point {
	int64_t utilization, score; /* 0..100 each */
};

struct args {
	enum strategy strategy;
	struct weighted_resources resources;
	uint32_t n_shape, n_ignored, n_groups;
	struct shape_point *shape;
	uint32_t *ignored;
	const char **groups; /* "example.com/": with the slash */
};

/* Arguments */

static int parse_shape(const struct jvalue *list, struct arena *a, struct args *args,
                       struct err *err)
{
	if (!jvalue_is(list, JVALUE_ARRAY) || !list->n)
		return err_set(err, ERR_INVALID,
		               "scoringStrategy.requestedToCapacityRatio.shape: Required value: at "
		               "least one point must be specified");
	args->n_shape = list->n;
	args->shape = arena_array(a, struct shape_point, list->n);
	for (uint32_t i = 0; i < list->n; i++) {
		int64_t at = jvalue_get_int(jvalue_at(list, i), "utilization", 0);
		int64_t score = jvalue_get_int(jvalue_at(list, i), "score", 0);
		if (at < 0 || at > 100 || score < 0 || score > 10 ||
		    (i && at <= args->shape[i - 1].utilization))
			return err_set(err, ERR_INVALID,
			               "scoringStrategy.requestedToCapacityRatio.shape[%u]: "
			               "utilization must rise within [0, 100] and score be in "
			               "[0, 10]",
			               i);
		args->shape[i] = (struct shape_point){at, score * (SCORE_MAX / 10)};
	}
	return 0;
}

static int parse_strategy(const struct jvalue *v, struct symbols *s, struct arena *a,
                          struct args *args, struct err *err)
{
	static const char *const names[] = {"LeastAllocated", "MostAllocated",
	                                    "RequestedToCapacityRatio"};
	const char *type = jvalue_get_str(v, "type", "LeastAllocated");
	size_t i = 0;
	while (i < ARRAY_LEN(names) && strcmp(type, names[i]) != 0)
		i++;
	if (i == ARRAY_LEN(names))
		return err_set(err, ERR_INVALID, "scoringStrategy.type: Unsupported value: \"%s\"",
		               type);
	args->strategy = (enum strategy)i;
	int r = allocation_parse(jvalue_get(v, "resources"), s, a, &args->resources, err);
	if (!r && args->strategy == CAPACITY_RATIO)
		r = parse_shape(jvalue_path(v, "requestedToCapacityRatio.shape"), a, args, err);
	return r;
}

static bool is_list_of_texts(const struct jvalue *v)
{
	if (v && v->kind != JVALUE_ARRAY)
		return false;
	for (uint32_t i = 0; v && i < v->n; i++)
		if (!jvalue_is(v->items[i], JVALUE_STRING))
			return false;
	return true;
}

static int parse_args(const struct jvalue *v, struct symbols *s, struct arena *a, const void **ret,
                      struct err *err)
{
	struct args *args = arena_new(a, struct args);
	const struct jvalue *ignored = jvalue_get(v, "ignoredResources");
	const struct jvalue *groups = jvalue_get(v, "ignoredResourceGroups");
	*ret = args;
	if (!is_list_of_texts(ignored) || !is_list_of_texts(groups))
		return err_set(err, ERR_INVALID,
		               "ignoredResources, ignoredResourceGroups: must be lists of strings");
	args->n_ignored = ignored ? ignored->n : 0;
	args->ignored = arena_array(a, uint32_t, args->n_ignored);
	for (uint32_t i = 0; i < args->n_ignored; i++)
		args->ignored[i] = symbols_get(s, ignored->items[i]->str);
	args->n_groups = groups ? groups->n : 0;
	args->groups = arena_array(a, const char *, args->n_groups);
	for (uint32_t i = 0; i < args->n_groups; i++)
		args->groups[i] = arena_printf(a, "%s/", groups->items[i]->str);
	return parse_strategy(jvalue_get(v, "scoringStrategy"), s, a, args, err);
}

/* Filter */

static bool is_ignored(const struct args *args, uint32_t name, const struct symbols *s)
{
	for (uint32_t i = 0; i < args->n_ignored; i++)
		if (args->ignored[i] == name)
			return true;
	const char *text = symbols_text(s, name);
	for (uint32_t i = 0; i < args->n_groups; i++)
		if (!strncmp(text, args->groups[i], strlen(args->groups[i])))
			return true;
	return false;
}

/* Adds to *code what one resource says: too little is left, or there never was enough. */
static bool lacks(int64_t ask, int64_t total, int64_t used, enum status_code *code)
{
	if (ask <= 0 || ask <= total - used)
		return false;
	if (ask > total)
		*code = STATUS_UNRESOLVABLE;
	else if (*code == STATUS_SUCCESS)
		*code = STATUS_UNSCHEDULABLE;
	return true;
}

static enum status_code fits(const struct args *args, const struct pod_info *p,
                             const struct resources *all, const struct resources *used,
                             size_t n_pods, const struct symbols *s, struct reasons *why)
{
	enum status_code code = STATUS_SUCCESS;
	const struct resources *ask = &p->requests;
	if ((int64_t)n_pods + 1 > all->pods) {
		reasons_add(why, "Too many pods");
		code = STATUS_UNSCHEDULABLE;
	}
	if (lacks(ask->milli_cpu, all->milli_cpu, used->milli_cpu, &code))
		reasons_add(why, "Insufficient cpu");
	if (lacks(ask->memory, all->memory, used->memory, &code))
		reasons_add(why, "Insufficient memory");
	if (lacks(ask->ephemeral_storage, all->ephemeral_storage, used->ephemeral_storage, &code))
		reasons_add(why, "Insufficient ephemeral-storage");
	for (size_t i = 0; i < ask->n_scalars; i++) {
		uint32_t name = ask->scalars[i].name;
		if (is_ignored(args, name, s) ||
		    !lacks(ask->scalars[i].amount, resources_scalar(all, name),
		           resources_scalar(used, name), &code))
			continue;
		if (why)
			reasons_add(why, arena_printf(why->arena, "Insufficient %s",
			                              symbols_text(s, name)));
	}
	return code;
}

static enum status_code filter(const struct plugin_call *c, const struct node_info *n,
                               struct reasons *why)
{
	return fits(c->args, c->pod, &n->allocatable, &n->requested, n->pods.n, c->symbols, why);
}

/* Score */

static int64_t least(int64_t total, int64_t used)
{
	return used > total ? 0 : (int64_t)((__int128)(total - used) * SCORE_MAX / total);
}

static int64_t most(int64_t total, int64_t used)
{
	return used > total ? SCORE_MAX : (int64_t)((__int128)used * SCORE_MAX / total);
}

/* The line through the points of the shape, flat beyond its ends. */
static int64_t on_shape(const struct args *a, int64_t utilization)
{
	for (uint32_t i = 0; i < a->n_shape; i++) {
		const struct shape_point *p = &a->shape[i];
		if (utilization > p->utilization)
			continue;
		if (!i)
			return p->score;
		const struct shape_point *q = p - 1;
		return q->score + (p->score - q->score) * (utilization - q->utilization) /
		                      (p->utilization - q->utilization);
	}
	return a->shape[a->n_shape - 1].score;
}

static int64_t ratio(const struct args *a, int64_t total, int64_t used)
{
	return on_shape(a, used > total ? 100 : (int64_t)((__int128)used * 100 / total));
}

static int64_t score(const struct plugin_call *c, const struct node_info *n)
{
	const struct args *args = c->args;
	int64_t sum = 0, weights = 0;
	for (uint32_t i = 0; i < args->resources.n; i++) {
		const struct weighted_resource *r = &args->resources.at[i];
		struct allocation a = allocation_of(c, n, r, true);
		if (a.total <= 0)
			continue;
		int64_t one = args->strategy == LEAST_ALLOCATED  ? least(a.total, a.used)
		              : args->strategy == MOST_ALLOCATED ? most(a.total, a.used)
		                                                 : ratio(args, a.total, a.used);
		if (args->strategy == CAPACITY_RATIO && one <= 0)
			continue;
		sum += one * r->weight;
		weights += r->weight;
	}
	if (!weights)
		return 0;
	if (args->strategy == CAPACITY_RATIO)
		return (2 * sum + weights) / (2 * weights);
	return sum / weights;
}

/* Hints */

static bool would_fit(const struct hint_call *c, const struct node_spec *n)
{
	static const struct resources none;
	return fits(c->args, c->pod, &n->allocatable, &none, 0, c->symbols, NULL) == STATUS_SUCCESS;
}

/* Did the node get more of anything that the pod asks for? */
static bool has_more(const struct pod_info *p, const struct resources *old,
                     const struct resources *now)
{
	const struct resources *ask = &p->requests;
	if (now->pods > old->pods || (ask->milli_cpu && now->milli_cpu > old->milli_cpu) ||
	    (ask->memory && now->memory > old->memory) ||
	    (ask->ephemeral_storage && now->ephemeral_storage > old->ephemeral_storage))
		return true;
	for (size_t i = 0; i < ask->n_scalars; i++)
		if (resources_scalar(now, ask->scalars[i].name) >
		    resources_scalar(old, ask->scalars[i].name))
			return true;
	return false;
}

static enum hint on_node(const struct hint_call *c, const struct event *e)
{
	if (!would_fit(c, e->node))
		return HINT_SKIP;
	if (!e->old_node || has_more(c->pod, &e->old_node->allocatable, &e->node->allocatable))
		return HINT_QUEUE;
	return HINT_SKIP;
}

/* A pod that scaled down frees something that the waiting pod asks for. */
static enum hint on_scale_down(const struct hint_call *c, const struct event *e)
{
	if (e->pod && !strcmp(e->pod->key, c->pod->key))
		return HINT_QUEUE;
	if (!e->old_pod || !e->pod)
		return HINT_SKIP;
	return has_more(c->pod, &e->pod->requests, &e->old_pod->requests) ? HINT_QUEUE : HINT_SKIP;
}

static const struct plugin_event events[] = {{EVENT_POD_DELETE, NULL},
                                             {EVENT_POD_SCALE_DOWN, on_scale_down},
                                             {EVENT_NODE_ADD | EVENT_NODE_ALLOCATABLE, on_node},
                                             {0}};

const struct plugin plugin_fit = {
    .name = "NodeResourcesFit",
    .weight = 1,
    .parse_args = parse_args,
    .filter = filter,
    .score = score,
    .events = events,
};
