/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/garbage-collector/plan/plan.h"

#include <string.h>

enum owner_state { UNKNOWN, SOLID, WAITING, ABSENT, STATES };

static enum owner_state state_of(const struct gc_graph *g, const struct gc_node *n,
                                 const struct gc_owner *o,
                                 enum gc_verdict (*verdict)(const char *uid, void *arg), void *arg)
{
	const struct gc_node *owner = gc_graph_get(g, o->uid);
	if (owner && !owner->cluster_scoped && strcmp(owner->ns, n->ns))
		return ABSENT; /* nobody is owned across namespaces */
	if (owner)
		return owner->deleting && owner->foreground ? WAITING : SOLID;
	enum gc_verdict v = verdict(o->uid, arg);
	return v == GC_PRESENT ? SOLID : v == GC_ABSENT ? ABSENT : UNKNOWN;
}

static bool blocks(const struct gc_node *dependent, const char *uid)
{
	for (uint32_t i = 0; i < dependent->n_owners; i++)
		if (!strcmp(dependent->owners[i].uid, uid))
			return dependent->owners[i].block;
	return false;
}

/* An object that waits for its dependents to go. */
static void plan_foreground(const gc_nodes *dependents, const struct gc_node *n,
                            struct gc_plan *ret)
{
	for (size_t i = 0; dependents && i < dependents->n; i++)
		if (blocks(dependents->at[i], n->uid))
			return;
	ret->action = GC_DROP_FOREGROUND;
}

/* No owner holds the object. */
static void plan_delete(const gc_nodes *dependents, const struct gc_node *n, bool waiting,
                        struct gc_plan *ret)
{
	if (waiting && dependents) {
		/* Its owner waits for it, and it for its dependents; if one of those waits too,
		 * they might wait for each other. */
		for (size_t i = 0; i < dependents->n; i++)
			if (dependents->at[i]->deleting && dependents->at[i]->foreground &&
			    blocks(dependents->at[i], n->uid)) {
				ret->action = GC_UNBLOCK;
				ret->dependents = dependents;
				return;
			}
		ret->policy = "Foreground";
	} else {
		ret->policy = n->orphan ? "Orphan" : n->foreground ? "Foreground" : "Background";
	}
	ret->action = GC_DELETE;
}

static void plan_by_owners(const struct gc_graph *g, const struct gc_node *n,
                           enum gc_verdict (*verdict)(const char *uid, void *arg), void *arg,
                           struct arena *a, struct gc_plan *ret)
{
	const struct gc_owner **lists[STATES];
	size_t counts[STATES] = {0};
	for (int i = 0; i < STATES; i++)
		lists[i] = arena_array(a, const struct gc_owner *, n->n_owners);
	for (uint32_t i = 0; i < n->n_owners; i++) {
		enum owner_state s = state_of(g, n, &n->owners[i], verdict, arg);
		lists[s][counts[s]++] = &n->owners[i];
	}
	if (counts[UNKNOWN]) {
		ret->action = GC_ASK;
		ret->owners = lists[UNKNOWN];
		ret->n_owners = counts[UNKNOWN];
	} else if (counts[SOLID]) {
		ret->owners = arena_array(a, const struct gc_owner *, n->n_owners);
		for (size_t i = 0; i < counts[ABSENT]; i++)
			ret->owners[ret->n_owners++] = lists[ABSENT][i];
		for (size_t i = 0; i < counts[WAITING]; i++)
			ret->owners[ret->n_owners++] = lists[WAITING][i];
		ret->action = ret->n_owners ? GC_DROP_OWNERS : GC_NOTHING;
	} else {
		plan_delete(gc_graph_dependents(g, n->uid), n, counts[WAITING] > 0, ret);
	}
}

void gc_plan(const struct gc_graph *g, const struct gc_node *n,
             enum gc_verdict (*verdict)(const char *uid, void *arg), void *arg, struct arena *a,
             struct gc_plan *ret)
{
	const gc_nodes *dependents = gc_graph_dependents(g, n->uid);
	*ret = (struct gc_plan){0};
	if (n->deleting && n->orphan) {
		ret->action = dependents ? GC_RELEASE : GC_DROP_ORPHAN;
		ret->dependents = dependents;
	} else if (n->deleting && n->foreground) {
		plan_foreground(dependents, n, ret);
	} else if (!n->deleting && n->n_owners) {
		plan_by_owners(g, n, verdict, arg, a, ret);
	}
}
