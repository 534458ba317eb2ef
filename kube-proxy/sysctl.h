/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The kernel's settings of connection tracking. */
#include "kube-proxy/options.h"

/* Best effort: what cannot be set is logged. The table of connections only ever grows. */
void sysctl_conntrack(const struct proxy_config *c);
