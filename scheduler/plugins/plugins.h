/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The plugins, one a file, in upstream's names and weights (kube-scheduler default_plugins.go). */
#include "scheduler/core/cycle.h"

extern const struct plugin plugin_scheduling_gates;
extern const struct plugin plugin_priority_sort;
extern const struct plugin plugin_node_unschedulable;
extern const struct plugin plugin_node_name;
extern const struct plugin plugin_taint_toleration;
extern const struct plugin plugin_node_affinity;
extern const struct plugin plugin_node_ports;
extern const struct plugin plugin_fit;
extern const struct plugin plugin_topology_spread;
extern const struct plugin plugin_pod_affinity;
extern const struct plugin plugin_default_preemption;
extern const struct plugin plugin_balanced_allocation;
extern const struct plugin plugin_image_locality;
extern const struct plugin plugin_default_binder;

/* All of them in upstream's order; ends with NULL. */
extern const struct plugin *const plugins_registry[];
