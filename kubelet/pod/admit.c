/* SPDX-License-Identifier: Apache-2.0 */
/* The node's answer to a pod that is new here: what does not fit is refused for good. */
#include <string.h>

#include "kubelet/core/admit.h"
#include "kubelet/eviction/eviction.h"
#include "kubelet/node/node.h"
#include "kubelet/pod/pod.h"
#include "proto/schema_messages.h"

static int64_t allocatable(const struct pod *p, const char *resource, bool milli)
{
	char text[QUANTITY_BYTES];
	node_allocatable(p->k->node, resource, text);
	struct quantity q = quantity_of(text);
	return milli ? quantity_milli(&q) : quantity_value(&q);
}

/* A pod that has its share of the node. The scheduler gives the share of one that has ended to the
 * next at once, while that one is still being cleared here. */
static bool counts(const struct pod *other, const struct pod *p)
{
	return other != p && other->spec && other->admitted && !other->gone &&
	       !other->failed_reason && !pod_is_known_terminal(other);
}

static struct node_room node_room(const struct pod *p)
{
	return (struct node_room){{
	    [ROOM_PODS] = allocatable(p, "pods", false),
	    [ROOM_CPU_MILLI] = allocatable(p, "cpu", true),
	    [ROOM_MEMORY] = allocatable(p, "memory", false),
	    [ROOM_STORAGE] = allocatable(p, "ephemeral-storage", false),
	}};
}

const char *pod_resize_obstacle(struct pod *p, struct arena *a, const char **ret_message)
{
	struct node_room room = node_room(p);
	struct refusal r = {0};
	bool feasible = room_fits(&room, p->spec, a, &r);
	MAP_FOREACH (&p->k->pods->by_uid, it) {
		const struct pod *other = it->value;
		if (feasible && counts(other, p))
			room_use(&room, other->spec);
	}
	bool now = feasible && room_fits(&room, p->spec, a, &r);
	*ret_message = r.message;
	return now ? NULL : feasible ? "Deferred" : "Infeasible";
}

static bool fits(struct pod *p, struct arena *a, struct refusal *ret)
{
	const struct kubelet_config *c = p->k->config;
	ret->reason = "Evicted";
	if (!eviction_admits(p->k->eviction, p->spec, a, &ret->message))
		return false;
	/* A node that is not known yet has no labels to be asked for. */
	const struct informer_object *o = informer_get(p->k->pods->nodes, NULL, c->node_name);
	const CoreV1__Node *node =
	    o ? (void *)informer_object_decode(o, &core_v1__node_schema, a) : NULL;
	if (node && !node_suits(p->spec, node->metadata, ret))
		return false;
	struct node_room room = node_room(p);
	bool good = sysctls_allowed(p->spec, (const char *const *)c->allowed_unsafe_sysctls.at,
	                            c->allowed_unsafe_sysctls.n, a, ret);
	MAP_FOREACH (&p->k->pods->by_uid, it) {
		const struct pod *other = it->value;
		if (!good || !counts(other, p))
			continue;
		room_use(&room, other->spec);
		good = ports_fit(p->spec, other->spec, ret);
	}
	return good && room_fits(&room, p->spec, a, ret);
}

bool pod_admit(struct pod *p)
{
	_cleanup_arena_ struct arena a = {0};
	struct refusal r;
	/* What was started here once stays. */
	if (p->admitted || p->rt.n_sandboxes || p->rt.n_containers || fits(p, &a, &r)) {
		p->admitted = true;
		return true;
	}
	pod_event(p, NULL, true, r.reason, "%s", r.message);
	pod_fail(p, r.reason, arena_printf(&a, "Pod was rejected: %s", r.message), 0, NULL);
	return false;
}
