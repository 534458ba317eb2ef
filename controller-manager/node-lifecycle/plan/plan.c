/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/node-lifecycle/plan/plan.h"

#include <string.h>

#define TEXT(s) ((char *)(uintptr_t)(s))
#define KEY(name) "node.kubernetes.io/" name
#define NO_SCHEDULE "NoSchedule"
#define NO_EXECUTE "NoExecute"

struct planner {
	const struct node_input *in;
	struct arena *arena;
	struct node_plan *out;
};

static CoreV1__NodeCondition *find(const CoreV1__NodeStatus *s, const char *type)
{
	for (size_t i = 0; i < s->n_conditions; i++)
		if (!strcmp(s->conditions[i]->type, type))
			return s->conditions[i];
	return NULL;
}

static bool has_status(const CoreV1__NodeCondition *c, const char *status)
{
	return c && !strcmp(c->status, status);
}

static MetaV1__Time *now_time(const struct planner *p)
{
	MetaV1__Time *t = arena_new(p->arena, MetaV1__Time);
	*t = (MetaV1__Time)META_V1__TIME__INIT;
	t->has_seconds = 1;
	t->seconds = p->in->now_s;
	return t;
}

/* Conditions */

static void set_unknown(struct planner *p, const char *type)
{
	CoreV1__NodeStatus *s = p->out->status;
	CoreV1__NodeCondition *old = find(s, type);
	if (has_status(old, "Unknown"))
		return;
	CoreV1__NodeCondition *c = arena_new(p->arena, CoreV1__NodeCondition);
	*c = (CoreV1__NodeCondition)CORE_V1__NODE_CONDITION__INIT;
	c->type = TEXT(type);
	c->status = TEXT("Unknown");
	c->last_transition_time = now_time(p);
	if (old) {
		c->last_heartbeat_time = old->last_heartbeat_time;
		c->reason = TEXT("NodeStatusUnknown");
		c->message = TEXT("Kubelet stopped posting node status.");
	} else {
		c->last_heartbeat_time = p->in->node->metadata->creation_timestamp;
		c->reason = TEXT("NodeStatusNeverUpdated");
		c->message = TEXT("Kubelet never posted node status.");
	}
	p->out->status_differs = true;
	for (size_t i = 0; i < s->n_conditions; i++)
		if (s->conditions[i] == old) {
			s->conditions[i] = c;
			return;
		}
	s->conditions[s->n_conditions++] = c;
}

static void plan_conditions(struct planner *p)
{
	static const char *const vouched[] = {"Ready", "MemoryPressure", "DiskPressure",
	                                      "PIDPressure"};
	enum { N_VOUCHED = sizeof(vouched) / sizeof(*vouched) };
	const CoreV1__NodeStatus *old = p->in->node->status;
	CoreV1__NodeStatus *s = arena_memdup(p->arena, old, sizeof(*old));
	s->conditions =
	    arena_array(p->arena, CoreV1__NodeCondition *, old->n_conditions + N_VOUCHED);
	for (size_t i = 0; i < old->n_conditions; i++)
		s->conditions[i] = old->conditions[i];
	p->out->status = s;
	for (size_t i = 0; i < N_VOUCHED && p->in->silent; i++)
		set_unknown(p, vouched[i]);
}

/* Taints */

static size_t find_taint(const CoreV1__NodeSpec *s, const char *key, const char *effect)
{
	size_t i = 0;
	while (i < s->n_taints &&
	       (strcmp(s->taints[i]->key, key) || strcmp(s->taints[i]->effect, effect)))
		i++;
	return i;
}

static void set_taint(struct planner *p, const char *key, const char *effect, bool wanted)
{
	CoreV1__NodeSpec *s = p->out->spec;
	size_t at = find_taint(s, key, effect);
	if (wanted == (at < s->n_taints))
		return;
	p->out->taints_differ = true;
	if (!wanted) {
		memmove(&s->taints[at], &s->taints[at + 1],
		        (--s->n_taints - at) * sizeof(*s->taints));
		return;
	}
	CoreV1__Taint *t = arena_new(p->arena, CoreV1__Taint);
	*t = (CoreV1__Taint)CORE_V1__TAINT__INIT;
	t->key = TEXT(key);
	t->value = TEXT("");
	t->effect = TEXT(effect);
	t->time_added = now_time(p);
	s->taints[s->n_taints++] = t;
}

static void plan_taints(struct planner *p)
{
	static const struct {
		const char *condition, *key;
	} pressures[] = {{"MemoryPressure", KEY("memory-pressure")},
	                 {"DiskPressure", KEY("disk-pressure")},
	                 {"PIDPressure", KEY("pid-pressure")},
	                 {"NetworkUnavailable", KEY("network-unavailable")}};
	enum { N_PRESSURES = sizeof(pressures) / sizeof(*pressures), NEW_MOST = N_PRESSURES + 5 };
	const CoreV1__NodeSpec *old = p->in->node->spec;
	const CoreV1__NodeStatus *status = p->out->status;
	CoreV1__NodeSpec *s = arena_memdup(p->arena, old, sizeof(*old));
	s->taints = arena_array(p->arena, CoreV1__Taint *, old->n_taints + NEW_MOST);
	for (size_t i = 0; i < old->n_taints; i++)
		s->taints[i] = old->taints[i];
	p->out->spec = s;
	for (size_t i = 0; i < N_PRESSURES; i++)
		set_taint(p, pressures[i].key, NO_SCHEDULE,
		          has_status(find(status, pressures[i].condition), "True"));
	set_taint(p, KEY("unschedulable"), NO_SCHEDULE, old->unschedulable);
	/* A node that has not said anything yet keeps the taint that it was made with. */
	const CoreV1__NodeCondition *ready = find(status, "Ready");
	if (!ready)
		return;
	bool not_ready = has_status(ready, "False"), unreachable = has_status(ready, "Unknown");
	set_taint(p, KEY("not-ready"), NO_SCHEDULE, not_ready);
	set_taint(p, KEY("unreachable"), NO_SCHEDULE, unreachable);
	bool has = find_taint(s, KEY("not-ready"), NO_EXECUTE) < s->n_taints ||
	           find_taint(s, KEY("unreachable"), NO_EXECUTE) < s->n_taints;
	bool evict = p->in->eviction == NODE_EVICT || (p->in->eviction == NODE_EVICT_LATER && has);
	p->out->deferred = (not_ready || unreachable) && !evict;
	set_taint(p, KEY("not-ready"), NO_EXECUTE, not_ready && evict);
	set_taint(p, KEY("unreachable"), NO_EXECUTE, unreachable && evict);
}

void node_plan(const struct node_input *in, struct arena *a, struct node_plan *ret)
{
	*ret = (struct node_plan){0};
	struct planner p = {in, a, ret};
	plan_conditions(&p);
	plan_taints(&p);
	ret->ready = has_status(find(ret->status, "Ready"), "True");
}
