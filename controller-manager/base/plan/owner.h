/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Owner references (meta/v1): who controls an object. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "proto/meta_v1.pb-c.h"

/* The reference with controller true, or NULL. */
const MetaV1__OwnerReference *owner_controller(const MetaV1__ObjectMeta *meta);
bool owner_is(const MetaV1__ObjectMeta *meta, const char *uid);
/* Sets meta's owner references to one controlling reference. */
void owner_set(MetaV1__ObjectMeta *meta, const char *api_version, const char *kind,
               const char *name, const char *uid, struct arena *a);
