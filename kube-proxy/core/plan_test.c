/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts in testdata: lines of kube-proxy/test_script.h, "----", the plan that they lead to (or,
 * after the line `table`, the whole table), an empty line. Each file is one life of kube-proxy.
 * REWRITE=1 writes the results anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>

#include "kube-proxy/core/text.h"
#include "kube-proxy/test_script.h"

static char *read_file(const char *path)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	char chunk[4096];
	size_t n;
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_add(&b, chunk, n);
	fclose(f);
	return buf_steal_str(&b);
}

static void answer(struct script *s, bool table, struct buf *out)
{
	for (enum family f = 0; f < FAMILIES; f++) {
		struct proxy_plan plan = {0};
		element_list elements = {0};
		proxy_state_plan(s->state, f, &plan);
		if (!table && (!plan.replace || plan.adds.n))
			text_plan(&plan, out);
		proxy_state_elements(s->state, f, &elements);
		if (table && elements.n)
			text_table(f, &s->config, &elements, out);
		vec_deinit(&elements);
		proxy_plan_deinit(&plan);
	}
}

/* One block; returns what stands after it. */
static const char *run_block(struct script *s, const char *at, struct buf *fresh, bool *same)
{
	const char *separator = strstr(at, "\n----\n");
	bool table = false;
	assert_non_null(separator);
	buf_add(fresh, at, (size_t)(separator - at) + 6);
	while (at < separator) {
		size_t n = strcspn(at, "\n");
		char *line = strndup(at, n);
		struct err err = ERR_INIT;
		if (!strcmp(line, "table"))
			table = true;
		else if (script_line(s, line, &err))
			fail_msg("%s", err.text);
		free(line);
		at += n + 1;
	}
	const char *want = separator + 6, *end = strstr(want, "\n\n");
	size_t n = *want == '\n' ? 0 : end ? (size_t)(end - want) + 1 : strlen(want);
	_cleanup_buf_ struct buf got = BUF_INIT;
	answer(s, table, &got);
	if (!slice_eq(buf_view(&got), slice_of(want, n))) {
		*same = false;
		if (!getenv("REWRITE"))
			print_error("got\n%swant\n%.*s", got.data ? (char *)got.data : "", (int)n,
			            want);
	}
	buf_slice(fresh, buf_view(&got));
	buf_byte(fresh, '\n');
	want += n;
	return want + strspn(want, "\n");
}

static void run_file(const char *path)
{
	char *text = read_file(path);
	_cleanup_buf_ struct buf fresh = BUF_INIT;
	struct script s;
	bool same = true;
	script_init(&s);
	for (const char *at = text; *at;)
		at = run_block(&s, at, &fresh, &same);
	script_deinit(&s);
	free(text);
	if (!same && getenv("REWRITE")) {
		FILE *f = fopen(path, "w");
		assert_non_null(f);
		fwrite(fresh.data, 1, fresh.len, f);
		fclose(f);
		return;
	}
	if (!same)
		fail_msg("%s: see above", path);
}

static void test_scripts(void **state)
{
	(void)state;
	DIR *d = opendir(TESTDATA);
	assert_non_null(d);
	int n = 0;
	for (struct dirent *e; (e = readdir(d));) {
		char path[512];
		if (!strstr(e->d_name, ".txt"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", TESTDATA, e->d_name);
		run_file(path);
		n++;
	}
	closedir(d);
	assert_true(n >= 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_scripts)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
