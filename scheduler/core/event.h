/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What happens in the cluster and may let a waiting pod be scheduled (kube-scheduler
 * framework.ClusterEvent). */
#include "scheduler/core/node.h"

enum event_kind {
	EVENT_NODE_ADD = 1 << 0,
	EVENT_NODE_DELETE = 1 << 1,
	EVENT_NODE_ALLOCATABLE = 1 << 2,
	EVENT_NODE_LABEL = 1 << 3,
	EVENT_NODE_TAINT = 1 << 4, /* also spec.unschedulable */
	EVENT_POD_ADD = 1 << 5,    /* an assigned pod came */
	EVENT_POD_LABEL = 1 << 6,  /* of an assigned pod, or of the waiting pod itself */
	EVENT_POD_SCALE_DOWN = 1 << 7,
	EVENT_POD_DELETE = 1 << 8,     /* an assigned pod went or ended */
	EVENT_POD_TOLERATION = 1 << 9, /* the waiting pod's own */
	EVENT_POD_GATES = 1 << 10,     /* the waiting pod's last scheduling gate went */
	EVENT_POD_SPEC = 1 << 11,      /* the rest of the waiting pod's own spec */
	EVENT_NAMESPACE = 1 << 12,     /* a namespace's labels */
	EVENT_ALL = (1 << 13) - 1,
};

/* Before and after; those that do not apply are NULL. An update may have several kinds. */
struct event {
	unsigned kinds;
	bool own; /* of a waiting pod: only it can be helped */
	const struct pod_info *old_pod, *pod;
	const struct node_spec *old_node, *node;
};

/* The pod that an event is about, as it was last seen. */
static inline const struct pod_info *event_pod(const struct event *e)
{
	return e->pod ? e->pod : e->old_pod;
}

/* What differs between two states of a pod, as bits of enum event_kind; 0: nothing that matters. */
unsigned pod_info_changes(const struct pod_info *old, const struct pod_info *p);
