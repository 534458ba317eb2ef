/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A KubeletConfiguration (kubelet.config.k8s.io/v1beta1) as defaults of flags: a flag that was
 * given on the command line stays. Unknown and repeated fields are errors, as in upstream's strict
 * decoding; known ones that have no effect here are warned about. */
#include "common/daemon/flags.h"

int config_file_load(const char *path, const struct flag_group *groups, size_t n_groups,
                     struct arena *a, struct err *err);
/* The settings in force as a KubeletConfiguration in JSON. */
void config_file_write(const struct flag_group *groups, size_t n_groups, struct buf *out);
