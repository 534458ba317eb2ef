/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Looks every ten seconds whether memory, disks or process numbers run low, tells the node's
 * conditions, and evicts one pod after the other until the threshold is not met any more. Where
 * disks run low unused images and dead containers go first. On the loop. */
#include "kubelet/eviction/decide.h"
#include "kubelet/kubelet.h"

struct eviction;

/* Reads the thresholds of the configuration. */
int eviction_new(struct kubelet *k, struct eviction **ret, struct err *err);
void eviction_start(struct eviction *e);
void eviction_free(struct eviction *e);
bool eviction_pressure(const struct eviction *e, enum pressure p);
const struct thresholds *eviction_thresholds(const struct eviction *e);
/* Whether a new pod may run under the node's pressure; false fills the message of reason Evicted,
 * in the arena. */
bool eviction_admits(const struct eviction *e, const CoreV1__Pod *pod, struct arena *a,
                     const char **ret_message);
