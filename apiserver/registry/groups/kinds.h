/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The strategies of the named groups. Internal to registry/. */
#include "apiserver/registry/strategy.h"

extern const struct strategy endpointslice_strategy, lease_strategy, role_strategy,
    clusterrole_strategy, rolebinding_strategy, clusterrolebinding_strategy;
