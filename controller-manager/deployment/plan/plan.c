/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/deployment/plan/plan.h"

#include <string.h>

#include "controller-manager/base/plan/rounding.h"
#include "controller-manager/deployment/plan/internal.h"
#include "proto/meta_labels.h"

#define REVISION "deployment.kubernetes.io/revision"
#define MAX_REPLICAS "deployment.kubernetes.io/max-replicas"
#define DESIRED_REPLICAS "deployment.kubernetes.io/desired-replicas"

struct planner {
	const struct deployment_input *in;
	const AppsV1__Deployment *d;
	const AppsV1__ReplicaSet *newest; /* NULL while it has to be made */
	const AppsV1__ReplicaSet **old;   /* oldest first */
	size_t n_old;
	int32_t replicas, surge, unavailable;
	struct arena *arena;
	struct deployment_plan *out;
};

static int32_t desired(const AppsV1__Deployment *d)
{
	return d->spec->has_replicas ? d->spec->replicas : 1;
}

static bool is_rolling(const AppsV1__Deployment *d)
{
	return !d->spec->strategy || strcmp(d->spec->strategy->type, "Recreate");
}

void deployment_limits(const AppsV1__Deployment *d, int32_t *ret_surge, int32_t *ret_unavailable)
{
	const AppsV1__RollingUpdateDeployment *r =
	    d->spec->strategy ? d->spec->strategy->rolling_update : NULL;
	int32_t total = desired(d);
	*ret_surge = *ret_unavailable = 0;
	if (!is_rolling(d))
		return;
	*ret_surge = r ? int_or_percent(r->max_surge, total, true) : 0;
	*ret_unavailable = r ? int_or_percent(r->max_unavailable, total, false) : 0;
	if (!*ret_surge && !*ret_unavailable)
		*ret_unavailable = 1;
	if (*ret_unavailable > total)
		*ret_unavailable = total;
}

struct totals totals_of(const struct deployment_input *in)
{
	struct totals t = {0};
	for (size_t i = 0; i < in->n_sets; i++) {
		const AppsV1__ReplicaSet *rs = in->sets[i];
		t.desired += desired_of(rs);
		t.replicas += rs->status->replicas;
		t.ready += rs->status->ready_replicas;
		t.available += rs->status->available_replicas;
	}
	return t;
}

static int64_t revision_of(const MetaV1__ObjectMeta *meta)
{
	const char *text = meta_annotation(meta, REVISION);
	return text ? strtoll(text, NULL, 10) : 0;
}

static int age_cmp(const void *x, const void *y)
{
	const AppsV1__ReplicaSet *a = *(const AppsV1__ReplicaSet *const *)x;
	const AppsV1__ReplicaSet *b = *(const AppsV1__ReplicaSet *const *)y;
	int64_t ta = a->metadata->creation_timestamp ? a->metadata->creation_timestamp->seconds : 0;
	int64_t tb = b->metadata->creation_timestamp ? b->metadata->creation_timestamp->seconds : 0;
	return ta != tb ? (ta < tb ? -1 : 1) : strcmp(a->metadata->name, b->metadata->name);
}

/* The plan's entry for a set, made with its present number. */
static struct deployment_scale *entry(struct planner *p, const AppsV1__ReplicaSet *set)
{
	struct deployment_plan *o = p->out;
	for (size_t i = 0; i < o->n_scale; i++)
		if (o->scale[i].set == set)
			return &o->scale[i];
	o->scale[o->n_scale] = (struct deployment_scale){.set = set, .replicas = desired_of(set)};
	return &o->scale[o->n_scale++];
}

static void scale_to(struct planner *p, const AppsV1__ReplicaSet *set, int32_t replicas)
{
	if (desired_of(set) == replicas)
		return;
	struct deployment_scale *s = entry(p, set);
	s->replicas = replicas;
	s->scaled = true;
	s->up = replicas > desired_of(set);
}

static int32_t planned(const struct planner *p, const AppsV1__ReplicaSet *rs)
{
	for (size_t i = 0; i < p->out->n_scale; i++)
		if (p->out->scale[i].set == rs)
			return p->out->scale[i].replicas;
	return desired_of(rs);
}

/* The new set */

static int64_t next_revision(const struct planner *p)
{
	int64_t max = 0;
	for (size_t i = 0; i < p->n_old; i++)
		if (revision_of(p->old[i]->metadata) > max)
			max = revision_of(p->old[i]->metadata);
	return max + 1;
}

