/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Pods that are ended from above: first the condition DisruptionTarget says why (and the phase
 * becomes Failed, when nobody else would set it), then the pod is deleted. */
#include <stdbool.h>
#include "common/client/informer.h"
#include "controller-manager/base/work.h"

struct eviction {
	const char *reason, *message; /* of the condition; literals */
	bool fail;                    /* phase Failed */
	int64_t grace_s;              /* of the deletion; < 0: the pod's own */
};

/* Holds the work until it is done. */
void evict_pod(struct client *c, struct work *w, const struct informer_object *pod,
               const struct eviction *e);
