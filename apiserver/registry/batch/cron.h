/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The syntax of cron schedules as CronJobs take them: five fields, or @daily and its like, or
 * "@every 1h30m" (robfig/cron's standard parser). */
#include <stdbool.h>

#include "common/base/arena.h"

/* NULL when the schedule is well formed, else what is wrong with it. */
const char *cron_error(const char *schedule, struct arena *a);
/* Names of the IANA time zone database; a name is known by its syntax and its area alone. */
bool time_zone_is_known(const char *name);
