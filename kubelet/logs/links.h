/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Links to the logs of containers by names that collectors of logs know: beside the folder of logs
 * (/var/log/pods), /var/log/containers/<pod>_<namespace>_<container>-<id>.log. */
#include "kubelet/pod/pod.h"

/* The pod was observed: links to the logs of what it has. */
void log_links_make(const struct pod *p);
/* The container is removed. */
void log_link_remove(const struct pod *p, const struct runtime_container *c);
/* Removes links to logs that are gone. */
void log_links_clean(const struct kubelet *k);
