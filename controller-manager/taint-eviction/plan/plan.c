/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/taint-eviction/plan/plan.h"

#include <string.h>

#include "controller-manager/base/plan/nodes.h"

/* How long the pod tolerates a taint: -1 for ever, 0 not at all. Of several that fit the shortest
 * counts, and those without a limit do not. */
static int64_t patience(const CoreV1__Pod *pod, const CoreV1__Taint *taint)
{
	int64_t least = -1;
	bool any = false;
	for (size_t i = 0; i < pod->spec->n_tolerations; i++) {
		const CoreV1__Toleration *t = pod->spec->tolerations[i];
		if (!toleration_fits(t, taint))
			continue;
		any = true;
		if (!t->has_toleration_seconds)
			continue;
		int64_t s = t->toleration_seconds > 0 ? t->toleration_seconds : 0;
		if (least < 0 || s < least)
			least = s;
	}
	return any ? least : 0;
}

int64_t taint_eviction_at(const CoreV1__Node *node, const CoreV1__Pod *pod, int64_t now_s)
{
	int64_t earliest = TAINT_STAY;
	for (size_t i = 0; i < node->spec->n_taints; i++) {
		const CoreV1__Taint *taint = node->spec->taints[i];
		if (strcmp(taint->effect, "NoExecute"))
			continue;
		int64_t s = patience(pod, taint);
		if (s < 0)
			continue;
		int64_t from = taint->time_added ? taint->time_added->seconds : now_s;
		if (earliest == TAINT_STAY || from + s < earliest)
			earliest = from + s;
	}
	return earliest;
}
