/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "kubelet/volume/atomic_dir.h"
#include "kubelet/volume/mounts.h"

static char dir[64];
static struct arena arena;

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/kubec-atomic-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	mounts_remove_tree(dir);
	arena_deinit(&arena);
	return access(dir, F_OK) ? 0 : -1;
}

static void write_files(const char *const *pairs, size_t n)
{
	struct payload p = {0};
	struct err err = ERR_INIT;
	for (size_t i = 0; i < n; i++)
		payload_add(&p, &arena, pairs[2 * i], slice_str(pairs[2 * i + 1]), 0640);
	if (atomic_dir_write(dir, &p, -1, &err))
		fail_msg("%s", err.text);
}

#define WRITE(...)                                      \
	write_files((const char *const[]){__VA_ARGS__}, \
	            sizeof((const char *const[]){__VA_ARGS__}) / (2 * sizeof(char *)))

static void check(const char *path, const char *expected)
{
	char full[256], text[64] = "";
	snprintf(full, sizeof(full), "%s/%s", dir, path);
	int fd = open(full, O_RDONLY | O_CLOEXEC);
	if (!expected) {
		assert_int_equal(fd, -1);
		return;
	}
	assert_true(fd >= 0);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	assert_int_equal(n, strlen(expected));
	assert_string_equal(text, expected);
}

static size_t entries(void)
{
	size_t n = 0;
	DIR *d = opendir(dir);
	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void test_replaces(void **state)
{
	(void)state;
	struct stat st;
	char path[256];
	WRITE("a", "1", "b/c/d", "deep", "b/e", "");
	check("a", "1");
	check("b/c/d", "deep");
	check("b/e", "");
	assert_int_equal(entries(), 4); /* a, b, ..data and its folder */
	snprintf(path, sizeof(path), "%s/a", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);

	WRITE("a", "2", "f", "new");
	check("a", "2");
	check("f", "new");
	check("b/e", NULL);
	assert_int_equal(entries(), 4); /* a, f, ..data and its folder: nothing old is left */
}

static void test_old_reader(void **state)
{
	(void)state;
	char path[256], text[8] = "";
	WRITE("a", "old");
	snprintf(path, sizeof(path), "%s/a", dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	WRITE("a", "new");
	assert_int_equal(read(fd, text, sizeof(text)), 3);
	close(fd);
	assert_string_equal(text, "old");
	check("a", "new");
}

static void test_sum(void **state)
{
	(void)state;
	struct payload p = {0};
	payload_add(&p, &arena, "a", SLICE_LIT("1"), 0644);
	uint64_t one = payload_sum(&p);
	payload_add(&p, &arena, "a", SLICE_LIT("1"), 0600);
	uint64_t mode = payload_sum(&p);
	payload_add(&p, &arena, "a", SLICE_LIT("2"), 0644);
	assert_int_equal(p.n, 1);
	assert_true(payload_sum(&p) != one && mode != one);
	payload_add(&p, &arena, "a", SLICE_LIT("1"), 0644);
	assert_true(payload_sum(&p) == one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_replaces, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_old_reader, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_sum, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
