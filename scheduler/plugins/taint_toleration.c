/* SPDX-License-Identifier: Apache-2.0 */
/* TaintToleration: NoSchedule and NoExecute taints must be tolerated; of the nodes that fit, those
 * with fewer untolerated PreferNoSchedule taints are better. */
#include "scheduler/plugins/plugins.h"

enum { REPELS = EFFECT_NO_SCHEDULE | EFFECT_NO_EXECUTE };

static enum status_code filter(const struct plugin_call *c, const struct node_info *n,
                               struct reasons *why)
{
	if (!n->n_taints || !node_untolerated(n->spec, c->pod, REPELS))
		return STATUS_SUCCESS;
	reasons_add(why, "node(s) had untolerated taint(s)");
	return STATUS_UNRESOLVABLE;
}

/* The number of taints that speak against the node. */
static int64_t score(const struct plugin_call *c, const struct node_info *n)
{
	int64_t against = 0;
	for (uint32_t i = 0; i < n->n_taints; i++)
		against += n->spec->taints[i].effect == EFFECT_PREFER_NO_SCHEDULE &&
		           !pod_tolerates(c->pod, &n->spec->taints[i]);
	return against;
}

static void normalize(const struct plugin_call *c, struct node_info *const *nodes, int64_t *scores,
                      size_t n)
{
	(void)c;
	(void)nodes;
	scores_normalize(scores, n, true);
}

static enum hint on_node(const struct hint_call *c, const struct event *e)
{
	bool was = e->old_node && !node_untolerated(e->old_node, c->pod, REPELS);
	return !was && !node_untolerated(e->node, c->pod, REPELS) ? HINT_QUEUE : HINT_SKIP;
}

static const struct plugin_event events[] = {
    {EVENT_NODE_ADD | EVENT_NODE_TAINT, on_node}, {EVENT_POD_TOLERATION, NULL}, {0}};

const struct plugin plugin_taint_toleration = {
    .name = "TaintToleration",
    .weight = 3,
    .filter = filter,
    .score = score,
    .normalize = normalize,
    .events = events,
};
