/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What all kinds with a selector and a pod template share. Internal to registry/. */
#include "apiserver/registry/core/pod_spec.h"

/* Selector and template below "spec": the selector is required, is not empty, and matches the
 * template's labels. `what` names the kind in messages. */
void workload_check(const struct strategy_ctx *ctx, errs_t errs, const MetaV1__LabelSelector *sel,
                    const CoreV1__PodTemplateSpec *t, const char *what);
/* Pods of a workload that keeps them running: restartPolicy Always, no deadline. */
void workload_check_forever(errs_t errs, const CoreV1__PodTemplateSpec *t, const char *kind);
void workload_check_selector_kept(errs_t errs, const MetaV1__LabelSelector *now,
                                  const MetaV1__LabelSelector *old);
void workload_warnings(struct strategy_warnings *w, const CoreV1__PodTemplateSpec *t,
                       const CoreV1__PodTemplateSpec *old);

/* IntOrString values of rolling updates. */
Intstr__IntOrString *intstr_new_percent(struct arena *a, const char *text);
Intstr__IntOrString *intstr_new_int(struct arena *a, int32_t n);
bool intstr_is_zero(const Intstr__IntOrString *v); /* 0 or "0%" */
/* As JSON: 5 or "25%". */
const char *intstr_json(errs_t errs, const Intstr__IntOrString *v);
void check_not_over_100_percent(errs_t errs, path_t p, const Intstr__IntOrString *v);
/* The count of names that were taken never goes back. */
void collisions_check(errs_t errs, bool has, int32_t n, bool had, int32_t old);
