/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The strategies of the core group. Internal to registry/. */
#include "apiserver/registry/strategy.h"

extern const struct strategy configmap_strategy, secret_strategy, namespace_strategy,
    namespace_status_strategy, namespace_finalize_strategy, node_strategy, node_status_strategy,
    serviceaccount_strategy, event_strategy, events_event_strategy, endpoints_strategy,
    service_strategy, service_status_strategy, pv_strategy, pv_status_strategy, pvc_strategy,
    pvc_status_strategy, limitrange_strategy, resourcequota_strategy, resourcequota_status_strategy,
    podtemplate_strategy, rc_strategy, rc_status_strategy;
