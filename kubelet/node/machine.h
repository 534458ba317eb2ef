/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What this machine is: read from the kernel and /etc. */
#include <stdbool.h>
#include "common/base/arena.h"

enum { MACHINE_HUGE_MAX = 8 };

struct machine {
	int64_t cpus;
	int64_t memory_bytes;
	int64_t disk_bytes; /* of the file system that holds the kubelet's folder */
	const char *machine_id, *system_uuid, *boot_id;
	const char *kernel_version, *os_image, *architecture; /* "amd64" */
	const char *hostname;
	/* Huge pages that are set aside, by size. */
	struct {
		const char *resource; /* "hugepages-2Mi" */
		int64_t bytes;
	} huge[MACHINE_HUGE_MAX];
	size_t n_huge;
};

void machine_read(struct machine *m, const char *root_dir, struct arena *a);
bool machine_has_swap(void);
/* The processes that there may be, and that there are (threads count). */
int64_t machine_pids_max(void);
int64_t machine_pids(void);
