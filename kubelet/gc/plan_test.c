/* SPDX-License-Identifier: Apache-2.0 */
/* What goes: images, rotated logs; and which process is a container's first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "kubelet/gc/plan.h"
#include "kubelet/logs/plan.h"
#include "kubelet/pleg/exits.h"

static void bytes_to_free(void **state)
{
	struct image_policy p = {.high_percent = 85, .low_percent = 80};
	static const struct {
		uint64_t capacity, available, want;
	} cases[] = {
	    {1000, 160, 0},  {1000, 150, 50}, {1000, 20, 180}, {1000, 0, 200},
	    {1000, 1000, 0}, {0, 0, 0},       {1000, 2000, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(image_bytes_to_free(&p, cases[i].capacity, cases[i].available),
		                 cases[i].want);
	p.high_percent = 100;
	assert_int_equal(image_bytes_to_free(&p, 1000, 0), 0);
}

static void remove_images(void **state)
{
	static const struct gc_image all[] = {
	    {"used", 100, .in_use = true, .detected_ms = 1, .last_used_ms = 1000},
	    {"pinned", 100, .pinned = true, .detected_ms = 1},
	    {"recent", 30, .detected_ms = 1, .last_used_ms = 900},
	    {"old", 20, .detected_ms = 1, .last_used_ms = 10},
	    {"never", 10, .detected_ms = 5},
	    {"never-older", 10, .detected_ms = 4},
	    {"young", 10, .detected_ms = 990},
	};
	static const struct {
		uint64_t bytes, max_age_ms;
		const char *gone;
		uint64_t freed;
	} cases[] = {
	    {0, 0, "", 0},
	    {1, 0, "never-older ", 10},
	    {15, 0, "never-older never ", 20},
	    {21, 0, "never-older never old ", 40},
	    {UINT64_MAX, 0, "never-older never old recent ", 70},
	    {0, 500, "never-older never old ", 40},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct image_policy p = {85, 80, 100, cases[i].max_age_ms};
		struct gc_image images[ARRAY_LEN(all)];
		uint64_t freed;
		_cleanup_arena_ struct arena a = {0};
		const char *gone = "";
		memcpy(images, all, sizeof(all));
		size_t n =
		    images_to_remove(&p, images, ARRAY_LEN(all), cases[i].bytes, 1000, &freed);
		for (size_t k = 0; k < n; k++)
			gone = arena_printf(&a, "%s%s ", gone, images[k].id);
		assert_string_equal(gone, cases[i].gone);
		assert_int_equal(freed, cases[i].freed);
	}
}

static void log_files(void **state)
{
	static const struct {
		const char *files; /* in any order */
		int64_t max;
		const char *plan; /* -: removed, z: compressed; by age */
	} cases[] = {
	    {"0.log", 5, "0.log "},
	    {"0.log 0.log.20260102-000000 1.log", 5, "0.log z0.log.20260102-000000 1.log "},
	    {"0.log.c 0.log.a.gz 0.log.b 0.log", 5, "0.log 0.log.a.gz z0.log.b z0.log.c "},
	    {"0.log.c 0.log.a.gz 0.log.b 0.log", 3, "0.log -0.log.a.gz -0.log.b z0.log.c "},
	    {"0.log.c 0.log.a.gz 0.log", 2, "0.log -0.log.a.gz -0.log.c "},
	    {"0.log.a 0.log.a.gz 0.log.b.tmp", 5, "-0.log.a 0.log.a.gz -0.log.b.tmp "},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_arena_ struct arena a = {0};
		struct log_file files[8];
		size_t n = 0;
		const char *plan = "";
		char *save = NULL, *copy = arena_strdup(&a, cases[i].files);
		for (char *f; (f = strtok_r(copy, " ", &save)); copy = NULL)
			files[n++].name = f;
		log_files_plan("0.log", files, n, cases[i].max);
		for (size_t k = 0; k < n; k++)
			plan = arena_printf(&a, "%s%s%s ", plan,
			                    files[k].action == LOG_REMOVE     ? "-"
			                    : files[k].action == LOG_COMPRESS ? "z"
			                                                      : "",
			                    files[k].name);
		assert_string_equal(plan, cases[i].plan);
	}
}

static void log_names(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	assert_string_equal(log_rotated_name("/x/0.log", 1136214245, &a),
	                    "/x/0.log.20060102-150405");
	assert_true(log_file_belongs("0.log", "0.log"));
	assert_true(log_file_belongs("0.log", "0.log.x.gz"));
	assert_false(log_file_belongs("0.log", "10.log"));
	assert_false(log_file_belongs("0.log", "0.logs"));
}

static long inner(long pid)
{
	return pid == 17 ? 1 : pid == 99 ? 0 : pid - 10;
}

static void first_process(void **state)
{
	static const struct {
		const char *procs;
		long pid;
	} cases[] = {
	    {"", 0},  {"50\n17\n60\n", 17}, {"50\n40\n60\n", 40}, {"99", 99},
	    {"x", 0}, {"-1\n0\n", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(exits_first_process(cases[i].procs, inner), cases[i].pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bytes_to_free), cmocka_unit_test(remove_images),
	    cmocka_unit_test(log_files),     cmocka_unit_test(log_names),
	    cmocka_unit_test(first_process),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
