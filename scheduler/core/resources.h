/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Amounts of resources, as the scheduler counts them: cpu in thousandths, the rest in units
 * (kube-scheduler framework.Resource). Extended resources are a vector of symbol and amount, sorted
 * by symbol, which holds a reference to each. Sums saturate at the ends of int64. */
#include "common/base/cleanup.h"
#include "proto/core_v1.pb-c.h"
#include "scheduler/core/symbols.h"

struct scalar {
	uint32_t name;
	int64_t amount;
};

struct resources {
	int64_t milli_cpu, memory, ephemeral_storage, pods;
	size_t n_scalars;
	struct scalar *scalars;
};

void resources_deinit(struct resources *r, struct symbols *s);
/* Sets a named amount ("cpu", "memory", "example.com/gpu", ...) from a quantity's text. */
void resources_set(struct resources *r, struct symbols *s, const char *name, const char *quantity);
void resources_add(struct resources *to, const struct resources *from, struct symbols *s);
void resources_sub(struct resources *to, const struct resources *from, struct symbols *s);
void resources_copy(struct resources *to, const struct resources *from, struct symbols *s);
bool resources_equal(const struct resources *a, const struct resources *b);
/* 0 when there is none of that name. */
int64_t resources_scalar(const struct resources *r, uint32_t name);
/* No amount of cpu, memory, ephemeral storage or an extended resource. */
bool resources_is_zero(const struct resources *r);

/* What a pod asks of a node: the sum of its containers and sidecars, or what its init containers
 * need at most where that is more, or the pod's own requests, plus the overhead (KEP-753,
 * KEP-2837). A container that is being resized counts with the larger of what it wants and what it
 * has (KEP-1287). `pods` is 1. */
void resources_of_pod(const CoreV1__Pod *pod, struct symbols *s, struct resources *ret);
/* The same for scoring: a container without a cpu or memory request counts as 100m and 200 MB. */
void resources_nonzero(const CoreV1__Pod *pod, struct symbols *s, int64_t *ret_milli_cpu,
                       int64_t *ret_memory);