/* How many replicas the new set may have now. */
static int32_t new_set_size(const struct planner *p)
{
	int32_t have = p->newest ? desired_of(p->newest) : 0;
	if (!is_rolling(p->d) || have >= p->replicas)
		return p->replicas;
	int32_t total = totals_of(p->in).desired, most = p->replicas + p->surge;
	if (total >= most)
		return have;
	int32_t room = most - total, wanted = p->replicas - have;
	return have + (room < wanted ? room : wanted);
}

static void plan_new_set(struct planner *p, bool make)
{
	struct deployment_plan *o = p->out;
	int64_t revision = next_revision(p);
	if (p->newest) {
		int64_t have = revision_of(p->newest->metadata);
		/* Its annotations follow those of the Deployment, such as the cause of a change. */
		entry(p, p->newest)->newest = true;
		if (have < revision)
			entry(p, p->newest)->revision =
			    arena_printf(p->arena, "%lld", (long long)revision);
		else
			revision = have;
	} else if (!make) {
		return;
	} else {
		o->create = true;
		o->hash = template_hash(p->d, p->arena);
		o->name = arena_printf(p->arena, "%s-%s", p->d->metadata->name, o->hash);
		o->revision = arena_printf(p->arena, "%lld", (long long)revision);
		o->create_replicas = new_set_size(p);
	}
	if (revision_of(p->d->metadata) != revision)
		o->own_revision = arena_printf(p->arena, "%lld", (long long)revision);
}

/* Rolling update */

/* Old replicas that are not healthy go first: they serve nobody. Returns how many went. */
static int32_t drop_unhealthy(struct planner *p, int32_t most)
{
	int32_t dropped = 0;
	for (size_t i = 0; i < p->n_old && dropped < most; i++) {
		const AppsV1__ReplicaSet *rs = p->old[i];
		int32_t sick = desired_of(rs) - rs->status->available_replicas;
		if (desired_of(rs) == 0 || sick <= 0)
			continue;
		int32_t n = sick < most - dropped ? sick : most - dropped;
		scale_to(p, rs, desired_of(rs) - n);
		dropped += n;
	}
	return dropped;
}

static void scale_down_old(struct planner *p)
{
	struct totals t = totals_of(p->in);
	int32_t least = p->replicas - p->unavailable, new_sick = 0;
	if (p->newest)
		new_sick = desired_of(p->newest) - p->newest->status->available_replicas;
	int32_t most = t.desired - least - new_sick;
	if (most <= 0)
		return;
	int32_t dropped = drop_unhealthy(p, most);
	/* Of the healthy ones only as many as keep the minimum available. */
	int32_t spare = t.available - least;
	for (size_t i = 0; i < p->n_old && spare > 0 && dropped < most; i++) {
		int32_t have = planned(p, p->old[i]);
		int32_t n = have < spare ? have : spare;
		if (n > most - dropped)
			n = most - dropped;
		if (n <= 0)
			continue;
		scale_to(p, p->old[i], have - n);
		spare -= n;
		dropped += n;
	}
}

static void plan_rolling(struct planner *p)
{
	plan_new_set(p, true);
	if (p->out->create)
		return;
	int32_t to = new_set_size(p);
	if (to != desired_of(p->newest))
		scale_to(p, p->newest, to);
	else
		scale_down_old(p);
}

static void plan_recreate(struct planner *p)
{
	bool scaled = false;
	for (size_t i = 0; i < p->n_old; i++)
		if (desired_of(p->old[i]) > 0) {
			scale_to(p, p->old[i], 0);
			scaled = true;
		}
	if (scaled || p->in->old_pods)
		return;
	plan_new_set(p, true);
	if (p->newest)
		scale_to(p, p->newest, p->replicas);
}

/* A change of spec.replicas, also in the middle of a rollout */

/* Gives each set its share of the change, in proportion to its size. */
static void share(struct planner *p, int32_t total)
{
	int32_t allowed = p->replicas > 0 ? p->replicas + p->surge : 0;
	int32_t change = allowed - total, left = change;
	for (size_t i = 0; i < p->in->n_sets && left; i++) {
		const AppsV1__ReplicaSet *rs = p->in->sets[i];
		const char *was = meta_annotation(rs->metadata, MAX_REPLICAS);
		int64_t base = was ? strtoll(was, NULL, 10) : total;
		if (!desired_of(rs) || base <= 0)
			continue;
		int64_t part = (int64_t)desired_of(rs) * allowed / base - desired_of(rs);
		if ((change > 0 && part > left) || (change < 0 && part < left))
			part = left;
		if ((change > 0 && part < 0) || (change < 0 && part > 0))
			part = 0;
		scale_to(p, rs, desired_of(rs) + (int32_t)part);
		left -= (int32_t)part;
	}
	if (!left)
		return;
	const AppsV1__ReplicaSet *rs = p->newest ? p->newest : p->old[p->n_old - 1];
	int32_t to = planned(p, rs) + left;
	scale_to(p, rs, to > 0 ? to : 0);
}

