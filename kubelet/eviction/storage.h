/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Limits of local storage: emptyDir sizeLimit and ephemeral-storage of containers and pods (kubelet
 * eviction_manager.go localStorageEviction). Pure. */
#include <stdbool.h>
#include <stddef.h>
#include "common/base/arena.h"
#include "proto/core_v1.pb-c.h"

struct storage_use {
	const char *name;
	int64_t bytes;
};

/* What a pod uses: by container (writable layer and logs), by emptyDir, in all. */
struct pod_storage {
	const struct storage_use *containers, *volumes;
	size_t n_containers, n_volumes;
	int64_t all_bytes;
};

/* Whether the pod has any such limit. */
bool storage_is_limited(const CoreV1__Pod *pod);
/* The message of the limit that is exceeded; NULL: none. */
const char *storage_excess(const CoreV1__Pod *pod, const struct pod_storage *use, struct arena *a);
