/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a pod asks for (component-helpers resource PodRequests). */
#include "common/base/arena.h"
#include "common/codec/quantity.h"
#include "proto/core_v1.pb-c.h"

/* A request ("limit" false) or limit of one container; NULL: none. */
const char *container_resource(const CoreV1__ResourceRequirements *r, bool limit,
                               const char *resource);
/* The sum over containers, or the largest init container with the sidecars before it; the pod's own
 * resources count in place of the sum; with overhead. False: nothing is asked for. As a limit it is
 * false, too, when a container has none. */
bool pod_resource(const CoreV1__Pod *pod, bool limit, const char *resource, struct quantity *ret);
/* Fills the status' resources and allocatedResources. */
void pod_resources_status(const CoreV1__Pod *pod, CoreV1__PodStatus *s, struct arena *a);
