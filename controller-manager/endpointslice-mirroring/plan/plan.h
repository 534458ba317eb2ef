/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* EndpointSlices that mirror Endpoints which somebody else made for a Service without selector
 * (kubernetes pkg/controller/endpointslicemirroring). Pure. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "proto/core_v1.pb-c.h"
#include "proto/discovery_v1.pb-c.h"

#define MIRROR_MANAGER "endpointslicemirroring-controller.k8s.io"

enum { MIRROR_ADDRESSES_MAX = 1000 };

struct mirror_input {
	const CoreV1__Endpoints *endpoints;
	const CoreV1__Service *service;            /* NULL: there is none */
	DiscoveryV1__EndpointSlice *const *slices; /* mirrors of before */
	size_t n_slices;
};

struct mirror_plan {
	DiscoveryV1__EndpointSlice **create, **update, **remove;
	size_t n_create, n_update, n_remove;
};

void mirror_plan(const struct mirror_input *in, struct arena *a, struct mirror_plan *ret);
