/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The syntax of cron schedules as CronJobs take them: five fields, or @daily and its like, or
 * "@every 1h30m" (robfig/cron's standard parser). */
#include <stdbool.h>

#include "common/base/arena.h"

struct cron {
	uint64_t minutes, hours, month_days, months, week_days; /* a bit a value */
	bool any_month_day, any_week_day; /* when neither is, either may match */
	int64_t every_s;                  /* "@every": this alone counts; 0: the fields */
};

/* NULL when the schedule is well formed, else what is wrong with it. */
const char *cron_parse(const char *schedule, struct arena *a, struct cron *ret);
/* Seconds east of UTC at an instant. */
typedef int64_t (*cron_offset_fn)(int64_t unix_s, void *arg);
/* The first time after an instant; -1 when there is none within five years. offset NULL: UTC. Local
 * times that a change of clocks leaves out are left out, those that come twice count twice. */
int64_t cron_next(const struct cron *c, int64_t after_s, cron_offset_fn offset, void *arg);

/* NULL when the schedule is well formed, else what is wrong with it. */
const char *cron_error(const char *schedule, struct arena *a);
/* Names of the IANA time zone database; a name is known by its syntax and its area alone. */
bool time_zone_is_known(const char *name);
