/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/plugins/plugins.h"

const struct plugin *const plugins_registry[] = {
    &plugin_scheduling_gates,
    &plugin_priority_sort,
    &plugin_node_unschedulable,
    &plugin_node_name,
    &plugin_taint_toleration,
    &plugin_node_affinity,
    &plugin_node_ports,
    &plugin_fit,
    &plugin_topology_spread,
    &plugin_pod_affinity,
    &plugin_default_preemption,
    &plugin_balanced_allocation,
    &plugin_image_locality,
    &plugin_default_binder,
    NULL,
};
