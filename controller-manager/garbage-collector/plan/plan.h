/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What has to be done about one object of the graph. Pure. */
#include "common/base/arena.h"
#include "controller-manager/garbage-collector/plan/graph.h"

/* What the apiserver said of owners that the graph does not know. */
enum gc_verdict {
	GC_UNKNOWN,
	GC_PRESENT,
	GC_ABSENT,
};

enum gc_action {
	GC_NOTHING,
	GC_ASK,             /* owners: these have to be looked up first */
	GC_DROP_OWNERS,     /* owners: these references go, others hold the object */
	GC_DELETE,          /* with `policy` */
	GC_RELEASE,         /* dependents: each loses its reference to the object */
	GC_UNBLOCK,         /* dependents: a circle, their reference must not block any more */
	GC_DROP_FOREGROUND, /* the finalizer goes */
	GC_DROP_ORPHAN,
};

struct gc_plan {
	enum gc_action action;
	const char *policy;
	const struct gc_owner **owners;
	size_t n_owners;
	const gc_nodes *dependents;
};

/* verdict(uid, arg): for owners that are not in the graph. */
void gc_plan(const struct gc_graph *g, const struct gc_node *n,
             enum gc_verdict (*verdict)(const char *uid, void *arg), void *arg, struct arena *a,
             struct gc_plan *ret);
