/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Short hashes for names and labels, in the alphabet of generated names. Pure. */
#include "common/base/arena.h"

/* Of the bytes and, when it is not NULL, a count of collisions. */
const char *name_hash(struct slice bytes, const int32_t *collisions, struct arena *a);
