/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The EndpointSlices of a Service (kubernetes staging endpointslice): which to make, change and
 * delete, so that every address of its pods is in one slice of its address family and its set of
 * ports, with as few writes as possible. Pure. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "proto/core_v1.pb-c.h"
#include "proto/discovery_v1.pb-c.h"

enum { SLICE_ENDPOINTS_MAX = 100 };

struct slice_pod {
	const CoreV1__Pod *pod;
	bool node_known;  /* its node is there */
	const char *zone; /* of its node; NULL: none */
};

struct slice_input {
	const CoreV1__Service *service;
	const struct slice_pod *pods; /* those that the selector matches */
	size_t n_pods;
	DiscoveryV1__EndpointSlice *const *slices; /* those of this controller and Service */
	size_t n_slices;
	size_t max; /* endpoints of a slice; 0: SLICE_ENDPOINTS_MAX */
};

/* Objects to write; those to update keep their name and resourceVersion. */
struct slice_plan {
	DiscoveryV1__EndpointSlice **create, **update, **remove;
	size_t n_create, n_update, n_remove;
};

void slice_plan(const struct slice_input *in, struct arena *a, struct slice_plan *ret);
