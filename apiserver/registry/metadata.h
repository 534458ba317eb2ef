/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Rules of ObjectMeta that hold for all kinds (apimachinery pkg/api/validation). Internal to
 * registry/; custom resources use them as well. */
#include "apiserver/registry/check.h"

/* Name, namespace, labels, annotations, owners, finalizers. */
void metadata_check(errs_t errs, path_t p, const MetaV1__ObjectMeta *m, bool namespaced,
                    name_syntax *syntax);
/* What an update may not change. */
void metadata_check_update(errs_t errs, path_t p, const MetaV1__ObjectMeta *m,
                           const MetaV1__ObjectMeta *old);
/* Fills uid, creationTimestamp and a generated name; drops what a client cannot set. */
void metadata_prepare_create(const struct strategy_ctx *ctx, MetaV1__ObjectMeta *m);
void metadata_generate_name(const struct strategy_ctx *ctx, MetaV1__ObjectMeta *m);
/* Carries over what an update cannot change. */
void metadata_prepare_update(MetaV1__ObjectMeta *m, const MetaV1__ObjectMeta *old);
