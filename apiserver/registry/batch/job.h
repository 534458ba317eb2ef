/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What Jobs and CronJobs share. Internal to registry/. */
#include "apiserver/registry/core/pod_spec.h"

/* Defaults of failure rules, which job templates have as well. */
void job_rules_default(struct arena *a, BatchV1__JobSpec *s);
void job_template_check(const struct strategy_ctx *ctx, errs_t errs, path_t p,
                        const BatchV1__JobTemplateSpec *t);

/* The policies of a job that has them. */
void job_failure_policy_check(errs_t errs, path_t p, const BatchV1__JobSpec *s);
void job_success_policy_check(errs_t errs, path_t p, const BatchV1__JobSpec *s);
