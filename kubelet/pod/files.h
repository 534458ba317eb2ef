/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Files and folders that the kubelet makes for a pod's containers. */
#include <sys/types.h>
#include "kubelet/pod/pod.h"

/* mkdir -p; an existing folder is fine. */
int folder_make(const char *path, mode_t mode, struct err *err);
/* Each returns a path in the arena, or NULL and err. */
const char *hosts_file_write(struct pod *p, struct arena *a, struct err *err);
const char *termination_file_make(struct pod *p, const char *container, struct arena *a,
                                  struct err *err);
int log_folder_make(struct pod *p, const char *container, struct arena *a, struct err *err);
/* The whole file, when it is not larger than max_bytes; false: it is not there or too large. */
bool file_read(const char *path, size_t max_bytes, struct arena *a, struct slice *ret);
