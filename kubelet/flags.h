/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The kubelet's flags, and what only the configuration file can set. The variables behind them are
 * those of kubelet_config, which holds the defaults before parsing. */
#include "common/daemon/flags.h"
#include "kubelet/kubelet.h"

/* The first group is the command line's; the second holds settings without a flag, named as the
 * fields of KubeletConfiguration are. */
enum { KUBELET_FLAG_GROUPS = 2 };
extern const struct flag_group kubelet_flags[KUBELET_FLAG_GROUPS];
extern struct kubelet_config kubelet_config;
extern const char *kubelet_config_path; /* --config */
