/* SPDX-License-Identifier: Apache-2.0 */
/* A CronJob and its Jobs as tables. Parameters: now; east: hours of the time zone; zone: its error.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/codec/rfc3339.h"
#include "controller-manager/base/script.h"
#include "controller-manager/cronjob/plan/plan.h"
#include "proto/schema_messages.h"

static int64_t east(int64_t unix_s, void *arg)
{
	return *(int64_t *)arg * 3600;
}

static void one_case(struct script_case *c, struct buf *out)
{
	BatchV1__Job **jobs;
	struct cronjob_plan plan;
	struct time_spec now = {0};
	int64_t hours = script_int(c, "east", 0);
	char text[RFC3339_BYTES];
	const char *error = script_str(c, "zone");
	assert_int_equal(rfc3339_parse(slice_str(script_str(c, "now")), &now, NULL), 0);
	struct cronjob_input in = {.cj = script_one(c, &batch_v1__cron_job_schema),
	                           .now_s = now.sec,
	                           .offset = hours ? east : NULL,
	                           .offset_arg = &hours,
	                           .zone_error = *error ? error : NULL};
	in.n_jobs = script_all(c, &batch_v1__job_schema, &jobs);
	in.jobs = jobs;
	cronjob_plan(&in, &c->a, &plan);
	if (plan.start)
		script_write(out, "start", &meta_v1__object_meta_schema,
		             &plan.start->metadata->base);
	for (size_t i = 0; i < plan.n_remove; i++)
		buf_printf(out, "remove %s\n", plan.remove[i]->metadata->name);
	for (size_t i = 0; i < plan.n_events; i++)
		buf_printf(out, "event %s %s\n", plan.events[i].reason, plan.events[i].message);
	if (plan.status_differs)
		script_write(out, "status", &batch_v1__cron_job_status_schema, &plan.status->base);
	if (plan.start)
		script_write(out, "then", &batch_v1__cron_job_status_schema,
		             &cronjob_started(&plan, plan.start, &c->a)->base);
	if (plan.next_s) {
		rfc3339_format(plan.next_s, text);
		buf_printf(out, "next %s\n", text);
	}
}

static void test_script(void **state)
{
	assert_int_equal(script_run(*state, one_case), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_prestate(test_script, (void *)(uintptr_t) "testdata/cronjob.txt"),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
