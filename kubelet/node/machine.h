/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What this machine is: read from the kernel and /etc. */
#include <stdbool.h>
#include "common/base/arena.h"

struct machine {
	int64_t cpus;
	int64_t memory_bytes;
	int64_t disk_bytes; /* of the file system that holds the kubelet's folder */
	const char *machine_id, *system_uuid, *boot_id;
	const char *kernel_version, *os_image, *architecture; /* "amd64" */
	const char *hostname;
};

void machine_read(struct machine *m, const char *root_dir, struct arena *a);
bool machine_has_swap(void);
/* What is free now. */
int64_t machine_memory_available(void);
int64_t machine_disk_available(const char *path, double *ret_fraction);
/* The processes that there may be, and that there are (threads count). */
int64_t machine_pids_max(void);
int64_t machine_pids(void);
