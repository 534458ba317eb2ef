/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One object out of the watch cache, decoded into an arena. Any thread. */
#include "apiserver/endpoints/pipeline.h"

/* False when it is not there or does not decode. ns "" for cluster scope. */
bool lookup_object(struct pipeline *p, const struct resource_info *res, const char *ns,
                   const char *name, struct arena *a, struct object *ret);
