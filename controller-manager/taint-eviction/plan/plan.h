/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* When a pod has to leave its node because of NoExecute taints (kubernetes
 * pkg/controller/tainteviction). Pure. */
#include <stdbool.h>
#include "proto/core_v1.pb-c.h"

enum { TAINT_STAY = -1 };

/* The second of eviction, not later than now when it is due at once; TAINT_STAY: it may stay.
 * A taint without a time counts from now. */
int64_t taint_eviction_at(const CoreV1__Node *node, const CoreV1__Pod *pod, int64_t now_s);
