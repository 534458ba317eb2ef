/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The Pod Security Standards: whether a pod keeps to a level
 * (k8s.io/pod-security-admission/policy). Pure. */
#include "common/base/arena.h"
#include "proto/core_v1.pb-c.h"

enum pod_security_level { POD_SECURITY_PRIVILEGED, POD_SECURITY_BASELINE, POD_SECURITY_RESTRICTED };

bool pod_security_level_parse(const char *text, enum pod_security_level *ret);
const char *pod_security_level_name(enum pod_security_level level);

/* NULL when the pod keeps to the level; else every fault as "reason (detail), ...", or without the
 * details. */
const char *pod_security_check(enum pod_security_level level, const MetaV1__ObjectMeta *meta,
                               const CoreV1__PodSpec *spec, bool details, struct arena *a);
