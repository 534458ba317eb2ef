/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The scheduler's configuration (kubescheduler.config.k8s.io/v1 KubeSchedulerConfiguration): one
 * framework a profile, built from the registry of plugins. */
#include "scheduler/core/framework.h"

enum { PROFILES_MAX = 64 };

struct profile_config {
	size_t n_profiles;
	struct framework *profiles;
	uint64_t initial_backoff_ms, max_backoff_ms;
};

/* `doc` NULL: the defaults, one profile "default-scheduler". Everything lives in the arena; symbols
 * of arguments are kept for ever. Errors name the field. */
int profile_config_build(const struct jvalue *doc, const struct plugin *const *registry,
                         struct symbols *s, struct arena *a, struct profile_config *ret,
                         struct err *err);
/* NULL when the pod is not for one of these. */
const struct framework *profile_of(const struct profile_config *c, const char *scheduler_name);
