/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Pods: what their strategies, their table and other kinds share. Internal to registry/. */
#include "apiserver/registry/check.h"

extern const struct strategy pod_strategy, pod_status_strategy, pod_ephemeral_strategy,
    pod_resize_strategy;

/* "Guaranteed", "Burstable" or "BestEffort". */
const char *pod_qos_class(const CoreV1__PodSpec *spec);
void pod_table_row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *ret);

void pod_validate_update(const struct strategy_ctx *ctx, const struct object *obj,
                         const struct object *old, errs_t errs);
void pod_ephemeral_prepare(const struct strategy_ctx *ctx, struct object *obj,
                           const struct object *old);
void pod_ephemeral_validate(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old, errs_t errs);
void pod_resize_prepare(const struct strategy_ctx *ctx, struct object *obj,
                        const struct object *old);
void pod_resize_validate(const struct strategy_ctx *ctx, const struct object *obj,
                         const struct object *old, errs_t errs);
void pod_status_prepare(const struct strategy_ctx *ctx, struct object *obj,
                        const struct object *old);
void pod_status_validate(const struct strategy_ctx *ctx, const struct object *obj,
                         const struct object *old, errs_t errs);
/* Puts what matchLabelKeys mean for this pod into its selectors; before it is created. */
void pod_keys_merge(struct arena *a, CoreV1__Pod *pod);
/* Gives containers the AppArmor profiles that annotations name. */
void pod_apparmor_take(struct arena *a, CoreV1__Pod *pod);
/* Annotations that may not change. */
void pod_annotations_check_update(errs_t errs, const CoreV1__Pod *now, const CoreV1__Pod *old);
/* Stands for a static pod. */
bool pod_is_mirror(const CoreV1__Pod *pod);
/* Warnings of a pod spec below a path, on create. */
void pod_spec_warnings(struct strategy_warnings *w, path_t p, const CoreV1__PodSpec *spec,
                       const MetaV1__ObjectMeta *meta);
