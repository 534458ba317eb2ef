/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Writing the metadata of objects on an arena: lists are copied before they change, the entries of
 * a decoded object are not. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "proto/meta_v1.pb-c.h"

void meta_set_annotation(MetaV1__ObjectMeta *meta, struct arena *a, const char *key,
                         const char *value);
void meta_set_label(MetaV1__ObjectMeta *meta, struct arena *a, const char *key, const char *value);
bool meta_del_annotation(MetaV1__ObjectMeta *meta, struct arena *a, const char *key);
bool meta_del_label(MetaV1__ObjectMeta *meta, struct arena *a, const char *key);
/* The finalizer is there. */
bool meta_has_finalizer(const MetaV1__ObjectMeta *meta, const char *name);
MetaV1__Time *meta_time(struct arena *a, int64_t seconds);
