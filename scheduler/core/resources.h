/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Amounts of resources, as the scheduler counts them: cpu in thousandths, the rest in units
 * (kube-scheduler framework.Resource). Extended resources are pairs of name and amount, sorted by
 * name. Sums saturate at the ends of int64. */
#include "common/base/cleanup.h"
#include "proto/core_v1.pb-c.h"

struct scalar {
	char *name;
	int64_t amount;
};

struct resources {
	int64_t milli_cpu, memory, ephemeral_storage, pods;
	size_t n_scalars;
	struct scalar *scalars;
};

void resources_deinit(struct resources *r);
void resources_copy(struct resources *to, const struct resources *from);
/* Sets a named amount ("cpu", "memory", "example.com/gpu", ...) from a quantity's text. */
void resources_set(struct resources *r, const char *name, const char *quantity);
void resources_add(struct resources *to, const struct resources *from);
void resources_sub(struct resources *to, const struct resources *from);
/* The larger of both, resource by resource. */
void resources_max(struct resources *to, const struct resources *from);
/* 0 when there is none of that name. */
int64_t resources_scalar(const struct resources *r, const char *name);

/* What a pod asks of a node: the sum of its containers and sidecars, or what its init containers
 * need at most where that is more, or the pod's own requests, plus the overhead (KEP-753,
 * KEP-2837). `pods` is 1. */
void resources_of_pod(const CoreV1__PodSpec *spec, struct resources *ret);
/* The same for scoring: a container without a cpu or memory request counts as 100m and 200 MB. */
void resources_nonzero(const CoreV1__PodSpec *spec, int64_t *ret_milli_cpu, int64_t *ret_memory);