static void plan_scaling(struct planner *p)
{
	int32_t live = 0, total = 0;
	const AppsV1__ReplicaSet *only = p->newest;
	for (size_t i = 0; i < p->in->n_sets; i++)
		if (desired_of(p->in->sets[i]) > 0) {
			live++;
			only = p->in->sets[i];
			total += desired_of(only);
		}
	if (live <= 1) {
		if (only)
			scale_to(p, only, p->replicas);
	} else if (p->newest && p->newest->status->available_replicas == p->replicas &&
	           desired_of(p->newest) == p->replicas) {
		for (size_t i = 0; i < p->n_old; i++)
			scale_to(p, p->old[i], 0);
	} else if (is_rolling(p->d)) {
		share(p, total);
	}
}

/* spec.replicas has changed since the sets were last annotated with it. */
static bool is_scaling(const struct planner *p)
{
	for (size_t i = 0; i < p->in->n_sets; i++) {
		const AppsV1__ReplicaSet *rs = p->in->sets[i];
		const char *text = meta_annotation(rs->metadata, DESIRED_REPLICAS);
		if (desired_of(rs) > 0 && text && strtoll(text, NULL, 10) != p->replicas)
			return true;
	}
	return false;
}

/* The numbers that the sets are annotated with must follow, or the scaling would go on for ever. */
static void annotate_all(struct planner *p)
{
	for (size_t i = 0; i < p->in->n_sets; i++)
		if (desired_of(p->in->sets[i]) > 0)
			entry(p, p->in->sets[i]);
}

/* History */

static int revision_cmp(const void *x, const void *y)
{
	int64_t a = revision_of((*(const AppsV1__ReplicaSet *const *)x)->metadata);
	int64_t b = revision_of((*(const AppsV1__ReplicaSet *const *)y)->metadata);
	return a != b ? (a < b ? -1 : 1) : age_cmp(x, y);
}

static void plan_cleanup(struct planner *p)
{
	if (!p->d->spec->has_revision_history_limit)
		return;
	int32_t keep = p->d->spec->revision_history_limit;
	size_t limit = keep > 0 ? (size_t)keep : 0;
	if (p->n_old <= limit)
		return;
	size_t excess = p->n_old - limit;
	p->out->remove = arena_array(p->arena, const AppsV1__ReplicaSet *, excess);
	qsort(p->old, p->n_old, sizeof(*p->old), revision_cmp);
	for (size_t i = 0; i < excess; i++) {
		const AppsV1__ReplicaSet *rs = p->old[i];
		if (!rs->status->replicas && !desired_of(rs) && !rs->metadata->deletion_timestamp &&
		    rs->metadata->generation <= rs->status->observed_generation)
			p->out->remove[p->out->n_remove++] = rs;
	}
}

static bool is_complete(const struct planner *p)
{
	return p->newest && p->newest->status->available_replicas == p->replicas &&
	       desired_of(p->newest) == p->replicas && totals_of(p->in).replicas == p->replicas;
}

void deployment_plan(const struct deployment_input *in, struct arena *a,
                     struct deployment_plan *ret)
{
	*ret = (struct deployment_plan){0};
	struct planner p = {
	    .in = in, .d = in->d, .newest = deployment_new_set(in), .arena = a, .out = ret};
	p.replicas = desired(in->d);
	deployment_limits(in->d, &p.surge, &p.unavailable);
	p.old = arena_array(a, const AppsV1__ReplicaSet *, in->n_sets);
	for (size_t i = 0; i < in->n_sets; i++)
		if (in->sets[i] != p.newest)
			p.old[p.n_old++] = in->sets[i];
	qsort(p.old, p.n_old, sizeof(*p.old), age_cmp);
	ret->scale = arena_array(a, struct deployment_scale, in->n_sets);
	if (!in->d->metadata->deletion_timestamp) {
		bool paused = in->d->spec->paused, scaling = is_scaling(&p);
		if (paused || scaling) {
			plan_new_set(&p, false);
			plan_scaling(&p);
			if (scaling)
				annotate_all(&p);
		} else if (is_rolling(in->d)) {
			plan_rolling(&p);
		} else {
			plan_recreate(&p);
		}
		if (paused || is_complete(&p))
			plan_cleanup(&p);
	}
	plan_status(in, p.newest, a, ret);
}
