/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Time zones from the system's database (RFC 8536 files in /usr/share/zoneinfo). After the last
 * change of clocks that a file lists its last offset stays. */
#include <stdint.h>

struct zone;

/* NULL when there is no such zone; name NULL: the machine's own, UTC where that is not set. */
struct zone *zone_load(const char *name);
void zone_free(struct zone *z);
/* Seconds east of UTC; a cron_offset_fn, arg is the zone. */
int64_t zone_offset(int64_t unix_s, void *zone);
