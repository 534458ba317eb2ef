/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How pods and nodes go together: tolerations, node selectors (kubernetes
 * component-helpers/scheduling/corev1). Pure. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "proto/core_v1.pb-c.h"

bool toleration_fits(const CoreV1__Toleration *t, const CoreV1__Taint *taint);
/* A taint of this effect that no toleration fits is there. */
bool node_repels(const CoreV1__Node *node, CoreV1__Toleration *const *tolerations, size_t n,
                 const char *effect);
/* nodeSelector and the required node affinity of the pod hold. */
bool node_selected(const CoreV1__Node *node, const CoreV1__PodSpec *pod, struct arena *a);
