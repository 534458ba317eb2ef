/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Shared by the files of the DaemonSet plan. */
#include "controller-manager/daemonset/plan/plan.h"

/* The number of the template by the older, deprecated count; 0: none. */
int64_t daemonset_generation(const AppsV1__DaemonSet *ds);
/* Adds what every daemon tolerates; copies the list first. */
void daemonset_tolerate(CoreV1__PodSpec *spec, struct arena *a);
