/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The Endpoints of a Service (kubernetes pkg/controller/endpoint): the older form of its slices,
 * one object with at most a thousand addresses. Pure. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "proto/core_v1.pb-c.h"

#define ENDPOINTS_MANAGED_BY "endpoints.kubernetes.io/managed-by"
#define ENDPOINTS_MANAGER "endpoint-controller"

enum { ENDPOINTS_ADDRESSES_MAX = 1000 };

struct endpoints_input {
	const CoreV1__Service *service;
	CoreV1__Pod *const *pods; /* those that the selector matches */
	size_t n_pods;
	const CoreV1__Endpoints *current; /* NULL: there are none */
	size_t max;                       /* addresses; 0: ENDPOINTS_ADDRESSES_MAX */
};

/* The object to write, made from the current one; NULL: it is right. */
CoreV1__Endpoints *endpoints_plan(const struct endpoints_input *in, struct arena *a);
