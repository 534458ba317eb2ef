/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of kinds as scripts that a reviewer reads: testdata/rules/<name>.txt.
 *
 * A file begins with "resource GROUP/VERSION RESOURCE" ("v1" for the core group) and an object in
 * YAML, up to a line "----" and an empty line. Blocks follow: requests, "----", what comes out, an
 * empty line. A request is a line with a strategic merge patch of that object in flow YAML:
 *
 *   create PATCH                the patched object is created
 *   old PATCH                   the patched object is the one that exists for what follows
 *   update[/SUBRESOURCE] PATCH  the one that exists is patched and put back
 *
 * What comes out are the errors in the order of their text, or "ok" and the warnings. REWRITE=1
 * writes the results anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "apiserver/patch/patch.h"
#include "apiserver/registry/check.h"
#include "apiserver/registry/core/service_alloc.h"
#include "common/codec/rfc3339.h"
#include "common/codec/yaml.h"
#include "proto/json_decode.h"
#include "proto/json_encode.h"
#include "proto/resource_table.h"

static const char time_text[] = "2026-01-02T03:04:05Z";

static void fixed_uid(void *arg, char ret[37])
{
	memcpy(ret, "11111111-2222-4333-8444-555555555555", 37);
}

static void fixed_suffix(void *arg, char ret[6])
{
	memcpy(ret, "abcde", 6);
}

struct script {
	struct arena a;
	struct strategy_ctx ctx;
	const char *path;
	const struct resource_info *res;
	const struct jvalue *base;
	struct object old;
	struct buf out;
};

static struct jvalue *yaml(struct script *s, struct slice text)
{
	struct err err = ERR_INIT;
	struct jvalue *v = NULL;

	if (yaml_parse(text, &s->a, NULL, &v, &err))
		fail_msg("%s: %s: %.*s", s->path, err.text, (int)text.len, (const char *)text.data);
	return v;
}

static struct object patched(struct script *s, const struct jvalue *from, const char *text)
{
	struct jvalue *doc = jvalue_copy(&s->a, from), *patch = yaml(s, slice_str(text));
	struct err err = ERR_INIT;
	ProtobufCMessage *msg = NULL;

	if (jvalue_is(patch, JVALUE_OBJECT) &&
	    patch_apply_strategic(s->res->schema, doc, patch, &s->a, &doc, &err))
		fail_msg("%s: %s: %s", s->path, err.text, text);
	if (json_decode_tree(s->res->schema, doc, &s->a, NULL, &msg, NULL, &err))
		fail_msg("%s: %s: %s", s->path, err.text, text);
	return object_of(s->res, s->res->schema, msg);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_result(struct script *s, const struct field_errors *errs,
                         const struct strategy_warnings *w)
{
	const char **lines = arena_array(&s->a, const char *, errs->n + 1);

	for (size_t i = 0; i < errs->n; i++) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		field_error_text(&errs->at[i], &b);
		buf_byte(&b, '\n');
		size_t n = (size_t)((uint8_t *)memchr(b.data, '\n', b.len) - b.data);
		lines[i] =
		    arena_strndup(&s->a, b.data, n); /* differences of objects are left out */
	}
	qsort(lines, errs->n, sizeof(*lines), by_text);
	for (size_t i = 0; i < errs->n; i++)
		buf_printf(&s->out, "%s\n", lines[i]);
	if (!errs->n)
		buf_str(&s->out, "ok\n");
	for (size_t i = 0; i < w->n; i++)
		buf_printf(&s->out, "warning: %s\n", w->at[i]);
}

static struct object create(struct script *s, const char *text, struct field_errors *errs)
{
	const struct strategy *st = registry_strategy(s->res, "");
	struct object obj = patched(s, s->base, text);

	registry_defaults(&s->ctx, st, &obj);
	registry_before_create(&s->ctx, st, &obj, errs);
	if (st->allocate && !errs->n)
		st->allocate(&s->ctx, &obj, NULL, errs);
	return obj;
}

static void set_old(struct script *s, const char *text)
{
	struct field_errors errs = field_errors_in(&s->a);
	const struct jvalue *status;
	struct jvalue *tree;

	s->old = create(s, text, &errs);
	if (errs.n)
		fail_msg("%s: old %s: %s", s->path, text, errs.at[0].field);
	/* A status that the patch gives is there as well. */
	status = jvalue_get(yaml(s, slice_str(text)), "status");
	if (status) {
		tree = json_encode_tree(s->res->schema, s->old.msg, NULL, &s->a);
		s->old = patched(s, tree, text);
		registry_defaults(&s->ctx, registry_strategy(s->res, ""), &s->old);
	}
	s->old.meta->resource_version = arena_strdup(&s->a, "1");
}

static void update(struct script *s, const char *sub, const char *text, struct field_errors *errs,
                   struct strategy_warnings *w)
{
	const struct strategy *st = registry_strategy(s->res, sub);
	struct jvalue *tree = json_encode_tree(s->res->schema, s->old.msg, NULL, &s->a);
	struct object obj = patched(s, tree, text);

