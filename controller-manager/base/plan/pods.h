/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What all controllers of pods ask a pod, and in which order they give pods up (kubernetes
 * pkg/controller/controller_utils.go, pkg/api/v1/pod). Pure. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "proto/core_v1.pb-c.h"

const CoreV1__PodCondition *pod_condition(const CoreV1__Pod *pod, const char *type); /* or NULL */
/* Neither ended nor being deleted. */
bool pod_is_active(const CoreV1__Pod *pod);
/* Succeeded or Failed. */
bool pod_has_ended(const CoreV1__Pod *pod);
bool pod_is_ready(const CoreV1__Pod *pod);
/* Ready for min_ready_seconds; *ret_at_s (may be NULL) is when it will be, if it is ready. */
bool pod_is_available(const CoreV1__Pod *pod, int32_t min_ready_seconds, int64_t now_s,
                      int64_t *ret_at_s);
/* Sorts so that the first ones are best given up: the less a pod has come along, the sooner it
 * goes. neighbours (of each pod, NULL: none) counts pods of the same owner on its node. */
void pods_sort_victims(const CoreV1__Pod **pods, const size_t *neighbours, size_t n, int64_t now_s,
                       struct arena *a);
