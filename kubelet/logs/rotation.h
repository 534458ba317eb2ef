/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Keeps the logs of containers small: a log that has grown beyond --container-log-max-size is
 * renamed, the runtime opens a new one, older ones are compressed and the oldest removed. Looks
 * every ten seconds at the sizes; compressing happens on the disk worker. */
#include "kubelet/kubelet.h"
#include "kubelet/logs/plan.h"

struct log_rotation;

int log_rotation_new(struct kubelet *k, struct log_rotation **ret, struct err *err);
void log_rotation_start(struct log_rotation *r);
void log_rotation_free(struct log_rotation *r);
/* Removes a log with its rotated ones: its container is removed. */
void log_files_remove(const char *path);
