/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The strategies of apps and batch. Internal to registry/. */
#include "apiserver/registry/strategy.h"

extern const struct strategy deployment_strategy, deployment_status_strategy, replicaset_strategy,
    replicaset_status_strategy, statefulset_strategy, statefulset_status_strategy,
    daemonset_strategy, daemonset_status_strategy, controllerrevision_strategy, job_strategy,
    job_status_strategy, cronjob_strategy, cronjob_status_strategy;
