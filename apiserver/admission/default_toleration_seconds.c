/* SPDX-License-Identifier: Apache-2.0 */
/* DefaultTolerationSeconds: a pod stays on a node that is not ready or not reachable for five
 * minutes, unless it says something else. */
#include "apiserver/admission/pods.h"
#include "proto/schema.h"

enum { SECONDS = 300 };

static bool tolerates(const CoreV1__PodSpec *spec, const char *key)
{
	for (size_t i = 0; i < spec->n_tolerations; i++) {
		const CoreV1__Toleration *t = spec->tolerations[i];

		if ((!t->key[0] || !strcmp(t->key, key)) &&
		    (!t->effect[0] || !strcmp(t->effect, "NoExecute")))
			return true;
	}
	return false;
}

const struct refusal *default_toleration_seconds(struct admission *ad)
{
	static const char *const KEYS[] = {"node.kubernetes.io/not-ready",
	                                   "node.kubernetes.io/unreachable"};
	CoreV1__Pod *pod = admission_pod(ad);

	if (!pod || (ad->at->op != ADMIT_CREATE && ad->at->op != ADMIT_UPDATE))
		return NULL;
	bool missing[2] = {!tolerates(pod->spec, KEYS[0]), !tolerates(pod->spec, KEYS[1])};
	for (size_t i = 0; i < 2; i++) {
		if (!missing[i])
			continue;
		CoreV1__Toleration *t =
		    NEW_MSG(ad->arena, CoreV1__Toleration, core_v1__toleration__descriptor);
		t->key = (char *)KEYS[i];
		t->operator_ = (char *)"Exists";
		t->effect = (char *)"NoExecute";
		t->has_toleration_seconds = true;
		t->toleration_seconds = SECONDS;
		APPEND_MSG(ad->arena, pod->spec, tolerations, t);
	}
	return NULL;
}
