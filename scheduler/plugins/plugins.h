/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The plugins, one a file, in upstream's names and weights (kube-scheduler default_plugins.go). */
#include "scheduler/core/framework.h"

extern const struct plugin plugin_node_unschedulable;
extern const struct plugin plugin_node_name;
extern const struct plugin plugin_taint_toleration;
extern const struct plugin plugin_node_affinity;
extern const struct plugin plugin_fit;
extern const struct plugin plugin_balanced_allocation;

/* True when one of the tolerations covers the taint (core/v1 Toleration). Shared by plugins that
 * look at taints. */
bool tolerates(const CoreV1__PodSpec *spec, const char *key, const char *value, const char *effect);
