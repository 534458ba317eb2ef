/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/plugins/plugins.h"

const struct plugin *const plugins_default[] = {
    &plugin_node_unschedulable,
    &plugin_node_name,
    &plugin_taint_toleration,
    &plugin_node_affinity,
    &plugin_fit,
    &plugin_balanced_allocation,
    NULL,
};