	if (!st)
		fail_msg("%s: no subresource %s", s->path, sub);
	registry_defaults(&s->ctx, st, &obj);
	registry_before_update(&s->ctx, st, &obj, &s->old, errs);
	registry_warnings(&s->ctx, st, &obj, &s->old, w);
}

static void run_line(struct script *s, char *line)
{
	struct field_errors errs = field_errors_in(&s->a);
	struct strategy_warnings w = {.arena = &s->a};
	char *text = strchr(line, ' ');

	if (!text)
		fail_msg("%s: %s", s->path, line);
	*text++ = '\0';
	if (!strcmp(line, "old")) {
		set_old(s, text);
		return;
	}
	if (!strcmp(line, "create")) {
		struct object obj = create(s, text, &errs);
		registry_warnings(&s->ctx, registry_strategy(s->res, ""), &obj, NULL, &w);
	} else if (!strncmp(line, "update", 6)) {
		update(s, line[6] == '/' ? line + 7 : "", text, &errs, &w);
	} else {
		fail_msg("%s: %s", s->path, line);
	}
	print_result(s, &errs, &w);
}

static void read_head(struct script *s, FILE *f, char **line, size_t *cap, struct buf *copy)
{
	_cleanup_buf_ struct buf body = BUF_INIT;
	char version[100], resource[100];

	assert_true(getline(line, cap, f) > 0);
	buf_str(copy, *line);
	assert_int_equal(sscanf(*line, "resource %99s %99s", version, resource), 2);
	struct group_version gv = group_version_split(&s->a, version);
	s->res = resource_find(gv.group, gv.version, resource, "");
	if (!s->res)
		fail_msg("%s: no such resource", s->path);
	while (getline(line, cap, f) > 0 && strcmp(*line, "----\n")) {
		buf_str(copy, *line);
		buf_str(&body, *line);
	}
	buf_str(copy, "----\n\n");
	assert_true(getline(line, cap, f) > 0);
	s->base = yaml(s, buf_view(&body));
}

static bool run_block(struct script *s, FILE *in, char **line, size_t *cap, struct buf *copy)
{
	_cleanup_buf_ struct buf want = BUF_INIT;

	buf_clear(&s->out);
	do {
		if (!strcmp(*line, "----\n"))
			break;
		buf_str(copy, *line);
		(*line)[strcspn(*line, "\n")] = '\0';
		if (**line && **line != '#')
			run_line(s, arena_strdup(&s->a, *line));
	} while (getline(line, cap, in) > 0);
	buf_str(copy, "----\n");
	buf_slice(copy, buf_view(&s->out));
	while (getline(line, cap, in) > 0 && strcmp(*line, "\n"))
		buf_str(&want, *line);
	buf_byte(copy, '\n');
	if (slice_eq(buf_view(&want), buf_view(&s->out)))
		return true;
	print_error("%s: want\n%.*sgot\n%.*s\n", s->path, (int)want.len, (const char *)want.data,
	            (int)s->out.len, (const char *)s->out.data);
	return false;
}

static void run_file(void **state)
{
	struct strategy_options options = {
	    .allow_privileged = true, .ip_families = {"IPv4"}, .n_ip_families = 1};
	struct service_alloc_options ranges = {.n_ranges = 1};
	struct script s = {.path = *state};
	_cleanup_buf_ struct buf copy = BUF_INIT;
	FILE *f = fopen(s.path, "re");
	struct time_spec now;
	size_t cap = 0, failed = 0;
	char *line = NULL;

	assert_non_null(f);
	arena_init(&s.a);
	assert_true(ip_prefix_parse("10.96.0.0/16", &ranges.ranges[0]));
	assert_int_equal(rfc3339_parse(slice_str(time_text), &now, NULL), 0);
	s.ctx = (struct strategy_ctx){.arena = &s.a,
	                              .now_sec = now.sec,
	                              .options = &options,
	                              .services = service_alloc_new(&ranges),
	                              .new_uid = fixed_uid,
	                              .name_suffix = fixed_suffix};
	read_head(&s, f, &line, &cap, &copy);
	while (getline(&line, &cap, f) > 0)
		failed += !run_block(&s, f, &line, &cap, &copy);
	fclose(f);
	if (failed && getenv("REWRITE")) {
		f = fopen(s.path, "we");
		assert_non_null(f);
		fwrite(copy.data, 1, copy.len, f);
		fclose(f);
	}
	free(line);
	buf_deinit(&s.out);
	service_alloc_free(s.ctx.services);
	arena_deinit(&s.a);
	assert_int_equal(failed, 0);
}

int main(int argc, char **argv)
{
	int failed = argc < 2;

	for (int i = 1; i < argc; i++) {
		const struct CMUnitTest test = {argv[i], run_file, NULL, NULL, argv[i]};
		failed += _cmocka_run_group_tests(argv[i], &test, 1, NULL, NULL);
	}
	return failed;
}
