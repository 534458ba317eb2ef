/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/disruption/plan/plan.h"

#include <string.h>

#include "common/base/map.h"
#include "controller-manager/base/plan/meta.h"
#include "controller-manager/base/plan/pods.h"
#include "controller-manager/base/plan/rounding.h"
#include "proto/msg.h"
#include "proto/schema_messages.h"

#define TEXT(s) ((char *)(uintptr_t)(s))
typedef PolicyV1__PodDisruptionBudgetStatus__DisruptedPodsEntry disrupted_entry;

enum { DELETION_TIMEOUT_S = 120 };

struct planner {
	const struct disruption_input *in;
	struct arena *arena;
	struct disruption_plan *out;
	PolicyV1__PodDisruptionBudgetStatus *status;
	const char *error; /* why the numbers cannot be told; NULL: they can */
	bool unmanaged;
};

static void tell(struct planner *p, bool warning, const char *object, const char *reason,
                 const char *message)
{
	p->out->events[p->out->n_events++] =
	    (struct disruption_event){warning, object, reason, message};
}

/* --- how many there should be --- */

/* The replicas of all controllers that have pods here. */
static int64_t expected_scale(struct planner *p)
{
	struct map seen = {0};
	int64_t total = 0;
	for (size_t i = 0; i < p->in->n_pods && !p->error; i++) {
		const struct disruption_owner *o = &p->in->owners[i];
		if (!o->uid)
			p->unmanaged = true;
		else if (!o->known)
			p->error = arena_printf(p->arena, "found no controllers for pod \"%s\"",
			                        p->in->pods[i]->metadata->name);
		else if (!map_put_str(&seen, o->uid, p))
			total += o->replicas;
	}
	map_deinit(&seen);
	return total;
}

static void expect(struct planner *p)
{
	const PolicyV1__PodDisruptionBudgetSpec *spec = p->in->pdb->spec;
	PolicyV1__PodDisruptionBudgetStatus *s = p->status;
	s->expected_pods = (int32_t)p->in->n_pods;
	s->desired_healthy = 0;
	if (spec->max_unavailable) {
		s->expected_pods = (int32_t)expected_scale(p);
		s->desired_healthy = MAX(s->expected_pods - int_or_percent(spec->max_unavailable,
		                                                           s->expected_pods, true),
		                         0);
	} else if (spec->min_available && spec->min_available->type == 0) {
		s->desired_healthy = spec->min_available->int_val;
	} else if (spec->min_available) {
		s->expected_pods = (int32_t)expected_scale(p);
		s->desired_healthy = int_or_percent(spec->min_available, s->expected_pods, true);
	}
}

/* --- how many there are --- */

static const CoreV1__Pod *pod_named(const struct planner *p, const char *name)
{
	for (size_t i = 0; i < p->in->n_pods; i++)
		if (!strcmp(p->in->pods[i]->metadata->name, name))
			return p->in->pods[i];
	return NULL;
}

/* Pods whose eviction was granted and not carried out yet; after two minutes it is not believed any
 * more. */
static void keep_disrupted(struct planner *p)
{
	const PolicyV1__PodDisruptionBudgetStatus *old = p->in->pdb->status;
	const MetaV1__ObjectMeta *meta = p->in->pdb->metadata;
	p->status->disrupted_pods = arena_array(p->arena, disrupted_entry *, old->n_disrupted_pods);
	p->status->n_disrupted_pods = 0;
	for (size_t i = 0; i < old->n_disrupted_pods; i++) {
		disrupted_entry *e = old->disrupted_pods[i];
		const CoreV1__Pod *pod = pod_named(p, e->key);
		int64_t until = (e->value ? e->value->seconds : 0) + DELETION_TIMEOUT_S;
		if (!pod || pod->metadata->deletion_timestamp)
			continue;
		if (until < p->in->now_s) {
			tell(p, true, pod->metadata->name, "NotDeleted",
			     arena_printf(
			         p->arena,
			         "Pod was expected by PDB %s/%s to be deleted but it wasn't",
			         meta->namespace_, meta->name));
			continue;
		}
		p->status->disrupted_pods[p->status->n_disrupted_pods++] = e;
		if (!p->out->recheck_s || until < p->out->recheck_s)
			p->out->recheck_s = until + 1;
	}
}

