/* SPDX-License-Identifier: Apache-2.0 */
/* Zones of the machine's database; where there is none only UTC is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <unistd.h>
#include "controller-manager/cronjob/zone.h"

static void test_zones(void **state)
{
	bool have = !access("/usr/share/zoneinfo/Europe/Berlin", R_OK);
	struct zone *berlin = zone_load("Europe/Berlin"), *utc = zone_load("UTC"),
	            *own = zone_load(NULL);
	assert_null(zone_load("Mars/Olympus"));
	assert_null(zone_load("../../../etc/localtime"));
	assert_null(zone_load("/etc/localtime"));
	assert_non_null(own);
	assert_int_equal(zone_offset(1774746000, utc), 0);
	assert_int_equal(berlin != NULL, have);
	if (have) {
		assert_int_equal(zone_offset(1774745999, berlin), 3600);
		assert_int_equal(zone_offset(1774746000, berlin), 7200);
		assert_int_equal(zone_offset(1792889999, berlin), 7200);
		assert_int_equal(zone_offset(1792890000, berlin), 3600);
	}
	zone_free(berlin);
	zone_free(utc);
	zone_free(own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_zones)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
