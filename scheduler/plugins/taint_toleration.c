/* SPDX-License-Identifier: Apache-2.0 */
/* TaintToleration: NoSchedule and NoExecute taints must be tolerated; of the nodes that fit, those
 * with fewer untolerated PreferNoSchedule taints are better. */
#include "scheduler/plugins/plugins.h"

#include "scheduler/core/queue.h"

static bool covers(const CoreV1__Toleration *t, const char *key, const char *value,
                   const char *effect)
{
	if (t->effect && *t->effect && strcmp(t->effect, effect))
		return false;
	bool exists = t->operator_ && !strcmp(t->operator_, "Exists");
	if (!t->key || !*t->key)
		return exists;
	return !strcmp(t->key, key) && (exists || !strcmp(t->value ? t->value : "", value));
}

bool tolerates(const CoreV1__PodSpec *spec, const char *key, const char *value, const char *effect)
{
	for (size_t i = 0; i < spec->n_tolerations; i++)
		if (covers(spec->tolerations[i], key, value, effect))
			return true;
	return false;
}

static enum filter_code filter(const struct cycle_pod *pod, const struct node_info *node,
                               struct filter_reasons *why)
{
	for (size_t i = 0; i < node->n_taints; i++) {
		const struct taint *t = &node->taints[i];
		if (strcmp(t->effect, "NoSchedule") && strcmp(t->effect, "NoExecute"))
			continue;
		if (tolerates(pod->pod->spec, t->key, t->value, t->effect))
			continue;
		filter_reason(why, "node(s) had untolerated taint(s)");
		return FILTER_UNRESOLVABLE;
	}
	return FILTER_FITS;
}

/* The number of taints that speak against the node; normalized in reverse. */
static int64_t score(const struct cycle_pod *pod, const struct node_info *node)
{
	int64_t n = 0;
	for (size_t i = 0; i < node->n_taints; i++) {
		const struct taint *t = &node->taints[i];
		n += !strcmp(t->effect, "PreferNoSchedule") &&
		     !tolerates(pod->pod->spec, t->key, t->value, t->effect);
	}
	return n;
}

const struct plugin plugin_taint_toleration = {
    .name = "TaintToleration",
    .filter = filter,
    .score = score,
    .normalize = SCORE_NORMALIZE_REVERSE,
    .weight = 3,
    .help = QUEUE_NODE_ADD | QUEUE_NODE_TAINT | QUEUE_POD_UPDATE,
};