static bool is_disrupted(const struct planner *p, const char *name)
{
	for (size_t i = 0; i < p->status->n_disrupted_pods; i++)
		if (!strcmp(p->status->disrupted_pods[i]->key, name))
			return true;
	return false;
}

static int32_t count_healthy(const struct planner *p)
{
	int32_t n = 0;
	for (size_t i = 0; i < p->in->n_pods; i++) {
		const CoreV1__Pod *pod = p->in->pods[i];
		n += !pod->metadata->deletion_timestamp && pod_is_ready(pod) &&
		     !is_disrupted(p, pod->metadata->name);
	}
	return n;
}

/* --- the status --- */

static void set_condition(struct planner *p, bool allowed, const char *reason, const char *message)
{
	PolicyV1__PodDisruptionBudgetStatus *s = p->status;
	MetaV1__Condition *c = arena_new(p->arena, MetaV1__Condition);
	MetaV1__Condition **list = arena_array(p->arena, MetaV1__Condition *, s->n_conditions + 1);
	const MetaV1__Condition *old = NULL;
	size_t at = 0;
	for (size_t i = 0; i < s->n_conditions; i++)
		list[i] = s->conditions[i];
	while (at < s->n_conditions && strcmp(list[at]->type, "DisruptionAllowed"))
		at++;
	if (at < s->n_conditions)
		old = list[at];
	*c = (MetaV1__Condition)META_V1__CONDITION__INIT;
	c->type = TEXT("DisruptionAllowed");
	c->status = TEXT(allowed ? "True" : "False");
	c->has_observed_generation = 1;
	c->observed_generation = p->in->pdb->metadata->generation;
	c->reason = TEXT(reason);
	c->message = TEXT(message);
	c->last_transition_time = old && !strcmp(old->status, c->status)
	                              ? old->last_transition_time
	                              : meta_time(p->arena, p->in->now_s);
	list[at] = c;
	s->n_conditions = MAX(s->n_conditions, at + 1);
	s->conditions = list;
}

static void plan_status(struct planner *p)
{
	PolicyV1__PodDisruptionBudgetStatus *s = p->status;
	keep_disrupted(p);
	expect(p);
	if (p->error) {
		/* The last numbers stay; nothing may be evicted by them. */
		const PolicyV1__PodDisruptionBudgetStatus *old = p->in->pdb->status;
		s->expected_pods = old->expected_pods;
		s->desired_healthy = old->desired_healthy;
		s->disruptions_allowed = 0;
		set_condition(p, false, "SyncFailed", p->error);
		return;
	}
	s->current_healthy = count_healthy(p);
	int32_t allowed = s->current_healthy - s->desired_healthy;
	s->disruptions_allowed = s->expected_pods > 0 ? MAX(allowed, 0) : 0;
	if (s->disruptions_allowed)
		set_condition(p, true, "SufficientPods", "");
	else
		set_condition(p, false, "InsufficientPods", "");
}

void disruption_plan(const struct disruption_input *in, struct arena *a,
                     struct disruption_plan *ret)
{
	const PolicyV1__PodDisruptionBudgetStatus *old = in->pdb->status;
	struct planner p = {.in = in, .arena = a, .out = ret};
	*ret = (struct disruption_plan){
	    .events = arena_array(a, struct disruption_event, old->n_disrupted_pods + 2)};
	p.status = ret->status = arena_memdup(a, old, sizeof(*old));
	p.status->has_disruptions_allowed = p.status->has_current_healthy = 1;
	p.status->has_desired_healthy = p.status->has_expected_pods = 1;
	p.status->has_observed_generation = 1;
	p.status->observed_generation = in->pdb->metadata->generation;
	plan_status(&p);
	if (!in->n_pods)
		tell(&p, false, NULL, "NoPods", "No matching pods found");
	if (p.unmanaged)
		tell(&p, true, NULL, "UnmanagedPods",
		     "Pods selected by this PodDisruptionBudget were found to be unmanaged. As a "
		     "result, the status of the PDB cannot be calculated correctly, which may "
		     "result "
		     "in undefined behavior. To account for these pods please set "
		     "\".spec.minAvailable\" field of the PDB to an integer value.");
	ret->differs = !msg_equal(&policy_v1__pod_disruption_budget_status_schema, &p.status->base,
	                          &old->base);
}
